"""A client that keeps a copy by the live protocol, as an app would, and what it shows."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

Json = dict[str, Any]
OF_A_MESSAGE = ("seq", "revision", "message_body", "edited_at", "retracted_at", "starred")


@dataclass
class Copy:
    """One conversation as the client has it, complete from its ``first`` number on.

    ``against`` holds, by message, the read state of those that are not as the watermark says.
    """

    header: Json
    first: int = 0
    messages: dict[str, Json] = field(default_factory=dict)
    against: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [message["seq"] for message in self.header["messages"]]
        self.first = min(given, default=self.header["last_seq"] + 1)
        self.people = _people(self.header)

    def take_header(self, header: Json) -> None:
        if header["revision"] >= self.header["revision"]:
            self.header, self.people = header, _people(header)
            for message in header["messages"]:
                self.take_message(message)

    def take_message(self, message: Json) -> None:
        id_ = message["message_id"]
        known = self.messages.get(id_)
        if known is None or message["revision"] >= known["revision"]:
            self.messages[id_] = message
        if message["seq"] > self.header["last_seq"]:  # a new one brings it back
            self.header["last_seq"] = message["seq"]
            self.header["me"] = self.header["me"] | {"archived_at": None}
        self.take_state(id_, read=message["read"], starred=message["starred"])

    def take_state(self, id_: str, *, read: bool, starred: bool) -> None:
        if id_ in self.messages:
            self.messages[id_] = self.messages[id_] | {"starred": starred}
            self.against.pop(id_, None)
            if read != self._is_read(self.messages[id_]):
                self.against[id_] = read

    def _is_read(self, message: Json) -> bool:
        by_rule = message["sender"]["user_id"] == self.me or (
            message["seq"] <= self.header["me"]["watermark"]
        )
        return self.against.get(message["message_id"], by_rule)

    me = ""

    def shown(self) -> Json:
        kept = sorted(self.messages.values(), key=lambda message: message["seq"])
        return {
            "header": of_a_header(self.header) | {"people": self.people},
            "messages": [of_a_message(m | {"read": self._is_read(m)}) for m in kept],
        }


def _people(header: Json) -> dict[str, str]:
    return {person["user_id"]: person["member_role"] for person in header["participants"]}


def of_a_header(header: Json) -> Json:
    return {name: header[name] for name in ("kind", "title", "me")}


def of_a_message(message: Json) -> Json:
    return {name: message[name] for name in (*OF_A_MESSAGE, "read")}


class Client:
    """One device of one person; it lives in an event loop, and is looked at from outside of it."""

    def __init__(self, addresses: list[str], turn: int, headers: Json, user_id: str) -> None:
        self.addresses, self.turn, self.headers = addresses, turn, headers
        self.user_id = user_id
        self.copies: dict[str, Copy] = {}
        self.cursor: str | None = None
        self._socket: Any = None
        self.resyncs = 0
        self.heard: deque[str] = deque(maxlen=60)

    @property
    def address(self) -> str:
        return self.addresses[self.turn % len(self.addresses)]

    async def live(self) -> None:
        """Sync, then stay connected for ever, however often it is cut."""
        while True:
            try:
                if self.cursor is None:
                    await self._snapshot()
                async with websockets.connect(
                    f"ws://{self.address}/ws/", additional_headers=self.headers
                ) as self._socket:
                    await self._socket.send(json.dumps({"type": "resume", "cursor": self.cursor}))
                    async for text in self._socket:
                        await self._take(json.loads(text))
            except (OSError, websockets.WebSocketException, httpx.HTTPError):
                pass
            await asyncio.sleep(0.02)

    async def cut(self) -> None:
        """Lose the line, and come back at the other server."""
        if self._socket is not None:
            self._socket.transport.abort()
        self.turn += 1

    async def _snapshot(self) -> None:
        async with httpx.AsyncClient(
            base_url=f"http://{self.address}", headers=self.headers, timeout=20
        ) as api:
            page: Json = {"more": True, "cursor": None}
            while page["more"]:
                query = {"cursor": page["cursor"]} if page["cursor"] else {}
                page = (await api.get("/api/sync/", params=query)).json()
                self._take_news(page)
            self.cursor = page["cursor"]

    # --- what comes

    async def _take(self, frame: Json) -> None:
        type_, where = frame["type"], frame.get("conversation")
        self.heard.append(_in_short(frame))
        copy = self.copies.get(where) if isinstance(where, str) else None
        if type_ == "sync":
            self._take_news(frame)
            self.cursor = frame["cursor"]
        elif type_ == "cursor":
            self.cursor = frame["cursor"]
        elif type_ == "error":  # the only thing asked for is to resume
            await self._socket.close()
        elif type_ == "resync":
            self.resyncs += 1
            await self._socket.send(json.dumps({"type": "resume", "cursor": self.cursor}))
        elif type_ == "participant.left" and frame["user"]["user_id"] == self.user_id:
            self.copies.pop(str(where), None)
        elif type_ in {"conversation.created", "conversation.changed"}:
            self._take_conversation(frame["conversation"], is_new=type_.endswith("created"))
        elif copy is not None:
            self._take_change(copy, type_, frame)

    def _take_change(self, copy: Copy, type_: str, frame: Json) -> None:
        if type_ in {"message.created", "message.changed"}:
            copy.take_message(frame["message"])
        elif type_ == "message.removed":
            copy.messages.pop(frame["message_id"], None)
        elif type_ == "participant.joined":
            copy.people.setdefault(frame["user"]["user_id"], "member")
        elif type_ == "participant.left":
            copy.people.pop(frame["user"]["user_id"], None)

    def _take_conversation(self, shown: Json, *, is_new: bool) -> None:
        where = shown["conversation_id"]
        if is_new or where not in self.copies:
            self.copies[where] = copy = Copy(shown)
            copy.me = self.user_id
        self.copies[where].take_header(shown)

    def _take_news(self, news: Json) -> None:
        for shown in news["conversations"]:
            self._take_conversation(shown, is_new=bool(shown.get("reset")))
        for mark in news["marks"]:
            if copy := self.copies.get(mark["conversation"]):
                copy.take_state(mark["message_id"], read=mark["read"], starred=mark["starred"])
        for gone in news["removed"]:
            if copy := self.copies.get(gone["conversation"]):
                copy.messages.pop(gone["message_id"], None)
        for where in news["left"]:
            self.copies.pop(where, None)

    def shown(self) -> Json:
        return {where: copy.shown() for where, copy in self.copies.items()}


def _in_short(frame: Json) -> str:
    """Name what a frame is about: its type, its revision, and where."""
    where = frame.get("conversation")
    if frame["type"] == "sync":
        where = [*(shown["conversation_id"] for shown in frame["conversations"]), *frame["left"]]
    elif isinstance(where, dict):
        where = f"{where['conversation_id']} at {where['revision']}, {where['me']}"
    return f"{frame['type']} {frame.get('revision', '')} {where}"


def expected(address: str, headers: Json, client: Client) -> Json:
    """What a client would show that starts now, of as much history as this one has."""
    found: Json = {}
    with httpx.Client(base_url=f"http://{address}", headers=headers, timeout=20) as api:
        page: Json = {"more": True, "cursor": None}
        while page["more"]:
            query = {"cursor": page["cursor"]} if page["cursor"] else {}
            page = api.get("/api/sync/", params=query).json()
            for shown in page["conversations"]:
                found[shown["conversation_id"]] = Copy(shown).shown()
        for where, shown in found.items():
            path = f"/api/conversations/{where}/messages/"
            items = api.get(path, params={"after": 0, "limit": 200}).json()["results"]
            copy = client.copies.get(where)
            first, held = (copy.first, copy.messages) if copy else (0, {})
            shown["messages"] = [
                of_a_message(m) for m in items if m["seq"] >= first or m["message_id"] in held
            ]
    return found


def differing(shown: Any, wanted: Any, path: str = "") -> list[str]:
    """Name each place where what is shown is not as wanted, a line each."""
    if isinstance(shown, list) and isinstance(wanted, list):
        shown, wanted = ({f"#{m['seq']}": m for m in messages} for messages in (shown, wanted))
    if not (isinstance(shown, dict) and isinstance(wanted, dict)):
        return [] if shown == wanted else [f"{path}: {shown!r}, not {wanted!r}"]
    lines = []
    for name in dict.fromkeys([*shown, *wanted]):
        place = f"{path} {name}".strip()
        if name in shown and name in wanted:
            lines += differing(shown[name], wanted[name], place)
        else:
            lines.append(f"{place}: {'too much' if name in shown else 'lacking'}")
    return lines
