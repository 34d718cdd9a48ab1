"""The bodies that the canonical API takes, and the objects that it shows.

What is shown is written by :mod:`parley.http.wire`; the fields of the serializers that show are its
schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import Serializer

from parley.accounts.models import Role
from parley.api.fields import (
    LONGEST_NAME,
    ExactText,
    IdField,
    IdList,
    InstantField,
    Names,
    SeqField,
    WordField,
)
from parley.conversations.models import Kind, MemberRole
from parley.http import wire
from parley.http.parameters import Exclusive
from parley.messaging.drafts import LONGEST_CLIENT_ID, LONGEST_SUBJECT

LONGEST_TITLE = 255

Whole = serializers.IntegerField
Shown = Serializer[Any]


# --- what is shown


class UserSerializer(Shown):
    """A person. Contact details are null for everyone but oneself and admins, unless a setting
    widens that.
    """

    user_id = serializers.UUIDField()
    username = serializers.CharField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    email = serializers.EmailField(allow_null=True)
    phone_number = serializers.CharField(allow_null=True)
    role = serializers.ChoiceField(Role.choices)
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.person(instance)


@extend_schema_field(
    {"oneOf": [{"$ref": "#/components/schemas/User"}, {"type": "string", "format": "uuid"}]}
)
class PersonField(serializers.Field):  # type: ignore[type-arg]
    """A user; with ``?users=map`` the user's id."""


class PeopleField(serializers.DictField):
    """With ``?users=map``: everyone named in the answer, by id."""

    child = UserSerializer()


class MessageSerializer(Shown):
    """A message as the viewer sees it."""

    message_id = serializers.UUIDField()
    sender = PersonField()
    message_body = serializers.CharField()
    sent_at = serializers.DateTimeField()
    conversation = serializers.UUIDField()
    subject = serializers.CharField()
    seq = Whole()
    revision = Whole()
    client_id = serializers.CharField(allow_null=True)
    reply_to = serializers.UUIDField(allow_null=True)
    edited_at = serializers.DateTimeField(allow_null=True)
    retracted_at = serializers.DateTimeField(allow_null=True)
    read = serializers.BooleanField()
    starred = serializers.BooleanField()

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.message(instance, self.context["people"])


class PlaceSerializer(Shown):
    """Someone's place in a conversation."""

    member_role = serializers.ChoiceField(MemberRole.choices)
    read_seq = Whole()
    delivered_seq = Whole()
    joined_at = serializers.DateTimeField()


class ParticipantSerializer(UserSerializer, PlaceSerializer):
    """A user, with their place in the conversation."""

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.participant(instance, self.context["people"])


class UserIdSerializer(Shown):
    user = serializers.UUIDField()


class CompactParticipantSerializer(UserIdSerializer, PlaceSerializer):
    """A participant with ``?users=map``: the user's id in place of the user's own fields."""


ANY_PARTICIPANT = PolymorphicProxySerializer(
    component_name="AnyParticipant",
    serializers=[ParticipantSerializer, CompactParticipantSerializer],
    resource_type_field_name=None,
)


@extend_schema_field(ANY_PARTICIPANT)
class ParticipantField(serializers.Field):  # type: ignore[type-arg]
    """A participant in either form."""


class MeSerializer(Shown):
    """The viewer's own side of a conversation."""

    member_role = serializers.ChoiceField(MemberRole.choices)
    read_seq = Whole()
    watermark = Whole()
    muted_until = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)
    pinned_at = serializers.DateTimeField(allow_null=True)


class ConversationSerializer(Shown):
    """A conversation with its first 50 participants and its newest messages, by ``seq``."""

    conversation_id = serializers.UUIDField()
    participants = serializers.ListField(child=ParticipantField())
    created_at = serializers.DateTimeField()
    messages = MessageSerializer(many=True)
    kind = serializers.ChoiceField(Kind.choices)
    title = serializers.CharField()
    last_seq = Whole()
    revision = Whole()
    changed_at = serializers.DateTimeField()
    participant_count = Whole()
    unread_count = Whole()
    unread_capped = serializers.BooleanField(help_text='`unread_count` means "at least".')
    last_message = MessageSerializer(allow_null=True)
    me = MeSerializer()
    users = PeopleField(required=False)

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.conversation(instance, self.context["people"])


class ReceiptSerializer(Shown):
    """What one participant has had of a message."""

    user = PersonField()
    delivered = serializers.BooleanField()
    read = serializers.BooleanField()

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.receipt(instance, self.context["people"])


class BlockSerializer(Shown):
    """Someone whose direct messages are refused."""

    user = PersonField()
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.block(instance, self.context["people"])


