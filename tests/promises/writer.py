"""A process that sends one message, says so, and waits to be killed.

    python -m tests.promises.writer SENDER CONVERSATION [too-early]

With ``too-early`` it says so before the commit: what must never happen, to show that the test sees
it.
"""

import os
import sys
import time
from collections.abc import Sequence
from uuid import UUID

import django


def acknowledge(message_id: UUID) -> None:
    sys.stdout.write(f"{message_id}\n")
    sys.stdout.flush()


def main(sender: str, conversation: str, *how: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from parley.messaging import operations
    from parley.messaging.drafts import Draft
    from parley.messaging.seen import SeenMessage

    def too_early(messages: Sequence[SeenMessage]) -> None:
        acknowledge(messages[0].message_id)
        time.sleep(60)

    if how:
        operations.messages_sent.join(too_early)
    draft = Draft(UUID(sender), "last words", conversation_id=UUID(conversation))
    acknowledge(operations.send(draft).message.message_id)
    time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
