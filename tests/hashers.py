"""The password hashers of the tests."""

from django.contrib.auth.hashers import Argon2PasswordHasher

from parley.accounts.hashers import ImportedSHA256


class QuickArgon2(Argon2PasswordHasher):
    """The real algorithm at its smallest cost: tests ask who may sign in, not how long it takes."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1


class QuickImported(QuickArgon2, ImportedSHA256):
    """The same of what was imported."""
