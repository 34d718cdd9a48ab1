"""Set up ``.venv`` with exactly what the lock files name; do nothing where that is already so.

Run by any Python that a machine may have, so it is written in words that old ones understand too.

    python3 tools/venv.py [--this-python] [requirements-dev.txt …]
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STAMP = os.path.join(VENV, "installed.json")
RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
OLDEST = (3, 11)


def check_python():
    """Stop in one sentence where this Python cannot do it."""
    if sys.version_info < OLDEST:
        sys.exit(
            "Parley needs Python 3.11 or later and %s is %d.%d; "
            "name another one: make serve PYTHON=/path/to/python3"
            % ((sys.executable,) + tuple(sys.version_info[:2]))
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        sys.exit(
            "This Python cannot make a virtual environment; on Debian and Ubuntu "
            "`apt-get install python3-venv` adds what is missing."
        )


def digest(name):
    with open(os.path.join(ROOT, name), "rb") as lock:
        return hashlib.sha256(lock.read()).hexdigest()


def installed():
    """Return what the stamp says: the digest of each lock file that is installed."""
    try:
        with open(STAMP) as stamp:
            return json.load(stamp)
    except (OSError, ValueError):
        return {}


def is_usable(this_python):
    """Tell whether the environment's Python runs, is new enough, and is the one asked for."""
    ask = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        said = subprocess.check_output([PYTHON, "-c", ask], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    found = tuple(int(part) for part in said.decode().split("."))
    return found == sys.version_info[:2] if this_python else found >= OLDEST


def create():
    shutil.rmtree(VENV, ignore_errors=True)
    print("Creating .venv with Python %d.%d …" % sys.version_info[:2], flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
    if made.returncode:
        last = (made.stdout + made.stderr).strip().splitlines()[-1:]
        sys.exit("The virtual environment .venv could not be created: %s" % "".join(last))


def install(lock):
    print("Installing %s into .venv (once; a minute or so) …" % lock, flush=True)
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    status = subprocess.call(pip + ["--require-hashes", "-r", lock], cwd=ROOT)
    if status:
        sys.exit("pip could not install %s; its own words are above." % lock)


def main(arguments):
    this_python = "--this-python" in arguments
    locks = [name for name in arguments if not name.startswith("--")] or [RUNTIME]
    stamp = installed() if os.path.exists(PYTHON) else {}
    missing = [name for name in locks if stamp.get(name) != digest(name)]
    if (missing or this_python) and not is_usable(this_python):
        check_python()
        create()
        stamp, missing = {}, locks
    for lock in missing:
        install(lock)
        stamp[lock] = digest(lock)
        if lock == DEVELOPMENT:  # it holds all of the other
            stamp[RUNTIME] = digest(RUNTIME)
        with open(STAMP, "w") as file:
            json.dump(stamp, file)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
