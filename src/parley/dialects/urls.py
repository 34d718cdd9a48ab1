"""The dialects that are mounted. Each brings its own paths."""

from django.conf import settings
from django.urls import include, path

urlpatterns = [
    path("", include(f"parley.dialects.{name}.urls")) for name in settings.PARLEY.mounted_dialects()
]
