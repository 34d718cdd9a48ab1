"""The ASGI application."""

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parley.config.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402 - Django is set up above

from parley.http.guard import Application, Guard  # noqa: E402

application = Guard(cast(Application, django_application), body_limit=settings.PARLEY.body_limit)
