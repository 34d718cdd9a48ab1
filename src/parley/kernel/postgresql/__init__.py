"""Django's PostgreSQL backend, with connections that are kept and statements planned once."""
