from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "parley.messaging"
    label = "messaging"

    def ready(self) -> None:
        """Have marks forgotten when someone joins a group again."""
        from parley.conversations.operations import rejoined  # noqa: PLC0415 - models are loaded now
        from parley.messaging.operations.reading import forget_reading  # noqa: PLC0415

        rejoined.join(forget_reading)
