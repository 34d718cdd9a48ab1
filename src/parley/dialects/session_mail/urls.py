"""The addresses of ``session_mail``: none of them ends with a slash."""

from django.urls import path, re_path

from parley.dialects.session_mail import views

urlpatterns = [
    path("users/token", views.Token.as_view()),
    path("users/register", views.Register.as_view()),
    path("users/login", views.Login.as_view()),
    path("users/logout", views.Logout.as_view()),
    path("users/list", views.Users.as_view()),
    path("messages/write_message", views.Write.as_view()),
    path("messages/messages_per_receiver", views.Received.as_view()),
    path("messages/unread_per_receiver", views.Received.as_view(unread_only=True)),
    path("messages/read_message", views.Read.as_view()),
    path("messages/delete_message", views.Delete.as_view()),
    re_path("^users(?:/.*)?$", views.NowhereElse.as_view()),
    re_path(r"^messages/\w+_(?:message|receiver)/", views.NowhereElse.as_view()),
]
