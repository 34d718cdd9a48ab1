"""Catching up: everything that changed for one person since a cursor, exactly, however old the
cursor is.

A page is read in one snapshot. Conversations come in the order of the generation in which they
changed; when a pass has given all of them, everything up to the ``settled`` of its first page is
known, and of conversations given with a later generation the cursor notes how much. So nothing is
missed, whatever commits late, and what was given is given again only if more of them changed at
once than a cursor can note, or while they change under a pass of several pages; everything carries
its revision, so that twice is once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from uuid import UUID

from django.db import connection

from parley.accounts.models import User
from parley.conversations import epochs, fence
from parley.conversations import queries as conversations
from parley.conversations.models import Kind, Participant
from parley.kernel.database import snapshot
from parley.kernel.errors import Unavailable
from parley.kernel.paging import DEFAULT_SIZE, LARGEST_SIZE
from parley.messaging import changes
from parley.messaging.changes import ChangedMark
from parley.messaging.cursors import LEFT, MOST_KNOWN, UNNOTED, Cursor, Known, Pass
from parley.messaging.models import Flag, Message
from parley.messaging.queries import LIST_CAP, newest, see, show
from parley.messaging.refusals import ResyncRequired
from parley.messaging.seen import News, SeenConversation, SeenMark, SeenMessage
from parley.messaging.sight import first_hidden, not_removed

NEWEST = 20  # how many messages a conversation has in a first snapshot, and after a reset


def sync(*, viewer: User, cursor: str | None = None, limit: int = DEFAULT_SIZE) -> News:
    """Return what changed for the viewer since a cursor, or without one a first snapshot, page by
    page.

    A page holds ``limit`` messages (1–200), and the cursor to go on from; ``more`` says whether at
    once.

    :raises InvalidCursor: the cursor is broken, forged or someone else's.
    :raises ResyncRequired: it belongs to another history than this one, as after a restore from
        backup.
    """
    held = None if cursor is None else Cursor.read(cursor, viewer.user_id)
    size = min(max(limit, 1), LARGEST_SIZE)
    page = _read(viewer, held, size)
    if page is None:
        epochs.ensure_first()
        return sync(viewer=viewer, cursor=cursor, limit=limit)
    news, is_settled = page
    if not is_settled:
        ticker.tick()
    return news


def check_cursor(*, viewer: User, cursor: str) -> None:
    """Say whether :func:`sync` would take this cursor, at the cost of two look-ups.

    :raises InvalidCursor: it would not; as there.
    :raises ResyncRequired: likewise.
    """
    held = Cursor.read(cursor, viewer.user_id)
    if not epochs.holds(held.issued_gen, held.nonce, current=fence.state().current):
        raise ResyncRequired


def here(*, viewer: User) -> str:
    """Return the cursor of someone who has everything that is committed now."""
    epochs.ensure_first()
    with snapshot():
        state = fence.state()
        recent = changes.changed_after(viewer.user_id, state.settled, None, MOST_KNOWN)
        known = {mine.conversation_id: _Step(mine, 0, _What.NOTHING).all for mine in recent}
        nonce = epochs.covering(state.current) or ""
        return Cursor(state.current, nonce, state.settled, known).write(viewer.user_id)


def _read(viewer: User, held: Cursor | None, size: int) -> tuple[News, bool] | None:
    """Read one page in one snapshot, and say whether all of it is settled; nothing if no epoch has
    begun yet.
    """
    with snapshot():
        state = fence.state()
        nonce = epochs.covering(state.current)
        if nonce is None:
            return None
        at = _place(held, state)
        if held is None:
            held = Cursor(state.current, nonce, settled=0)
        elif not epochs.holds(held.issued_gen, held.nonce, current=state.current):
            raise ResyncRequired
        steps, more = _walk(viewer, at, size) if at.gen is None else _follow(viewer, held, at, size)
        known = _note(held.known, steps, at)
        if more:
            ahead = Cursor(state.current, nonce, held.settled, known, _next_place(at, steps))
        else:
            ahead = Cursor(state.current, nonce, at.settled, known)
        news = _news(viewer, steps, ahead.write(viewer.user_id), more=more)
        return news, all(step.gen <= state.settled for step in steps)


# --- the place in a pass --------------------------------------------------------------------------


class _What(Enum):
    """What of a conversation a page gives."""

    WHOLE = auto()  # as in a first snapshot
    RESET = auto()  # the same, to a client that may have something else
    CHANGED = auto()
    LEFT = auto()
    NOTHING = auto()  # the client has it all


@dataclass(slots=True)
class _Step:
    mine: Participant
    gen: int
    what: _What
    has: Known | None = None  # what the client has of it
    messages: list[tuple[int, UUID]] = field(default_factory=list)
    marks: list[ChangedMark] = field(default_factory=list)
    begun: Known | None = None  # where it was cut
    is_resumed: bool = False  # it was begun on the page before

    @property
    def all(self) -> Known:
        """What a client has that was given all of it."""
        is_left = self.mine.left_at is not None
        return Known(LEFT if is_left else self.mine.conversation.revision, self.mine.version)


def _place(held: Cursor | None, state: fence.State) -> Pass:
    """Return where to go on; a pass that begins keeps the ``settled`` of now for its end."""
    if held is None:
        return Pass(state.settled)
    return held.under_way or Pass(max(state.settled, held.settled), gen=held.settled)


def _next_place(at: Pass, steps: Sequence[_Step]) -> Pass:
    last = steps[-1]
    begun = (last.mine.conversation_id, last.begun) if last.begun else None
    if last.is_resumed:
        return replace(at, begun=begun)
    gen = None if at.gen is None else last.gen
    return Pass(at.settled, gen, last.mine.conversation_id, begun)


def _note(known: dict[UUID, Known], steps: Sequence[_Step], at: Pass) -> dict[UUID, Known]:
    """Note how much was given of what the end of the pass does not cover, where there is room."""
    noted = dict(known)
    for step in steps:
        noted.pop(step.mine.conversation_id, None)
        if step.gen > at.settled and step.begun is None and len(noted) < MOST_KNOWN:
            noted[step.mine.conversation_id] = step.all
    return noted


# --- the steps of a page --------------------------------------------------------------------------


def _walk(viewer: User, at: Pass, size: int) -> tuple[list[_Step], bool]:
    """Return the next steps of a first snapshot, in the order of the conversations' ids, and
    whether there are more.
    """
    found = conversations.live_participations(viewer.user_id).order_by("conversation_id")
    if at.conversation_id is not None:
        found = found.filter(conversation_id__gt=at.conversation_id)
    steps = [_Step(mine, changes.gen_of(mine), _What.WHOLE) for mine in found[: size + 1]]
    return _cut(steps, size)


def _follow(viewer: User, held: Cursor, at: Pass, size: int) -> tuple[list[_Step], bool]:
    """Return the next steps of a pass, in the order in which conversations changed, and whether
    there are more.
    """
    known = dict(held.known)
    most = size + 1 + len(known)
    participants = changes.changed_after(viewer.user_id, at.gen or 0, at.conversation_id, most)
    resumed = None
    if at.begun is not None:
        resumed, known[at.begun[0]] = at.begun
        participants = [p for p in participants if p.conversation_id != resumed]
        participants = [changes.participation(viewer.user_id, resumed), *participants]
    steps = [
        _Step(
            mine,
            changes.gen_of(mine),
            _what(mine, known.get(mine.conversation_id), held.settled),
            known.get(mine.conversation_id),
            is_resumed=mine.conversation_id == resumed,
        )
        for mine in participants
    ]
    _look_up(viewer, steps, held.settled, size)
    return _cut(steps, size)


def _what(mine: Participant, has: Known | None, settled: int) -> _What:
    """Tell what to give of a conversation to a client that has this of it, and all that was settled
    then.
    """
    if mine.left_at is not None:
        told = has is not None and (has.revision, has.version) == (LEFT, mine.version)
        return _What.NOTHING if told else _What.LEFT
    if has is None:
        return _What.RESET if mine.joined_gen > settled else _What.CHANGED
    if has.revision == LEFT or _came_back(mine, has, settled):
        return _What.RESET
    is_all = has == Known(mine.conversation.revision, mine.version)
    return _What.NOTHING if is_all else _What.CHANGED


def _came_back(mine: Participant, has: Known, settled: int) -> bool:
    """Whether someone left and returned since; hiding and opening a direct conversation takes no
    revision.
    """
    if mine.joined_revision > has.revision:
        return True
    was_hidden = mine.conversation.kind == Kind.DIRECT and mine.visible_after > 0
    is_recent = mine.joined_gen > settled and mine.joined_revision == has.revision
    return was_hidden and is_recent and mine.version != has.version


def _look_up(viewer: User, steps: Sequence[_Step], settled: int, size: int) -> None:
    """Find the changed messages and marks of the steps; one more of each than a page holds."""
    changed = [step for step in steps if step.what is _What.CHANGED]
    unknown = [step.mine for step in changed if step.has is None or step.has.version == UNNOTED]
    searched = changes.known_at(viewer.user_id, unknown, settled)
    has = [(step.mine, _filled(step, searched)) for step in changed]
    messages = changes.changed_messages(has, size + 1)
    marks = changes.changed_marks(viewer.user_id, has, size + 1)
    for step, (mine, known) in zip(changed, has, strict=True):
        step.has = known
        step.messages = messages.get(mine.conversation_id, [])
        step.marks = marks.get(mine.conversation_id, [])


def _filled(step: _Step, searched: Mapping[UUID, Known]) -> Known:
    """Return what the client has, with what its cursor does not note as it was when settled."""
    if step.has is not None and step.has.version != UNNOTED:
        return step.has
    found = searched[step.mine.conversation_id]
    return found if step.has is None else replace(found, revision=step.has.revision)


def _cut(steps: Sequence[_Step], size: int) -> tuple[list[_Step], bool]:
    """Take steps until the page is full; of a conversation that does not fit, a part.

    A page holds at most ``size`` conversations, messages and marks, and more messages only where
    the newest of one whole conversation are more.
    """
    taken: list[_Step] = []
    conversations_left = messages_left = marks_left = size
    for step in steps:
        if step.what is not _What.NOTHING:
            if min(conversations_left, messages_left, marks_left) <= 0:
                return taken, True
            _cut_step(step, messages_left, marks_left)
            conversations_left -= 1
            messages_left -= _weight(step)
            marks_left -= len(step.marks)
        taken.append(step)
        if step.begun is not None:
            return taken, True
    return taken, False


def _cut_step(step: _Step, messages_left: int, marks_left: int) -> None:
    messages, marks = step.messages[:messages_left], step.marks[:marks_left]
    revision, version, seq = step.all.revision, step.all.version, step.all.seq
    if len(messages) < len(step.messages):
        revision = messages[-1][0]
    if len(marks) < len(step.marks):
        version, seq = marks[-1].version, marks[-1].seq
    reached = Known(revision, version, seq)
    step.begun = reached if reached != step.all else None
    step.messages, step.marks = messages, marks


def _weight(step: _Step) -> int:
    """How many messages a step brings; of a whole conversation, which is not read yet, at most."""
    if step.what in {_What.WHOLE, _What.RESET}:
        return min(NEWEST, step.mine.conversation.last_seq - first_hidden(step.mine))
    return len(step.messages)


# --- the page -------------------------------------------------------------------------------------


def _news(viewer: User, steps: Sequence[_Step], cursor: str, *, more: bool) -> News:
    seen = _see_changed(viewer, steps)
    marked = [(step.mine.conversation_id, mark) for step in steps for mark in step.marks]
    return News(
        conversations=_show(viewer, steps, seen),
        marks=[
            _mark(seen[mark.message_id])
            for _, mark in marked
            if not mark.flags & Flag.REMOVED and mark.message_id in seen
        ],
        removed=[
            (conversation_id, mark.message_id)
            for conversation_id, mark in marked
            if mark.flags & Flag.REMOVED
        ],
        left=[step.mine.conversation_id for step in steps if step.what is _What.LEFT],
        cursor=cursor,
        more=more,
    )


def _see_changed(viewer: User, steps: Sequence[_Step]) -> dict[UUID, SeenMessage]:
    """Return the messages that changed or whose marks did, except what the viewer removed."""
    wanted = {message_id for step in steps for _, message_id in step.messages}
    wanted |= {mark.message_id for step in steps for mark in step.marks}
    if not wanted:
        return {}
    found = not_removed(viewer.user_id, Message.objects.filter(message_id__in=wanted))
    return {message.message_id: message for message in see(viewer.user_id, found)}


def _show(
    viewer: User, steps: Sequence[_Step], seen: dict[UUID, SeenMessage]
) -> list[SeenConversation]:
    given = {
        step.mine.conversation_id: step
        for step in steps
        if step.what in {_What.WHOLE, _What.RESET, _What.CHANGED}
    }
    whole = [step.mine for step in given.values() if step.what is not _What.CHANGED]
    messages = newest(viewer, whole, NEWEST) if whole else {}
    for conversation_id, step in given.items():
        if step.what is _What.CHANGED:
            messages[conversation_id] = [seen[m] for _, m in step.messages if m in seen]
    shown = show(viewer, [step.mine for step in given.values()], messages, LIST_CAP)
    return [replace(c, reset=given[c.conversation_id].what is _What.RESET) for c in shown]


def _mark(message: SeenMessage) -> SeenMark:
    return SeenMark(message.message_id, message.conversation_id, message.read, message.starred)


# --- the fence ------------------------------------------------------------------------------------


class Ticker:
    """Ticks the fence for readers who saw something unsettled, at most once a second."""

    def __init__(self) -> None:
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    def tick(self) -> None:
        if not self.is_due or connection.in_atomic_block:
            return
        self._next = time.monotonic() + fence.TICK.total_seconds()
        with suppress(Unavailable):
            fence.tick()


ticker = Ticker()
