"""One table of messages for each backend."""

# ruff: noqa: DJ008 - nobody looks at them in the admin site

from uuid import uuid4

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone


class Person(AbstractUser):
    user_id = models.UUIDField(default=uuid4, unique=True)
    phone_number = models.CharField(max_length=20, null=True)  # noqa: DJ001 - as it was
    role = models.CharField(max_length=10, default="guest")
    created_at = models.DateTimeField(default=timezone.now)


class BearerMessage(models.Model):
    sender = models.ForeignKey(Person, models.CASCADE, related_name="+")
    receiver = models.ForeignKey(Person, models.CASCADE, related_name="+")
    subject = models.CharField(max_length=100)
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    is_read = models.BooleanField(default=False)


class TokenMessage(models.Model):
    sender = models.ForeignKey(Person, models.CASCADE, related_name="+")
    receiver = models.ForeignKey(Person, models.CASCADE, related_name="+")
    message = models.TextField()
    subject = models.CharField(max_length=255)
    creation_date = models.DateTimeField(auto_now_add=True)
    is_read = models.BooleanField(default=False)


class SessionMessage(models.Model):
    sender = models.ForeignKey(Person, models.CASCADE, related_name="+")
    receiver = models.ForeignKey(Person, models.CASCADE, related_name="+")
    body = models.TextField()
    subject = models.TextField()
    creation_date = models.DateTimeField(default=timezone.now)
    is_read = models.BooleanField(default=False)


class Conversation(models.Model):
    conversation_id = models.UUIDField(primary_key=True, default=uuid4)
    participants = models.ManyToManyField(Person)
    created_at = models.DateTimeField(auto_now_add=True)


class TalkMessage(models.Model):
    message_id = models.UUIDField(primary_key=True, default=uuid4)
    sender = models.ForeignKey(Person, models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    message_body = models.TextField()
    sent_at = models.DateTimeField(auto_now_add=True)


class UserMessage(models.Model):
    sender = models.ForeignKey(Person, models.CASCADE, related_name="+")
    recipient = models.ForeignKey(Person, models.CASCADE, related_name="+")
    content = models.TextField()
    timestamp = models.DateTimeField(auto_now_add=True)
