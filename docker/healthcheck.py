"""Whether the server in this container can serve: exit code 0 if it can."""

# ruff: noqa: INP001 - a program of its own

from __future__ import annotations

import http.client
import os
import sys


def host() -> str:
    """Return a name that the server answers for."""
    named = os.environ.get("DJANGO_ALLOWED_HOSTS", "").replace(",", " ").split()
    first = named[0].lstrip(".") if named else "localhost"
    return "localhost" if first == "*" else first


def main() -> int:
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4
    )
    try:
        connection.request("GET", "/readyz", headers={"Host": host()})
        return 0 if connection.getresponse().status == http.client.OK else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
