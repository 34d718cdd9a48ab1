"""How fast is it, against the database itself, plain views and other servers? See ``__main__``."""
