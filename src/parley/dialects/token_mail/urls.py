"""The addresses of ``token_mail``, each with and without a slash at its end."""

from __future__ import annotations

from django.urls import path, re_path

from parley.dialects.token_mail import views

VIEWS = {
    "create_user": views.CreateUserView,
    "write": views.WriteView,
    "all": views.ListView,
    "unread": views.UnreadView,
    "mark_read/<int:number>": views.MarkReadView,
    "delete/<int:number>": views.DeleteView,
}

urlpatterns = [
    path(f"{route}{end}", view.as_view()) for route, view in VIEWS.items() for end in ("", "/")
] + [
    re_path(
        "^(?:create_user|write|all|unread|mark_read|delete)(?:/.*)?$", views.NowhereView.as_view()
    ),
]
