"""``/ws/_echo``: says again what it hears, for suites that test WebSockets themselves.

It is there only with ``PARLEY_WEBSOCKET_ECHO``, which no server that people use should have.
"""

from __future__ import annotations

from parley.http.guard import Application, Receive, Scope, Send

ECHO_PATH = "/ws/_echo"


class Echo:
    """An ASGI application with the echo in front of another one."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == ECHO_PATH:
            await _echo(receive, send)
        else:
            await self._application(scope, receive, send)


async def _echo(receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (heard := await receive())["type"] == "websocket.receive":
        said = {key: heard[key] for key in ("text", "bytes") if heard.get(key) is not None}
        await send({"type": "websocket.send", **said})
