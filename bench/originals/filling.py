"""The world of the bench in the tables of the five backends."""

from django.contrib.auth.hashers import make_password
from rest_framework.authtoken.models import Token

from originals import models


def fill(people, letters, password):
    """Store people and letters; return each person's number, and their conversations by pair."""
    hashed = make_password(password)
    made = models.Person.objects.bulk_create(
        models.Person(username=name, email=f"{name}@example.org", password=hashed)
        for name in people
    )
    Token.objects.bulk_create(Token(user=one, key=Token.generate_key()) for one in made)
    _mail(made, letters)
    talks = _talks(made, letters)
    return [one.pk for one in made], {pair: str(talk.pk) for pair, talk in talks.items()}


def _mail(people, letters):
    for model, receiver, words, subject in (
        (models.BearerMessage, "receiver", "content", "subject"),
        (models.TokenMessage, "receiver", "message", "subject"),
        (models.SessionMessage, "receiver", "body", "subject"),
        (models.UserMessage, "recipient", "content", None),
    ):
        rows = []
        for one in letters:
            given = {"sender": people[one.sender], receiver: people[one.receiver], words: one.body}
            if subject:
                given |= {subject: one.subject, "is_read": one.is_read}
            rows.append(model(**given))
        model.objects.bulk_create(rows, batch_size=500)


def _talks(people, letters):
    pairs = dict.fromkeys(tuple(sorted((one.sender, one.receiver))) for one in letters)
    talks = {pair: models.Conversation() for pair in pairs}
    models.Conversation.objects.bulk_create(talks.values(), batch_size=500)
    join = models.Conversation.participants.through
    join.objects.bulk_create(
        (
            join(conversation=talk, person=people[one])
            for pair, talk in talks.items()
            for one in pair
        ),
        batch_size=500,
    )
    models.TalkMessage.objects.bulk_create(
        (
            models.TalkMessage(
                sender=people[one.sender],
                conversation=talks[tuple(sorted((one.sender, one.receiver)))],
                message_body=one.body,
            )
            for one in letters
        ),
        batch_size=500,
    )
    return talks


def token_of(number):
    return Token.objects.get(user_id=number).key
