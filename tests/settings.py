"""The settings under which the tests run: the real ones, from a clean environment.

Nothing of the developer's own ``.env`` or shell counts, except ``DATABASE_URL``: it chooses the
database server that the tests run on (in a database of their own, ``test_…``), and without it they
run on SQLite in a temporary folder.
"""

import os
import tempfile

from parley.config import environment

for variable in environment.variables().keys() - {"DATABASE_URL"}:
    os.environ.pop(variable, None)
FOLDER = tempfile.TemporaryDirectory(prefix="parley-tests-")
os.environ |= {
    "PARLEY_ENV_FILE": os.devnull,
    "PARLEY_DATA_DIR": FOLDER.name,
    "DJANGO_SECRET_KEY": "a key for the tests alone, of a decent length",
    "DJANGO_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1,[::1]",
}

from parley.config.settings import *  # noqa: E402,F403
from parley.config.settings import DATABASES, PASSWORD_HASHERS  # noqa: E402

PASSWORD_HASHERS = [
    "tests.hashers.QuickArgon2",
    *PASSWORD_HASHERS[1:-1],
    "tests.hashers.QuickImported",
]

if not os.environ.get("DATABASE_URL"):
    # A file and not memory: threads and processes of a test meet in it as they do in use.
    DATABASES["default"]["TEST"] = {"NAME": f"{FOLDER.name}/test.sqlite3"}
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # The tests' servers have a thread for each request: what it keeps would outlive it, and keep
    # the database from being dropped.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
