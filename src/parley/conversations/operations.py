"""What changes conversations: creating, joining, leaving, blocking.

Lock order everywhere: fence → direct pair or block → conversations in the database's order →
participants → messages → marks. Never a conversation after a participant.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.conversations import fence
from parley.conversations.events import Event, Type, tell
from parley.conversations.fence import Entered
from parley.conversations.models import Block, Conversation, Kind, MemberRole, Participant
from parley.conversations.seen import SeenParticipant
from parley.kernel import ids
from parley.kernel.database import (
    among,
    columns,
    in_transaction,
    instances,
    locked,
    locking_sql,
    rows,
    text_value,
    uuid_value,
)
from parley.kernel.errors import Conflict, Invalid, NotAllowed, NotFound
from parley.kernel.hooks import Hook
from parley.kernel.text import check_text

LONGEST_TITLE = 255
MOST_NAMED = 10_000

# Someone is in a group again that they had left: what they did to its messages must not count as
# unread.
rejoined: Hook[Participant] = Hook()


class ConversationNotFound(NotFound):
    message = "No conversation matches the given query."


class Blocked(NotAllowed):
    code = "blocked"
    message = "This person does not accept direct messages from you."


class NotAnOwner(NotAllowed):
    code = "not_an_owner"
    message = "Only an owner of the group may do this."


class UnknownParticipant(Invalid):
    code = "does_not_exist"
    message = "No such user."


class TooManyParticipants(Invalid):
    code = "max_length"
    message = f"At most {MOST_NAMED} participants can be named in one request."


class KindMismatch(Invalid):
    code = "invalid_kind"
    message = "A direct conversation has two people at most, and no title."


class AlreadyParticipant(Conflict):
    code = "already_participant"
    message = "This person is a participant already."


class LastOwner(Conflict):
    code = "last_owner"
    message = "A group needs an owner; name another one first."


class NotOneself(Invalid):
    code = "invalid"
    message = "You cannot block yourself."


# --- creating -------------------------------------------------------------------------------------


def create_conversation(
    *,
    creator: User,
    participant_ids: Sequence[UUID],
    kind: str | None = None,
    title: str = "",
) -> tuple[UUID, bool]:
    """Create a conversation and return its id, and whether it is new; a pair has one direct
    conversation.

    :raises UnknownParticipant: someone named is not an active user.
    :raises KindMismatch: direct, yet with a title or more than two people.
    :raises Blocked: the other person of a new direct conversation has blocked the creator.
    """
    others = others_of(creator.user_id, participant_ids, attr="participants")
    if title:
        check_text(title, attr="title", longest=LONGEST_TITLE)
    chosen = kind or (Kind.DIRECT if len(others) <= 1 and not title else Kind.GROUP)
    if chosen == Kind.DIRECT and (title or len(others) > 1):
        raise KindMismatch(attr="kind")
    if accounts.existing(user_ids=others) != set(others):
        raise UnknownParticipant(attr="participants")
    if chosen == Kind.GROUP:
        return _create_group(creator.user_id, others, title), True
    return _open_direct(creator.user_id, others[0] if others else creator.user_id)


def others_of(one: UUID, named: Collection[UUID], *, attr: str) -> list[UUID]:
    """Return the people named, each once, without oneself.

    :raises TooManyParticipants: more are named than one request may hold.
    """
    if len(named) > MOST_NAMED:
        raise TooManyParticipants(attr=attr)
    return [user_id for user_id in dict.fromkeys(named) if user_id != one]


@in_transaction
def _create_group(creator_id: UUID, others: Sequence[UUID], title: str) -> UUID:
    return add_group(ids.new_id(), creator_id, others, title=title, entered=fence.enter())


def add_group(
    conversation_id: UUID,
    creator_id: UUID,
    others: Sequence[UUID],
    *,
    entered: Entered,
    title: str = "",
) -> UUID:
    """Write a new group within the caller's transaction; its creator is the owner.

    :raises IntegrityError: the id is taken.
    """
    _add(conversation_id, Kind.GROUP, [creator_id, *others], entered, title=title)
    Participant.objects.filter(conversation_id=conversation_id, user_id=creator_id).update(
        member_role=MemberRole.OWNER
    )
    return conversation_id


def _add(
    conversation_id: UUID,
    kind: str,
    members: Collection[UUID],
    entered: Entered,
    *,
    title: str = "",
    direct_key: str | None = None,
) -> None:
    Conversation.objects.create(
        conversation_id=conversation_id,
        kind=kind,
        title=title,
        direct_key=direct_key,
        created_at=entered.now,
        changed_at=entered.now,
        active_at=entered.now,
        gen=entered.g,
        active_gen=entered.g,
        member_count=len(members),
    )
    Participant.objects.bulk_create(
        [
            Participant(
                conversation_id=conversation_id,
                user_id=user_id,
                joined_at=entered.now,
                changed_at=entered.now,
                gen=entered.g,
                joined_gen=entered.g,
            )
            for user_id in members
        ],
        batch_size=1_000,
    )
    tell(Event(Type.CREATED, conversation_id, revision=0, user_ids=tuple(members)))


def ensure_direct(one: UUID, other: UUID, *, entered: Entered) -> tuple[UUID, bool]:
    """Return the id of a pair's direct conversation, and whether this transaction created it.

    Creation locks the other person's row, as blocking does: whoever comes second sees what the
    first did.

    :raises Blocked: it is new, and the other person has blocked the one who opens it.
    """
    key = ids.direct_key(one, other)
    found = find_direct(key)
    if found is not None:
        return found, False
    locked(User.objects.filter(user_id=other)).first()
    if is_blocked(blocker_id=other, blocked_id=one):
        raise Blocked
    conversation_id = ids.direct_conversation_id(key)
    try:
        with transaction.atomic():
            _add(
                conversation_id,
                Kind.DIRECT,
                list(dict.fromkeys((one, other))),
                entered,
                direct_key=key.hex(),
            )
    except IntegrityError:
        found = find_direct(key)
        if found is None:
            raise
        return found, False
    return conversation_id, True


DIRECT_SQL = "SELECT direct_key, conversation_id FROM conversations_conversation WHERE {chosen}"


def find_direct(key: bytes) -> UUID | None:
    """Return the id of the direct conversation of a pair's key, if there is one."""
    return find_directs([key]).get(key)


