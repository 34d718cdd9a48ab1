from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "parley.messaging"
    label = "messaging"

    def ready(self) -> None:
        """Have marks forgotten when someone joins a group again, and listings follow the fence."""
        from parley.conversations.fence import ticked  # noqa: PLC0415 - models are loaded now
        from parley.conversations.operations import rejoined  # noqa: PLC0415
        from parley.messaging.operations.following import follow  # noqa: PLC0415
        from parley.messaging.operations.reading import forget_reading  # noqa: PLC0415

        rejoined.join(forget_reading)
        ticked.join(follow)
