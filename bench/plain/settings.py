"""The product's settings with nothing between gunicorn and the views but authentication."""

from parley.config.settings import *  # noqa: F403
from parley.config.settings import DATABASES

ROOT_URLCONF = "plain.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
if "postgresql" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}
