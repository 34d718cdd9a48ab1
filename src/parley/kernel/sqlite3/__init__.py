"""Django's SQLite backend, with one queue of writers in a process."""
