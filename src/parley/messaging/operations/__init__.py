"""Everything that changes messages or anyone's sight of them."""

from parley.messaging.operations.changing import edit_message, retract_message
from parley.messaging.operations.reading import (
    read_message,
    read_up_to,
    remove_message,
    set_delivered,
    set_message_read,
    set_message_starred,
    unread_from,
)
from parley.messaging.operations.sending import find_sent, messages_sent, send, send_many
from parley.messaging.seen import Sent

__all__ = [
    "Sent",
    "edit_message",
    "find_sent",
    "messages_sent",
    "read_message",
    "read_up_to",
    "remove_message",
    "retract_message",
    "send",
    "send_many",
    "set_delivered",
    "set_message_read",
    "set_message_starred",
    "unread_from",
]
