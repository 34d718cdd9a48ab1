from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "parley.messaging"
    label = "messaging"

    def ready(self) -> None:
        """Have marks forgotten when someone joins a group again."""
        from parley.conversations.operations import rejoined
        from parley.messaging.operations.reading import forget_reading

        rejoined.join(forget_reading)
