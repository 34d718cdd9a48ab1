from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "parley.conversations"
    label = "conversations"

    def ready(self) -> None:
        """Tell accounts who shares a conversation with whom."""
        # ruff: noqa: PLC0415 - the models come first
        from parley.accounts.people import acquaintances
        from parley.conversations.acquaintance import sharing_with

        acquaintances.join(sharing_with)