class ReadStateSerializer(Shown):
    """How far the viewer has read: the receipt that others see, and their own watermark."""

    read_seq = Whole()
    watermark = Whole()
    unread_count = Whole()

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.read_state(instance)


class RecountSerializer(Shown):
    messages = Whole()
    conversations = Whole()


class UnreadTotalSerializer(Shown):
    """How much is unread in all; when capped the numbers mean "at least"."""

    messages = Whole()
    conversations = Whole()
    capped = serializers.BooleanField()
    recount = RecountSerializer(required=False, help_text="With `?verify=true`.")

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.unread_total(instance)


class ChangedConversationSerializer(ConversationSerializer):
    """A conversation with the messages that changed; on ``reset`` the client takes it as new."""

    reset = serializers.BooleanField(required=False)
    users = None  # type: ignore[assignment]  # they stand beside all conversations together


class MarkSerializer(Shown):
    message_id = serializers.UUIDField()
    conversation = serializers.UUIDField()
    read = serializers.BooleanField()
    starred = serializers.BooleanField()


class RemovedSerializer(Shown):
    conversation = serializers.UUIDField()
    message_id = serializers.UUIDField()


class NewsSerializer(Shown):
    """What changed since a cursor. Something may come twice, with the revision it had; nothing is
    missed.
    """

    conversations = ChangedConversationSerializer(many=True)
    marks = MarkSerializer(many=True)
    removed = RemovedSerializer(many=True)
    left = serializers.ListField(child=serializers.UUIDField())
    cursor = serializers.CharField()
    more = serializers.BooleanField()
    users = PeopleField(required=False)

    def to_representation(self, instance: Any) -> wire.Json:
        return wire.news(instance, self.context["people"])


# --- what is taken


class BodySerializer(Serializer[Any]):
    """A request's body, or an object in one. Fields that it does not know are not looked at."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(["Expected an object."], "invalid")
        found: dict[str, Any] = super().to_internal_value(data)
        return found


class MessageBodySerializer(BodySerializer):
    message_body = ExactText(
        longest=lambda: settings.PARLEY.message_length, style={"base_template": "textarea.html"}
    )


class NewMessageSerializer(MessageBodySerializer):
    """What is said, in a conversation that the address names."""

    subject = ExactText(longest=LONGEST_SUBJECT, required=False, allow_blank=True)
    client_id = ExactText(longest=LONGEST_CLIENT_ID, required=False, allow_null=True)
    reply_to = IdField(required=False, allow_null=True)


class NewLetterSerializer(NewMessageSerializer):
    """What is said, and where: in a conversation, to one person, or to several."""

    conversation = IdField(required=False)
    recipient = ExactText(
        longest=LONGEST_NAME,
        required=False,
        help_text="A user_id, a username or an e-mail address.",
    )
    recipients = Names(
        required=False,
        help_text="Two others or more make a new group; nobody else, a note to oneself.",
    )

    PLACES: ClassVar = ("conversation", "recipient", "recipients")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        places = {name: fields.pop(name) for name in self.PLACES}
        return places | fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in self.PLACES if name in attrs]
        if not given:
            missing = "Give a conversation, a recipient or recipients."
            raise serializers.ValidationError({"recipient": [missing]}, "required")
        if len(given) > 1:
            both = f"{' and '.join(given)} exclude each other."
            raise serializers.ValidationError({given[1]: [both]}, Exclusive.code)
        return attrs


class NewConversationSerializer(BodySerializer):
    """Who talks; the caller is always in it."""

    participants = IdList()
    kind = WordField(Kind.choices, required=False)
    title = ExactText(longest=LONGEST_TITLE, required=False, allow_blank=True)


class OwnSerializer(BodySerializer):
    """The viewer's own side of a conversation."""

    muted_until = InstantField(required=False, allow_null=True)
    archived_at = InstantField(required=False, allow_null=True)
    pinned_at = InstantField(required=False, allow_null=True)


class ConversationChangeSerializer(BodySerializer):
    """What is left out stays. Title and participants are for owners of groups; ``me`` is anyone's
    own.
    """

    title = ExactText(longest=LONGEST_TITLE, required=False, allow_blank=True)
    participants = IdList(
        required=False, write_only=True, help_text="Everyone who is to be in it from now on."
    )
    me = OwnSerializer(required=False)


class NewParticipantSerializer(BodySerializer):
    user_id = IdField()
    member_role = WordField(MemberRole.choices, required=False)


class MemberRoleSerializer(BodySerializer):
    member_role = WordField(MemberRole.choices)


class ReadUpToSerializer(BodySerializer):
    seq = SeqField(
        required=False, help_text="The last message that was read; by default the last one."
    )


class UnreadFromSerializer(BodySerializer):
    seq = SeqField(help_text="The first message that is to be unread.")