def find_directs(keys: Collection[bytes]) -> dict[bytes, UUID]:
    """Return the ids of the direct conversations that stand, by their pairs' keys."""
    if not keys:
        return {}
    chosen, parameters = among("direct_key", [key.hex() for key in keys])
    found = rows(DIRECT_SQL.format(chosen=chosen), parameters)
    return {bytes.fromhex(text_value(key)): uuid_value(where) for key, where in found}


@in_transaction
def _open_direct(creator_id: UUID, other_id: UUID) -> tuple[UUID, bool]:
    entered = fence.enter()
    conversation_id, is_new = ensure_direct(creator_id, other_id, entered=entered)
    if not is_new:
        conversation = lock_one(conversation_id)
        for mine in locked(conversation.participants.filter(user_id=creator_id)):
            if mine.left_at is not None:
                bring_back(mine, conversation, entered)
    return conversation_id, is_new


# --- locking and stamping -------------------------------------------------------------------------


LOCK_SQL = """
SELECT * FROM conversations_conversation WHERE {chosen} ORDER BY conversation_id {locking}
"""


def lock_conversations(conversation_ids: Collection[UUID]) -> dict[UUID, Conversation]:
    """Lock these conversations to the end of the transaction, in the database's order of keys."""
    if not conversation_ids:
        return {}
    chosen, parameters = among("conversation_id", conversation_ids)
    sql = LOCK_SQL.format(chosen=chosen, locking=locking_sql())
    return {c.conversation_id: c for c in instances(Conversation, sql, parameters)}


def lock_one(conversation_id: UUID) -> Conversation:
    """Lock one conversation.

    :raises ConversationNotFound: there is none with this id.
    """
    found = lock_conversations([conversation_id])
    if not found:
        raise ConversationNotFound
    return found[conversation_id]


def stamp(conversation: Conversation, entered: Entered, *fields: str) -> None:
    """Give a locked conversation its next revision, and write it with the fields that the caller
    changed.
    """
    conversation.revision += 1
    conversation.gen = max(conversation.gen, entered.g)
    conversation.changed_at = max(conversation.changed_at, entered.now)
    conversation.save(update_fields=["revision", "gen", "changed_at", *fields])


def _of(conversation: Conversation, about: Type, *user_ids: UUID) -> Event:
    """The event of a locked conversation's latest change."""
    return Event(about, conversation.conversation_id, conversation.revision, user_ids)


