"""Bringing an older backend's database over: ``manage.py import_legacy``."""
