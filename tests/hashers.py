"""The password hasher of the tests."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class QuickArgon2(Argon2PasswordHasher):
    """The real algorithm at its smallest cost: tests ask who may sign in, not how long it takes."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
