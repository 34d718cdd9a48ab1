"""Static files, served from where they are installed by whatever runs the application."""

from __future__ import annotations

import os
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import Response, StaticFile

MOST_KEPT = 16  # files, of up to 4 MB


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped
    """WhiteNoise, answering whole files: under ASGI Django would read all of one to stream it.

    What was read is kept, so that many who take a file slowly hold one copy of it.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponseBase:
        found = static_file.get_response(request.method, request.META)
        response = HttpResponse(_content(found), status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        return response


def _content(found: Response) -> bytes:
    if found.file is None:
        return b""
    with found.file as file:
        if found.status != HTTPStatus.OK:
            return bytes(file.read())
        return _read(file.name, os.fstat(file.fileno()).st_mtime_ns)


@lru_cache(MOST_KEPT)
def _read(path: str, _changed_ns: int) -> bytes:
    return Path(path).read_bytes()
