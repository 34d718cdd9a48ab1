"""The addresses of ``bearer_mail``. ``/`` is shared with the start page; ``config.urls`` has it."""

from __future__ import annotations

from django.urls import path, re_path

from parley.dialects.bearer_mail import views

urlpatterns = [
    path("api/messaging/write/", views.WriteView.as_view()),
    path("api/messaging/messages/", views.ListView.as_view()),
    path("api/messaging/messages/unread/", views.UnreadView.as_view()),
    path("api/messaging/messages/<int:number>/read/", views.ReadView.as_view()),
    path("api/messaging/messages/<int:number>/delete/", views.DeleteView.as_view()),
    re_path("^api/messaging(?:/.*)?$", views.NowhereView.as_view()),
]
