from django.urls import path
from rest_framework_simplejwt.views import TokenObtainPairView

from originals import mail, talk

urlpatterns = [
    path("api/token/", TokenObtainPairView.as_view()),
    path("login/", talk.sign_in),
    path("list-messages/<str:target_identifier>/", talk.ListMessagesView.as_view()),
    *mail.urlpatterns,
    *talk.router.urls,
]
