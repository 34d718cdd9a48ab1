"""What the devices of this process have not heard yet of some conversations, in a few queries.

The hub knows up to which revision it has told of a conversation. A hint only says that there is
more; what it is, and who may hear it, is read here, for all waiting conversations at once. So an
event that was lost, doubled or overtaken changes nothing: the next pull gives the rest, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.accounts.people import Person, may_see_contact
from parley.conversations.events import Event, Type
from parley.conversations.models import Kind
from parley.http import wire
from parley.kernel.database import snapshot
from parley.kernel.errors import NotFound
from parley.messaging import express_listening, listening, queries
from parley.messaging.express_listening import Said
from parley.messaging.listening import Audience, Listener, Standing
from parley.messaging.models import Flag
from parley.messaging.seen import SeenMessage
from parley.messaging.sight import is_read
from parley.realtime.audiences import Audiences
from parley.realtime.frames import Frame, event

MOST_MESSAGES = 200  # of one conversation at once; who missed more syncs
NO_MARKS: Mapping[tuple[UUID, UUID], int] = MappingProxyType({})
MOST_SHOWN = 200  # people whom a conversation is shown to, each as they see it; more sync


@dataclass(frozen=True, slots=True)
class Heard:
    """Up to where this process has told of a conversation: all of it since a settled generation."""

    revision: int
    seq: int
    members_rev: int


@dataclass(slots=True)
class Want:
    """A conversation to look at; ``heard`` is None where this process never told of it.

    Whoever waits for it to be told up to a revision that no hint names says so by ``least``.
    """

    conversation_id: UUID
    heard: Heard | None = None
    hints: list[Event] = field(default_factory=list)
    least: int = 0

    def said(self) -> list[SeenMessage]:
        """Return the messages of the hints, if they are all that is new: nothing is left to ask."""
        heard, said = self.heard, [hint.said for hint in self.hints]
        if heard is None or not said or None in said:
            return []
        new = {each.revision: each for each in said if each.revision > heard.revision}
        last = max(new, default=0)
        is_all = last - heard.revision == len(new) and last >= self.least
        return [new[revision] for revision in sorted(new)] if is_all else []


@dataclass(frozen=True, slots=True)
class Told:
    """One frame, and whose devices it is for."""

    frame: Frame
    to: Collection[UUID]


@dataclass(frozen=True, slots=True)
class Pulled:
    """All that is new of one conversation, and where this process stands when it is told."""

    conversation_id: UUID
    heard: Heard
    told: list[Told]
    # Whom the conversation was opened to, and the version of their own that this told.
    versions: Mapping[UUID, int] = field(default_factory=dict)

    def until(self, other: Pulled) -> list[Told]:
        """Return of this, which was read later, what the other told too."""
        return [told for told in self.told if (told.frame.revision or 0) <= other.heard.revision]


def tell_said(
    want: Want, said: Sequence[SeenMessage], audience: Audience, *, online: frozenset[UUID]
) -> Pulled | None:
    """Return what is new of a conversation as its hints say it; None where that must be asked:
    it is not the members of then who are known.

    Who set marks on these messages, or read them, is told so when they have been told of.
    """
    if want.heard is None:
        return None
    last = said[-1]
    standing = Standing(
        want.conversation_id,
        audience.kind,
        last.revision,
        last.seq,
        want.heard.members_rev,
        audience.member_count,
    )
    return _tell_messages(want, standing, said, audience, online=online)


async def pull_at_once(
    wants: Sequence[Want],
    audiences: Audiences,
    *,
    online: frozenset[UUID],
    is_ahead: Callable[[SeenMessage], bool],
) -> list[Pulled]:
    """Return, from an event loop, what is new of those conversations where that is quick to say:
    on PostgreSQL, where a few messages came in one that was told of before.

    :raises psycopg.Error: the database refuses it, or does not answer.
    """
    asked = {want.conversation_id: want for want in wants if _is_of_messages(want)}
    if not asked or connection.vendor != "postgresql":
        return []
    since = {where: want.heard.revision for where, want in asked.items() if want.heard}
    said = await express_listening.list_said(since)
    # Nobody was told of new ones yet, so what is remembered will do, as in ``tell_said``.
    known = {
        where
        for where, each in said.items()
        if each.messages and (_was_told(asked[where], each) or is_ahead(each.messages[0]))
    }
    audience_of = await audiences.of(said, anew=known)
    changed = [where for where, each in audience_of.items() if not each.is_of(said[where].standing)]
    audience_of |= await audiences.of(changed, anew=changed)
    marks = await express_listening.list_marks([m for where in known for m in said[where].messages])
    found = (
        _tell_messages(
            asked[where],
            said[where].standing,
            said[where].messages,
            audience,
            marks=marks,
            online=online,
        )
        for where, audience in audience_of.items()
    )
    return [each for each in found if each is not None]


def _tell_messages(
    want: Want,
    standing: Standing,
    messages: Sequence[SeenMessage],
    audience: Audience,
    *,
    online: frozenset[UUID],
    marks: Mapping[tuple[UUID, UUID], int] = NO_MARKS,
) -> Pulled | None:
    """Return what is to be told of messages that are all that is new; None where who is in their
    conversation, or wrote them, is not known.
    """
    senders = {message.sender_id for message in messages}
    if want.heard is None or not audience.is_of(standing) or not senders <= audience.people.keys():
        return None
    listeners = {u: each for u, each in audience.listeners.items() if u in online}
    base = want.heard.revision
    return _Telling(standing, want, listeners, marks, audience.people, online, base=base).all(
        messages
    )


def _was_told(want: Want, said: Said) -> bool:
    """Whether some of these messages are not new to people."""
    return want.heard is None or any(message.seq <= want.heard.seq for message in said.messages)


def pull(wants: Sequence[Want], *, online: frozenset[UUID], settled: int) -> list[Pulled]:
    """Return what is new of these conversations for those of their people who are online.

    ``settled`` is the generation up to which this process has told everything.
    """
    # A conversation is told before messages in it, and must not show a later watermark than they.
    with nullcontext() if all(map(_is_of_messages, wants)) else snapshot():
        return _pull(wants, online, settled)


def _is_of_messages(want: Want) -> bool:
    return want.heard is not None and {hint.type for hint in want.hints} == {Type.MESSAGES}


def _pull(wants: Sequence[Want], online: frozenset[UUID], settled: int) -> list[Pulled]:
    conversations = listening.find_conversations([want.conversation_id for want in wants])
    listeners = listening.list_listeners(conversations.values(), online=online)
    heard_by_someone = [want for want in wants if listeners.get(want.conversation_id)]
    messages = listening.list_changed_messages(
        {want.conversation_id: _since(want) for want in heard_by_someone},
        settled=settled,
        most=MOST_MESSAGES,
    )
    marks = listening.list_marks(messages, listeners)
    named = {m.sender_id for found in messages.values() for m in found}
    named |= {user_id for want in wants for hint in want.hints for user_id in hint.user_ids}
    new = [want.conversation_id for want in heard_by_someone if want.heard is None]
    bases = listening.list_settled_revisions(new, settled=settled)
    silent = [conversations[w.conversation_id] for w in wants if _lacks(w, conversations)]
    left = listening.list_leavers(silent, online=online, settled=settled)
    named |= {user_id for gone in left.values() for user_id in gone}
    people = accounts.known(user_ids=named) if named else {}
    pulled = []
    for want in wants:
        conversation = conversations.get(want.conversation_id)
        if conversation is None:
            continue
        telling = _Telling(
            conversation,
            want,
            listeners.get(want.conversation_id, {}),
            marks,
            people,
            online,
            settled,
            left.get(want.conversation_id, frozenset()),
            want.heard.revision if want.heard else bases.get(want.conversation_id, 0),
        )
        changed = messages.get(want.conversation_id, [])
        # What came since the conversation was read is the next pull's.
        pulled.append(telling.all([m for m in changed if m.revision <= conversation.revision]))
    return pulled


def _since(want: Want) -> int | None:
    """The revision after which to look; None where only the generation tells.

    A hint's own revision does not: the one before it may have been lost.
    """
    return None if want.heard is None else want.heard.revision


def _lacks(want: Want, conversations: Mapping[UUID, Standing]) -> bool:
    """Whether members may have gone of whom no hint tells."""
    where = conversations.get(want.conversation_id)
    if where is None:
        return False
    return want.heard is None or want.heard.members_rev != where.members_rev


@dataclass(slots=True)
class _Telling:
    """One conversation's news, put into frames."""

    conversation: Standing
    want: Want
    listeners: Mapping[UUID, Listener]
    marks: Mapping[tuple[UUID, UUID], int]
    people: Mapping[UUID, Person]
    online: frozenset[UUID]
    settled: int = 0
    lost: frozenset[UUID] = frozenset()
    base: int = 0  # the revision up to which all is told, or at least what is said
    told: list[Told] = field(default_factory=list)
    previous: int = 0
    versions: dict[UUID, int] = field(default_factory=dict)

    def all(self, messages: Sequence[SeenMessage]) -> Pulled:
        """Tell of everything, by revision; of too much only that there is more to sync."""
        heard_of = _since(self.want)
        self.previous = heard_of or (messages[0].revision - 1 if messages else 0)
        if len(messages) > MOST_MESSAGES:
            self._resync()
        else:
            self._in_order(messages)
            self._mark_parts()
        heard = Heard(
            self.conversation.revision, self.conversation.last_seq, self.conversation.members_rev
        )
        return Pulled(self.conversation.conversation_id, heard, self.told, self.versions)

    def _in_order(self, messages: Sequence[SeenMessage]) -> None:
        steps: list[tuple[int, bool, Any]] = [(m.revision, True, m) for m in messages]
        # A message that opens a conversation again has its revision, and comes in it.
        steps += [(h.revision or 0, h.type is not Type.CREATED, h) for h in self._hints(messages)]
        for revision, _, step in sorted(steps, key=lambda step: step[:2]):
            if isinstance(step, SeenMessage):
                self._tell_message(step)
            else:
                self._tell_hint(step)
            self.previous = max(self.previous, revision)

    def _hints(self, messages: Sequence[SeenMessage]) -> list[Event]:
        """What is known of changes that are no messages; where hints were lost, a guess."""
        heard, where = self.want.heard, self.conversation
        hints = [hint for hint in self.want.hints if hint.type is not Type.MESSAGES]
        if heard is not None and where.kind != Kind.DIRECT:
            # To hide a direct one and to open it takes no revision.
            hints = [hint for hint in hints if (hint.revision or 0) > heard.revision]
        known = {message.revision for message in messages} | {h.revision for h in hints}
        is_all = known >= set(range(self.base + 1, where.revision + 1))
        if heard is not None and is_all:
            return hints
        hints = [*self._unannounced(hints), *hints]
        # Of a large one that is new here, the last before may have been a change long told.
        is_large = len(self.listeners) > MOST_SHOWN
        is_hinted = bool(self.want.hints) and all(h.revision is not None for h in self.want.hints)
        if heard is None and (is_all or (is_large and is_hinted)):
            return hints
        left = tuple(self.lost - {user_id for hint in hints for user_id in hint.user_ids})
        if left:
            hints.append(Event(Type.LEFT, where.conversation_id, where.revision, left))
        return [*hints, Event(Type.CHANGED, where.conversation_id, where.revision)]

    def _unannounced(self, hints: Sequence[Event]) -> list[Event]:
        """Who came in of late, and no hint tells of it."""
        new = {u for u, listener in self.listeners.items() if listener.joined_gen > self.settled}
        told = (hint.user_ids for hint in hints if hint.type in {Type.CREATED, Type.JOINED})
        new.difference_update(*told)
        where = self.conversation.conversation_id
        return [Event(Type.CREATED, where, None, tuple(new))] if new else []

    def _mark_parts(self) -> None:
        """Let the last frame alone of a revision stand for it: a stream may be cut between them."""
        later: set[int | None] = set()
        for at, told in reversed([*enumerate(self.told)]):
            if told.frame.revision in later:
                self.told[at] = replace(told, frame=replace(told.frame, is_whole=False))
            later.add(told.frame.revision)

    def _resync(self) -> None:
        frame = event("resync", timezone.now(), content={})
        self.told.append(Told(frame, list(self.listeners)))

    # --- messages

    def _tell_message(self, message: SeenMessage) -> None:
        """Tell of one message, written once for all who see it alike."""
        variants: dict[tuple[bool, bool, bool], list[UUID]] = {}
        sender = self.people[message.sender_id]
        for user_id, listener in self.listeners.items():
            flags = self.marks.get((user_id, message.message_id), 0)
            if not listening.is_heard(message, listener, flags):
                continue
            read = message.sender_id == user_id or is_read(message.seq, flags, listener.watermark)
            contact = may_see_contact(user_id, sender, is_admin=listener.is_admin)
            variant = (read, bool(flags & Flag.STARRED), contact)
            variants.setdefault(variant, []).append(user_id)
        for (read, starred, contact), to in variants.items():
            shown = sender if contact else sender.without_contact()
            seen = message._replace(read=read, starred=starred)
            self._tell_change(
                self._type_of(message),
                message.retracted_at or message.edited_at or message.sent_at,
                message.revision,
                {"message": wire.message(seen, wire.People.of({shown.user_id: shown}))},
                to,
            )

    def _type_of(self, message: SeenMessage) -> str:
        heard = self.want.heard
        if heard is not None:
            is_new = message.seq > heard.seq
        else:
            is_new = message.edited_at is None and message.retracted_at is None
        return "message.created" if is_new else "message.changed"

    # --- everything else

    def _tell_hint(self, hint: Event) -> None:
        revision = hint.revision or 0
        if hint.type is Type.CREATED:
            begun = len(self.told)
            self._tell_conversation("conversation.created", revision, hint.user_ids)
            if hint.revision is not None:
                self._note_opened(hint.user_ids)
            else:
                guesses = [replace(t, frame=replace(t.frame, is_guess=True)) for t in self.told]
                self.told[begun:] = guesses[begun:]
        elif hint.type is Type.CHANGED:
            self._tell_conversation("conversation.changed", revision, self.listeners)
        elif hint.type is Type.JOINED:
            self._tell_conversation("conversation.created", revision, hint.user_ids)
            self._note_opened(hint.user_ids)
            self._tell_people("participant.joined", revision, hint.user_ids)
        elif hint.type is Type.LEFT:
            self._tell_people("participant.left", revision, hint.user_ids)

    def _note_opened(self, user_ids: Collection[UUID]) -> None:
        """Whoever takes a conversation as new has what they changed of it until now."""
        listeners = (self.listeners[u] for u in user_ids if u in self.listeners)
        self.versions.update({listener.user_id: listener.version for listener in listeners})

    def _tell_conversation(self, type_: str, revision: int, user_ids: Collection[UUID]) -> None:
        """Tell each of these people of the conversation, as each of them sees it."""
        if len(user_ids) > MOST_SHOWN:
            self._resync()
            return
        for user_id in user_ids:
            if user_id not in self.listeners:
                continue
            content = show(user_id, self.conversation.conversation_id)
            if content:
                self._tell_change(type_, timezone.now(), revision, content, [user_id])

    def _tell_people(self, type_: str, revision: int, user_ids: Collection[UUID]) -> None:
        """Tell everyone who is in it of people who came or went, and those who went, too."""
        to = set(self.listeners)
        if type_ == "participant.left":
            to |= self.online.intersection(user_ids)
        for user_id in user_ids:
            person = self.people.get(user_id)
            is_back = type_ == "participant.left" and user_id in self.listeners
            if person is None or is_back:  # of who came back, their coming is told
                continue
            shown = wire.person(person.without_contact())
            is_own = self.conversation.kind == Kind.DIRECT  # hidden: a matter of one's own
            own = to & {user_id} if is_own else to
            self._tell_change(type_, timezone.now(), revision, {"user": shown}, own)

    def _tell_change(
        self,
        type_: str,
        at: datetime,
        revision: int,
        content: Mapping[str, Any],
        to: Collection[UUID],
    ) -> None:
        frame = event(
            type_,
            at,
            conversation_id=self.conversation.conversation_id,
            revision=revision,
            content=content,
            beside={
                "prev_revision": min(self.previous, revision),
                "members_rev": self.conversation.members_rev,
            },
        )
        self.told.append(Told(frame, to))


def show(user_id: UUID, conversation_id: UUID) -> dict[str, Any] | None:
    """Return the conversation object as one person sees it; None where they are not in it."""
    viewer = User(user_id=user_id)
    try:
        seen = queries.get_conversation(viewer=viewer, conversation_id=conversation_id, messages=1)
    except NotFound:
        return None
    people = accounts.people(viewer=viewer, user_ids=seen.people())
    return {"conversation": wire.conversation(seen, wire.People.of(people))}