def stamp_own(participant: Participant, entered: Entered, *fields: str) -> None:
    """Note on a locked participant that the person changed something of their own."""
    participant.version += 1
    participant.gen = max(participant.gen, entered.g)
    participant.changed_at = max(participant.changed_at, entered.now)
    participant.write("version", "gen", "changed_at", *fields)


LOCK_OWN_SQL = f"""
SELECT {columns(Participant, "p")} FROM conversations_participant p
 WHERE user_id = %s AND conversation_id = %s AND left_at IS NULL {{locking}}
"""  # noqa: S608 - names of ours


def lock_own(viewer_id: UUID, conversation_id: UUID) -> Participant:
    """Lock the viewer's own row in a conversation they are in.

    :raises ConversationNotFound: they are not in it, or there is no such conversation.
    """
    sql = LOCK_OWN_SQL.format(locking=locking_sql())
    found = instances(Participant, sql, [viewer_id, conversation_id], by_key=True)
    if not found:
        raise ConversationNotFound
    return found[0]


def bring_back(participant: Participant, conversation: Conversation, entered: Entered) -> None:
    """Show a hidden direct conversation again; what was said before it was hidden stays hidden."""
    participant.left_at = None
    participant.joined_gen = entered.g
    participant.joined_revision = conversation.revision
    stamp_own(participant, entered, "left_at", "joined_gen", "joined_revision")
    tell(_of(conversation, Type.CREATED, participant.user_id))


def is_blocked(*, blocker_id: UUID, blocked_id: UUID) -> bool:
    return Block.objects.filter(blocker_id=blocker_id, blocked_id=blocked_id).exists()


# --- groups ---------------------------------------------------------------------------------------


def _lock_as_member(actor: User, conversation_id: UUID) -> tuple[Conversation, Participant]:
    """Lock a conversation that the actor is in.

    :raises ConversationNotFound: the actor is not in it.
    """
    conversation = lock_one(conversation_id)
    return conversation, lock_own(actor.user_id, conversation_id)


def _lock_as_owner(actor: User, conversation_id: UUID) -> tuple[Conversation, Participant]:
    """Lock a group that the actor owns.

    :raises NotAnOwner: a participant, but not an owner; in a direct conversation nobody is.
    """
    conversation, mine = _lock_as_member(actor, conversation_id)
    if mine.member_role != MemberRole.OWNER:
        raise NotAnOwner
    return conversation, mine


@in_transaction
def change_conversation(
    *,
    actor: User,
    conversation_id: UUID,
    title: str | None = None,
    participant_ids: Sequence[UUID] | None = None,
) -> None:
    """Rename a group, or make its participants exactly these and the actor; ``None`` leaves as it
    is.

    :raises NotAnOwner: the actor does not own it.
    :raises UnknownParticipant: someone named is not an active user.
    """
    entered = fence.enter()
    conversation, _ = _lock_as_owner(actor, conversation_id)
    if title is not None and title != conversation.title:
        if title:
            check_text(title, attr="title", longest=LONGEST_TITLE)
        conversation.title = title
        stamp(conversation, entered, "title")
        tell(_of(conversation, Type.CHANGED))
    if participant_ids is not None:
        _set_members(conversation, actor.user_id, participant_ids, entered)


def _set_members(
    conversation: Conversation, actor_id: UUID, named: Sequence[UUID], entered: Entered
) -> None:
    wanted = {*others_of(actor_id, named, attr="participants"), actor_id}
    present = {p.user_id: p for p in locked(conversation.participants.filter(left_at=None))}
    new = [user_id for user_id in dict.fromkeys(named) if user_id in wanted - present.keys()]
    if accounts.existing(user_ids=new) != set(new):
        raise UnknownParticipant(attr="participants")
    if new:
        _join(conversation, new, MemberRole.MEMBER, entered)
    gone = [present[user_id] for user_id in present.keys() - wanted]
    if gone:
        _part(conversation, gone, entered)


@in_transaction
def add_participant(
    *, actor: User, conversation_id: UUID, user_id: UUID, member_role: str = MemberRole.MEMBER
) -> SeenParticipant:
    """Add someone to a group; they see its whole history, with nothing unread.

    :raises NotAnOwner: the actor does not own it.
    :raises UnknownParticipant: there is no such active user.
    :raises AlreadyParticipant: they are in it.
    """
    entered = fence.enter()
    conversation, _ = _lock_as_owner(actor, conversation_id)
    if not accounts.existing(user_ids=[user_id]):
        raise UnknownParticipant(attr="user_id")
    joined = _join(conversation, [user_id], member_role, entered)
    if not joined:
        raise AlreadyParticipant(attr="user_id")
    return see_participant(joined[0])


