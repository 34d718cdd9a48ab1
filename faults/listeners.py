"""Devices that listen to the live doors, and keep what they hear in the order it came."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

from faults.clients import Person, messages_of

AGAIN_S = 0.1
MESSAGES = {"message.created", "message.changed"}


class Refused(ConnectionError):
    """What was missed is not given for now: the device comes back for it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event about a message, as it came."""

    conversation: str
    revision: int
    seq: int
    message_id: str
    body: str


@dataclass
class Device:
    """Something that keeps a copy by a stream alone, and comes back from its cursor when cut.

    What it takes: each revision of each message once. ``again`` counts what came although it was
    there already (which is allowed, and a client drops by revision), ``reordered`` what came after
    something newer of its conversation on one connection.
    """

    person: Person
    address: Callable[[], str]
    came: list[Heard] = field(default_factory=list)
    cursor: str | None = None
    cuts: int = 0
    again: int = 0
    resyncs: int = 0
    cursors: int = 0
    reordered: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    codes: list[int | None] = field(default_factory=list)
    _known: set[tuple[str, int]] = field(default_factory=set)
    _newest: dict[str, int] = field(default_factory=dict)
    _listening: asyncio.Task[None] | None = None
    _socket: websockets.ClientConnection | None = None

    async def run(self) -> None:
        """Listen for ever; until cancelled."""
        while True:
            self._newest = {}
            try:
                self._listening = asyncio.create_task(self.listen())
                await asyncio.wait([self._listening])
                if not self._listening.cancelled():
                    self._listening.result()
            except (OSError, httpx.HTTPError, websockets.WebSocketException, TimeoutError):
                pass
            finally:
                if self._listening is not None:
                    self._listening.cancel()  # where this is cancelled itself
            self.cuts += 1
            await asyncio.sleep(AGAIN_S)

    async def listen(self) -> None:
        raise NotImplementedError

    async def take_all(self, conversation: str) -> None:
        """Take a conversation as new: the page, or event, that says so has only its newest."""
        for message in await messages_of(self.address(), self.person, conversation):
            self.take(message, is_ordered=False)

    async def cut(self) -> None:
        """End the connection that there is, in the middle of whatever comes."""
        if self._listening is not None:
            self._listening.cancel()

    def take(self, message: dict[str, Any], *, is_ordered: bool = True) -> None:
        where, revision = message["conversation"], message["revision"]
        if is_ordered:
            self.reordered += revision < self._newest.get(where, 0)
            self._newest[where] = max(revision, self._newest.get(where, 0))
        if (message["message_id"], revision) in self._known:
            self.again += 1
            return
        self._known.add((message["message_id"], revision))
        heard = Heard(
            where, revision, message["seq"], message["message_id"], message["message_body"]
        )
        self.came.append(heard)

    def sequence(self, conversation: str) -> list[int]:
        return [heard.seq for heard in self.came if heard.conversation == conversation]

    @property
    def bodies(self) -> set[str]:
        return {heard.body for heard in self.came}


@dataclass
class SocketDevice(Device):
    async def listen(self) -> None:
        url = f"ws://{self.address()}/ws/"
        async with websockets.connect(
            url,
            additional_headers=self.person.headers,
            max_size=None,
            open_timeout=10,
            **self.options(),
        ) as socket:
            self._socket = socket
            try:
                hello = json.loads(await socket.recv())
                if self.cursor is not None:
                    await self._resume(socket)
                else:
                    self.cursor = hello["cursor"]
                self.opened.set()
                async for text in socket:
                    await self._hear(socket, json.loads(text))
            except websockets.ConnectionClosed as closed:
                self.codes.append(closed.rcvd.code if closed.rcvd else None)

    def options(self) -> dict[str, Any]:
        """Return how else it connects."""
        return {}

    async def _resume(self, socket: websockets.ClientConnection) -> None:
        await socket.send(json.dumps({"type": "resume", "cursor": self.cursor}))

    async def _hear(self, socket: websockets.ClientConnection, frame: dict[str, Any]) -> None:
        if frame["type"] == "sync":
            for where in frame["conversations"]:
                for message in where["messages"]:
                    self.take(message, is_ordered=False)
                if where.get("reset"):
                    await self.take_all(where["conversation_id"])
            self.cursor = frame["cursor"]
        elif frame["type"] == "cursor":
            self.cursors += 1
            self.cursor = frame["cursor"]
        elif frame["type"] in MESSAGES:
            self.take(frame["message"])
        elif frame["type"] == "resync":
            self.resyncs += 1
            await self._resume(socket)
        elif frame["type"] == "error":
            raise Refused(frame["errors"])

    async def cut(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()  # without the words that a polite end takes


@dataclass
class StreamDevice(Device):
    async def listen(self) -> None:
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        async with (
            self.person.client(self.address(), timeout=40) as client,
            client.stream("GET", "/api/events/", headers=headers) as stream,
        ):
            stream.raise_for_status()
            async for id_, type_, data in _events(stream):
                self.opened.set()
                if type_ in MESSAGES:
                    # What was missed bears the cursor that the device has.
                    self.take(data["message"], is_ordered=id_ not in {None, self.cursor})
                elif type_ == "conversation.created":
                    await self.take_all(data["conversation"]["conversation_id"])
                elif type_ == "resync":
                    self.resyncs += 1
                    raise Refused("the rest is to be had by the cursor")
                self.cursor = id_ or self.cursor


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str | None, str, Any]]:
    fields: dict[str, str] = {}
    async for line in stream.aiter_lines():
        if line.startswith(":"):
            continue
        if not line and fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value


@contextlib.asynccontextmanager
async def listening(*devices: Device) -> AsyncIterator[None]:
    """Have devices listen within, from when each has opened its first connection."""
    runs = [asyncio.create_task(device.run()) for device in devices]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(device.opened.wait() for device in devices))
        yield
    finally:
        for run in runs:
            run.cancel()
        ends = await asyncio.gather(*runs, return_exceptions=True)
    if failed := [end for end in ends if isinstance(end, Exception)]:
        raise RuntimeError("a device stopped listening") from failed[0]


async def until_all_have(
    devices: Sequence[Device], bodies: set[str], *, patience: float, most: float = 120
) -> float:
    """Wait until every device has every body; return how many seconds that took.

    Endless where something is missing, and nothing at all came for ``patience`` seconds (what is
    slow on a busy machine is not lost), or ``most`` seconds went by.
    """
    loop = asyncio.get_running_loop()
    begun = moved = loop.time()
    came = -1
    while loop.time() - moved < patience and loop.time() - begun < most:
        if all(bodies <= device.bodies for device in devices):
            return loop.time() - begun
        if (now := sum(len(device.came) + device.again for device in devices)) != came:
            came, moved = now, loop.time()
        await asyncio.sleep(0.05)
    return float("inf")
