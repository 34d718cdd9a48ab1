"""What is answered for drafts, whichever way they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from parley.messaging.drafts import Draft
from parley.messaging.seen import SeenMessage, Sent


def fresh(
    draft: Draft, conversation_id: UUID, seq: int, revision: int, sent_at: datetime
) -> SeenMessage:
    """Return the message that a draft has become, as its sender sees it."""
    return SeenMessage(
        message_id=draft.message_id,
        conversation_id=conversation_id,
        sender_id=draft.sender_id,
        seq=seq,
        revision=revision,
        subject=draft.subject,
        message_body=draft.message_body,
        sent_at=sent_at,
        client_id=draft.client_id,
        reply_to=draft.reply_to,
        edited_at=None,
        retracted_at=None,
        read=True,
        starred=False,
    )


def answers(drafts: Sequence[Draft], stored: Mapping[int, SeenMessage]) -> dict[int, Sent]:
    """Tell each message once as new, to the first draft that it answers.

    That holds in a batch that is tried again, too, whose drafts may all be stored.
    """
    untold = {draft.message_id for draft in drafts}
    found: dict[int, Sent] = {}
    for place, message in stored.items():
        found[place] = Sent(message, is_new=message.message_id in untold)
        untold.discard(message.message_id)
    return found