def _join(
    conversation: Conversation, user_ids: Sequence[UUID], member_role: str, entered: Entered
) -> list[Participant]:
    """Add these people in one change, and return those who were not in it yet."""
    known = {p.user_id: p for p in locked(conversation.participants.filter(user_id__in=user_ids))}
    coming = [u for u in user_ids if u not in known or known[u].left_at is not None]
    if not coming:
        return []
    conversation.members_rev += 1
    conversation.member_count += len(coming)
    stamp(conversation, entered, "members_rev", "member_count")
    joined = [
        known.get(user_id) or Participant(conversation=conversation, user_id=user_id)
        for user_id in coming
    ]
    fields: list[str] = []
    for participant in joined:
        fields = _begin(participant, conversation, member_role, entered)
    Participant.objects.bulk_create([p for p in joined if p.user_id not in known], batch_size=500)
    for participant in joined:
        if participant.user_id in known:
            participant.write(*fields)
            rejoined(participant)
    tell(_of(conversation, Type.JOINED, *coming))
    return joined


def _begin(
    participant: Participant, conversation: Conversation, member_role: str, entered: Entered
) -> list[str]:
    """Set a participant to the state of someone who joins now; return the names of the fields."""
    end = conversation.last_seq
    state = {
        "member_role": member_role,
        "joined_at": entered.now,
        "left_at": None,
        "changed_at": entered.now,
        "version": participant.version + 1,
        "gen": max(participant.gen or 0, entered.g),
        "joined_gen": entered.g,
        "joined_revision": conversation.revision,
        "read_seq": max(participant.read_seq, end),
        "watermark": end,
        "delivered_seq": max(participant.delivered_seq, end),
    }
    for name, value in state.items():
        setattr(participant, name, value)
    return list(state)


@in_transaction
def set_member_role(
    *, actor: User, conversation_id: UUID, user_id: UUID, member_role: str
) -> SeenParticipant:
    """Make a participant of a group an owner or a member.

    :raises NotAnOwner: the actor does not own it.
    :raises NotFound: the person is not in it.
    :raises LastOwner: nobody would own it.
    """
    entered = fence.enter()
    conversation, mine = _lock_as_owner(actor, conversation_id)
    theirs = mine if user_id == actor.user_id else _find_member(conversation, user_id)
    if theirs.member_role == member_role:
        return see_participant(theirs)
    if member_role == MemberRole.MEMBER and not _has_owner_beside(conversation, user_id):
        raise LastOwner
    theirs.member_role = member_role
    theirs.write("member_role")
    conversation.members_rev += 1
    stamp(conversation, entered, "members_rev")
    tell(_of(conversation, Type.CHANGED))
    return see_participant(theirs)


def _find_member(conversation: Conversation, user_id: UUID) -> Participant:
    found = locked(conversation.participants.filter(user_id=user_id, left_at=None)).first()
    if found is None:
        raise NotFound
    return found


def _has_owner_beside(conversation: Conversation, user_id: UUID) -> bool:
    owners = conversation.participants.filter(left_at=None, member_role=MemberRole.OWNER)
    return owners.exclude(user_id=user_id).exists()


@in_transaction
def remove_participant(*, actor: User, conversation_id: UUID, user_id: UUID) -> None:
    """Take someone out of a group, as its owner; anyone may take out themselves.

    :raises NotAnOwner: it is someone else, and the actor does not own it.
    :raises NotFound: the person is not in it.
    """
    entered = fence.enter()
    if user_id == actor.user_id:
        conversation, mine = _lock_as_member(actor, conversation_id)
        _part(conversation, [mine], entered)
        return
    conversation, _ = _lock_as_owner(actor, conversation_id)
    _part(conversation, [_find_member(conversation, user_id)], entered)


def leave(*, viewer: User, conversation_id: UUID) -> None:
    """Leave a group; a direct conversation is hidden, and read, until the next message in it.

    :raises ConversationNotFound: the viewer is not in it.
    """
    remove_participant(actor=viewer, conversation_id=conversation_id, user_id=viewer.user_id)


