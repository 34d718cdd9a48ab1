"""``python manage.py runserver``: Django's own, over the application that production serves."""

from __future__ import annotations

import socket
from typing import Any

from django.core.management.commands import runserver

from parley.ops.management.commands.serve import BACKLOG, PoliteServer, server_config


class LiveServer:
    """Stands where Django has its WSGI server."""

    def __init__(self, address: tuple[str, int], _handler: object, *, ipv6: bool) -> None:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=BACKLOG)
        self.server_port: int = self._listener.getsockname()[1]

    def set_app(self, handler: object) -> None:
        """Take no notice of a handler: what is served is in the configuration."""

    def serve_forever(self) -> None:
        PoliteServer(server_config(workers=1)).run(sockets=[self._listener])


class Command(runserver.Command):
    help = "Starts a web server for development, live events included."
    server_cls: Any = LiveServer

    def get_handler(self, *_args: Any, **_options: Any) -> Any:
        """Return nothing: there is no WSGI here."""
