"""Why something with a message was refused."""

from __future__ import annotations

from parley.kernel.errors import Conflict, Gone, Invalid, NotAllowed, NotFound


class MessageNotFound(NotFound):
    message = "No message matches the given query."


class ClientIdReused(Conflict):
    code = "client_id_reused"
    message = "This client id already names a message with other content."


class UnknownReply(Invalid):
    code = "does_not_exist"
    message = "There is no such message in this conversation."


class UnknownRecipient(Invalid):
    code = "does_not_exist"
    message = "No such user."


class NotTheSender(NotAllowed):
    code = "not_the_sender"
    message = "Only the sender may change a message."


class MayNotRetract(NotAllowed):
    code = "may_not_retract"
    message = "Only the sender, an owner of the group or an admin may retract a message."


class Retracted(Conflict):
    code = "retracted"
    message = "This message was retracted."


class OutOfRange(Invalid):
    code = "min_value"
    message = "Ensure this value is greater than or equal to 1."


class InvalidCursor(Invalid):
    code = "invalid_cursor"
    message = "This is not a cursor that sync has given to you."


class ResyncRequired(Gone):
    code = "resync_required"
    message = "This cursor belongs to another history; sync without one."
