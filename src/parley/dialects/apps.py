from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class DialectsConfig(AppConfig):
    name = "parley.dialects"
    label = "dialects"

    def ready(self) -> None:
        """Have users and messages numbered, and errors told in the words of each dialect."""
        # ruff: noqa: PLC0415 - the models come first
        from parley.accounts.models import user_created
        from parley.dialects import doors, handles
        from parley.http.voices import speak
        from parley.messaging.operations import messages_sent

        user_created.join(handles.number_user)
        messages_sent.join(handles.number_messages, in_sql=handles.number_messages_in_sql)
        for name in settings.PARLEY.mounted_dialects():
            wire = import_module(f"{self.name}.{name}.wire")
            speak(wire.PATHS, doors.voice(wire.render_no, wire.SEPARATORS))
