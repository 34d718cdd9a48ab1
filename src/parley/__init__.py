"""Parley: self-hosted, API-first, user-to-user messaging."""

__version__ = "0.1.0"
