"""The addresses of ``user_to_user``. ``/docs/`` and ``/api/docs/`` are the canonical API's."""

from django.urls import path, re_path

from parley.dialects.user_to_user import views

urlpatterns = [
    path("register/", views.RegisterView.as_view()),
    path("login/", views.LoginView.as_view()),
    path("logout/", views.LogoutView.as_view()),
    path("users-list/", views.UsersView.as_view()),
    path("messages/", views.MessagesView.as_view()),
    path("messages/<int:number>/", views.MessageView.as_view()),
    path("list-messages/<str:username>/", views.CorrespondenceView.as_view()),
    # Without the slash there is nothing, not even a way to where there is something.
    re_path(
        "^(?:register|login|logout|users-list|messages|list-messages)(?:/.*)?$",
        views.NowhereView.as_view(),
    ),
]
