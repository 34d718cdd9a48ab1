"""Questions for live delivery: who of the people online may hear of a conversation, and what.

They are asked for many conversations at once, and cost a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from parley.accounts.express import PERSON
from parley.accounts.models import Role
from parley.accounts.people import Person, read_person
from parley.conversations.models import Conversation, Kind, Participant
from parley.kernel.database import among, rows, uuid_reader, uuid_value
from parley.kernel.written import Written
from parley.messaging.models import Flag, Message
from parley.messaging.seen import MESSAGE, SeenMessage
from parley.messaging.sight import seen_row

# Up to so many members all are read and those online picked out; beyond, those online are asked
# for.
FEW_MEMBERS = 500
ASKED_AT_ONCE = 500
MOST_MEMBERS = 100  # in a conversation whose audience is remembered, or asked for by the loop


# What stands in a query, while it is written, for where it looks, and since when.
NOWHERE, NEVER = UUID(int=2**128 - 1), 2**63 - 1


class Standing(NamedTuple):
    """How far a conversation has come."""

    conversation_id: UUID
    kind: str
    revision: int
    last_seq: int
    members_rev: int
    member_count: int


class Listener(NamedTuple):
    """Someone online who is in a conversation, and what of it they may hear."""

    user_id: UUID
    is_admin: bool
    visible_after: int
    watermark: int
    joined_gen: int
    version: int


@dataclass(frozen=True, slots=True)
class Audience:
    """All who are in a conversation, online or not, and who they are.

    Of a direct one both people, whether or not they hid it: a message in it is for both.
    """

    kind: str
    members_rev: int
    member_count: int
    listeners: dict[UUID, Listener]
    people: dict[UUID, Person]

    def is_of(self, standing: Standing) -> bool:
        """Whether nobody came or went between this and how a conversation stood."""
        return self.members_rev == standing.members_rev


STANDING_SQL = f"SELECT {', '.join(Standing._fields)} FROM conversations_conversation WHERE {{}}"  # noqa: S608
LISTENERS_SQL = """
SELECT p.conversation_id, p.user_id, u.role, p.visible_after, p.watermark, p.joined_gen, p.version
  FROM conversations_participant p JOIN accounts_user u ON u.user_id = p.user_id
 WHERE {chosen} AND p.left_at IS NULL
"""
AUDIENCE_SQL = f"""
SELECT c.conversation_id, c.kind, c.members_rev, c.member_count,
       p.visible_after, p.watermark, p.joined_gen, p.version, {PERSON}
  FROM conversations_conversation c
  JOIN conversations_participant p ON p.conversation_id = c.conversation_id
  JOIN accounts_user u ON u.user_id = p.user_id
 WHERE {{chosen}} AND c.member_count <= {MOST_MEMBERS}
   AND (p.left_at IS NULL OR c.kind = '{Kind.DIRECT.value}')
