"""The addresses of ``user_to_user``."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