def _part(conversation: Conversation, leaving: Sequence[Participant], entered: Entered) -> None:
    """Take locked participants out, in one change; a direct conversation is hidden from them."""
    is_inherited = False
    for participant in leaving:
        participant.left_at = entered.now
        if conversation.kind == Kind.DIRECT:
            _hide(conversation, participant, entered)
            continue
        was_owner = participant.member_role == MemberRole.OWNER
        participant.member_role = MemberRole.MEMBER
        stamp_own(participant, entered, "left_at", "member_role")
        if was_owner and not _has_owner_beside(conversation, participant.user_id):
            is_inherited |= _promote_longest_standing(conversation)
    if conversation.kind == Kind.GROUP:
        conversation.members_rev += 1
        conversation.member_count -= len(leaving)
        stamp(conversation, entered, "members_rev", "member_count")
    left = _of(conversation, Type.LEFT, *(participant.user_id for participant in leaving))
    # Of one revision, so together: who hears of one alone would take that for all of it.
    tell(left, *[_of(conversation, Type.CHANGED)] * is_inherited)


def _hide(conversation: Conversation, participant: Participant, entered: Entered) -> None:
    """A direct conversation is only hidden: a matter of the person's own, unseen by the other."""
    end = conversation.last_seq
    participant.visible_after = participant.watermark = participant.read_seq = end
    participant.delivered_seq = end
    fields = ("left_at", "visible_after", "watermark", "read_seq", "delivered_seq")
    stamp_own(participant, entered, *fields)


def _promote_longest_standing(conversation: Conversation) -> bool:
    """Make whoever is in it longest its owner, and say whether anyone is."""
    heir = conversation.participants.filter(left_at=None).order_by("joined_at", "user_id").first()
    if heir is not None:
        heir.member_role = MemberRole.OWNER
        heir.write("member_role")
    return heir is not None


def see_participant(participant: Participant) -> SeenParticipant:
    return SeenParticipant(
        user_id=participant.user_id,
        member_role=participant.member_role,
        read_seq=participant.read_seq,
        delivered_seq=participant.delivered_seq,
        joined_at=participant.joined_at,
    )


# --- one's own side -------------------------------------------------------------------------------


@in_transaction
def set_own(*, viewer: User, conversation_id: UUID, **changes: datetime | None) -> None:
    """Set ``muted_until``, ``archived_at`` or ``pinned_at`` of the viewer's own side.

    An archived conversation comes back with the next message, so it is noted where it stood.

    :raises ConversationNotFound: the viewer is not in it.
    """
    entered = fence.enter()
    last_seq = (
        Conversation.objects.filter(conversation_id=conversation_id)
        .values_list("last_seq", flat=True)
        .first()
    )
    mine = lock_own(viewer.user_id, conversation_id)
    for name, value in changes.items():
        setattr(mine, name, value)
    if "archived_at" in changes:
        mine.archived_seq = last_seq if changes["archived_at"] else None
    stamp_own(mine, entered, "muted_until", "archived_at", "archived_seq", "pinned_at")
    tell(Event(Type.OWN, conversation_id, user_ids=(viewer.user_id,)))


# --- blocks ---------------------------------------------------------------------------------------


def _other(blocker: User, user_id: UUID) -> UUID:
    if user_id == blocker.user_id:
        raise NotOneself
    if not User.objects.filter(user_id=user_id).exists():
        raise NotFound
    return user_id


@in_transaction
def block(*, blocker: User, user_id: UUID) -> None:
    """Refuse someone's direct messages. Once this has returned, none of theirs gets through.

    :raises NotFound: there is no such user.
    """
    blocked_id = _other(blocker, user_id)
    entered = fence.enter()
    # Whoever opens a new conversation with the blocker locks this row too; whoever writes in a
    # standing one
    # locks that conversation. Either way one of the two sees what the other did.
    locked(User.objects.filter(user_id=blocker.user_id)).first()
    standing = find_direct(ids.direct_key(blocker.user_id, blocked_id))
    if standing is not None:
        lock_one(standing)
    if not is_blocked(blocker_id=blocker.user_id, blocked_id=blocked_id):
        Block.objects.create(
            blocker_id=blocker.user_id, blocked_id=blocked_id, created_at=entered.now
        )


@in_transaction
def unblock(*, blocker: User, user_id: UUID) -> None:
    """Accept someone's direct messages again.

    :raises NotFound: there is no such user.
    """
    blocked_id = _other(blocker, user_id)
    Block.objects.filter(blocker_id=blocker.user_id, blocked_id=blocked_id).delete()
