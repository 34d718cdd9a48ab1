"""The ASGI application: the guard, the live doors, the express lane, Django in threads."""

import os
from typing import cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parley.config.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - Django is set up above

from parley.api.lane.application import Lane  # noqa: E402
from parley.http.guard import Application, Guard  # noqa: E402
from parley.http.lifespan import Orderly  # noqa: E402
from parley.http.turns import Turns  # noqa: E402
from parley.realtime.echo import Echo  # noqa: E402
from parley.realtime.service import Live  # noqa: E402

django_application = Turns(threads=settings.PARLEY.threads)
http_application = Lane(cast(Application, django_application), is_open=settings.PARLEY.express)
live_application = cast(Application, Live(http_application))
if settings.PARLEY.websocket_echo:
    live_application = Echo(live_application)
application = Orderly(
    Guard(live_application, body_limit=settings.PARLEY.body_limit), ending=django_application.close
)