"""  # noqa: S608 - the parts are ours
PERSON_AT = 8  # where the person begins in a row of it
MESSAGES_SQL = f"SELECT {MESSAGE} FROM messaging_message m WHERE {{}} ORDER BY m.revision"  # noqa: S608
# Without the message's id SQLite would walk the index that has all the rest.
MARKS_SQL = "SELECT user_id, message_id, flags FROM messaging_mark WHERE flags <> 0 AND ({chosen})"

OWN_CHANGE = (
    "user_id",
    "conversation_id",
    "version",
    "joined_gen",
    "left_at",
    "visible_after",
    "conversation__revision",
    "conversation__kind",
)


@dataclass(frozen=True, slots=True)
class OwnChange:
    """Someone changed something of their own in a conversation, now for the ``version``-th time."""

    user_id: UUID
    conversation_id: UUID
    version: int
    joined_gen: int
    revision: int  # the conversation's
    is_hidden: bool  # it is a direct one that they hid
    was_hidden: bool  # they did once


def find_conversations(conversation_ids: Collection[UUID]) -> dict[UUID, Standing]:
    if not conversation_ids:
        return {}
    chosen, parameters = among("conversation_id", conversation_ids)
    found = rows(STANDING_SQL.format(chosen), parameters)
    standing = (Standing(uuid_value(where), *rest) for where, *rest in found)
    return {each.conversation_id: each for each in standing}


def list_changed_since(gen: int, *, most: int) -> dict[UUID, int]:
    """Return the revisions of the conversations that changed after ``gen``.

    Also of those that changed again since: one that never rests must not wait until it does.
    """
    found = Conversation.objects.filter(gen__gt=gen)
    return dict(found.values_list("conversation_id", "revision")[:most])


def list_own_changes(gen: int, *, most: int) -> list[OwnChange] | None:
    """Return what people changed of their own after ``gen``; None where more than ``most`` did."""
    found = Participant.objects.filter(gen__gt=gen, version__gt=0)
    found = found.select_related("conversation").only(*OWN_CHANGE)[: most + 1]
    changes = [_own_change(mine) for mine in found]
    return changes if len(changes) <= most else None


def _own_change(mine: Participant) -> OwnChange:
    is_direct = mine.conversation.kind == Kind.DIRECT
    return OwnChange(
        mine.user_id,
        mine.conversation_id,
        mine.version,
        mine.joined_gen,
        mine.conversation.revision,
        is_hidden=is_direct and mine.left_at is not None,
        was_hidden=is_direct and mine.left_at is None and mine.visible_after > 0,
    )


def list_listeners(
    conversations: Iterable[Standing], *, online: Collection[UUID]
) -> dict[UUID, dict[UUID, Listener]]:
    """Return for each conversation those of the people online who are in it."""
    few = [c.conversation_id for c in conversations if c.member_count <= FEW_MEMBERS]
    many = [c.conversation_id for c in conversations if c.member_count > FEW_MEMBERS]
    asked = [among("p.conversation_id", few)] if few else []
    people = list(online)
    for start in range(0, len(people) if many else 0, ASKED_AT_ONCE):
        where, wheres = among("p.conversation_id", many)
        who, some = among("p.user_id", people[start : start + ASKED_AT_ONCE])
        asked.append((f"{where} AND {who}", [*wheres, *some]))
    found: dict[UUID, dict[UUID, Listener]] = {}
    for chosen, parameters in asked:
        read = read_listeners(rows(LISTENERS_SQL.format(chosen=chosen), parameters), online)
        for conversation_id, listeners in read.items():
            found.setdefault(conversation_id, {}).update(listeners)
    return found


def read_listeners(
    found: Iterable[Sequence[Any]], online: Collection[UUID]
) -> dict[UUID, dict[UUID, Listener]]:
    """Return those of the people online that rows of ``LISTENERS_SQL`` tell of."""
    listeners: dict[UUID, dict[UUID, Listener]] = {}
    named = uuid_reader()
    for where, who, role, *place in found:
        user_id = named(who)
        if user_id in online:
            listener = Listener(user_id, role == Role.ADMIN, *place)
            listeners.setdefault(named(where), {})[user_id] = listener
    return listeners


def find_audiences(conversation_ids: Collection[UUID]) -> dict[UUID, Audience]:
    """Return who is in each of these conversations; large ones are left out."""
    chosen, parameters = among("c.conversation_id", conversation_ids)
    return read_audiences(rows(AUDIENCE_SQL.format(chosen=chosen), parameters))


def read_audiences(found: Iterable[Sequence[Any]]) -> dict[UUID, Audience]:
    """Return the audiences of rows of ``AUDIENCE_SQL``."""
    audiences: dict[UUID, Audience] = {}
    named = uuid_reader()
    for row in found:
        where, person = named(row[0]), read_person(row[PERSON_AT:])
        if where not in audiences:
            kind, members_rev, member_count = row[1:4]
            audiences[where] = Audience(kind, members_rev, member_count, {}, {})
        user_id = person.user_id
        is_admin = person.role == Role.ADMIN
        audiences[where].listeners[user_id] = Listener(user_id, is_admin, *row[4:PERSON_AT])
        audiences[where].people[user_id] = person
    return audiences


def list_leavers(
    conversations: Iterable[Standing], *, online: Collection[UUID], settled: int
) -> dict[UUID, frozenset[UUID]]:
    """Return who of the people online left each conversation in the generations after one."""
    ids = [conversation.conversation_id for conversation in conversations]
    if not ids:
        return {}
    rows = Participant.objects.filter(
        conversation_id__in=ids, left_at__isnull=False, gen__gt=settled
    ).values_list("conversation_id", "user_id")
    found: dict[UUID, set[UUID]] = {}
    for conversation_id, user_id in rows:
        if user_id in online:
            found.setdefault(conversation_id, set()).add(user_id)
    return {where: frozenset(people) for where, people in found.items()}


def list_changed_messages(
    since: Mapping[UUID, int | None], *, settled: int, most: int
) -> dict[UUID, list[SeenMessage]]:
    """Return what changed of each conversation after a revision, by revision; at most ``most`` + 1.

    Nothing of generation ``settled`` and before; where the revision is None, that alone decides.
    They are as someone sees them who neither read nor starred them.
    """
    known = [{NOWHERE: w, NEVER: revision} for w, revision in since.items() if revision is not None]
    new = [{NOWHERE: where} for where, revision in since.items() if revision is None]
    found = _changed(most).rows_of_each({}, known) if known else []
    found += _latest(most).rows_of_each({}, new) if new else []
    chosen, parameters = among("m.message_id", [uuid_value(m) for m, gen in found if gen > settled])
    if not parameters:
        return {}
    messages: dict[UUID, list[SeenMessage]] = {}
    named = uuid_reader()
    sql = MESSAGES_SQL.format(chosen)
    for row in rows(sql, parameters):
        message = seen_row(row, named)
        messages.setdefault(message.conversation_id, []).append(message)
    return messages


@cache
def _changed(most: int) -> Written:
    found = Message.objects.filter(conversation_id=NOWHERE, revision__gt=NEVER)
    return Written.of(found.order_by("revision").values_list("message_id", "gen")[: most + 1])


@cache
def _latest(most: int) -> Written:
    found = Message.objects.filter(conversation_id=NOWHERE)
    return Written.of(found.order_by("-revision").values_list("message_id", "gen")[: most + 1])


def list_settled_revisions(conversation_ids: Collection[UUID], *, settled: int) -> dict[UUID, int]:
    """Return of each conversation the revision of the last message of ``settled`` and before."""
    if not conversation_ids:
        return {}
    places = [{NOWHERE: where} for where in conversation_ids]
    found = _settled().rows_of_each({NEVER: settled}, places)
    return {uuid_value(where): revision for where, revision in found}


@cache
def _settled() -> Written:
    found = Message.objects.filter(conversation_id=NOWHERE, gen__lte=NEVER)
    found = found.order_by("-revision")
    return Written.of(found.values_list("conversation_id", "revision")[:1])


def list_marks(
    messages: Mapping[UUID, Collection[SeenMessage]],
    listeners: Mapping[UUID, Collection[UUID]],
) -> dict[tuple[UUID, UUID], int]:
    """Return the flags that listeners have set on messages, by (person, message)."""
    terms: list[str] = []
    parameters: list[Any] = []
    for conversation_id, changed in messages.items():
        who, people = among("user_id", listeners[conversation_id])
        seqs = [message.seq for message in changed]
        terms.append(
            f"({who} AND conversation_id = %s AND seq IN ({', '.join(['%s'] * len(seqs))}))"
        )
        parameters += [*people, conversation_id, *seqs]
    if not terms:
        return {}
    found = rows(MARKS_SQL.format(chosen=" OR ".join(terms)), parameters)
    return {(uuid_value(who), uuid_value(what)): flags for who, what, flags in found}


def list_recent_authors(
    upto: Mapping[UUID, int], online: Collection[UUID], *, most: int
) -> dict[UUID, dict[UUID, list[int]]]:
    """Return which of the ``most`` messages up to a ``seq`` are of people who are online.

    For each conversation, by author; only authors who are in it still.
    """
    conversations = find_conversations(upto)
    listeners = list_listeners(conversations.values(), online=online)
    found: dict[UUID, dict[UUID, list[int]]] = {}
    for where, last in upto.items():
        wrote = Message.objects.filter(
            conversation_id=where, seq__gt=last - most, seq__lte=last
        ).values_list("sender_id", "seq")
        for sender_id, seq in wrote:
            if sender_id in listeners.get(where, {}):
                found.setdefault(where, {}).setdefault(sender_id, []).append(seq)
    return found


def is_heard(message: SeenMessage, listener: Listener, flags: int) -> bool:
    """Whether a listener may hear of a message at all."""
    return message.seq > listener.visible_after and not flags & Flag.REMOVED
