"""Where the doors are mounted."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from parley.api.root import SignInView, SignOutView, SwaggerView
from parley.config.front import front
from parley.ops import health
from parley.ops.metrics import metrics

SIGNING_IN = [
    path("login/", SignInView.as_view(), name="login"),
    path("logout/", SignOutView.as_view(), name="logout"),
]

urlpatterns = [
    path("", front, name="start"),
    # Browsers ask for it on pages that name no icon, such as the admin site's and plain JSON.
    path("favicon.ico", RedirectView.as_view(url=static("web/icon.svg"))),
    path("api/", include("parley.api.urls")),
    # REST framework's pages look for these names.
    path("api-auth/", include((SIGNING_IN, "rest_framework"))),
    path("docs/", SwaggerView.as_view(), name="docs"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    *([path("metrics", metrics)] if settings.PARLEY.metrics else []),
    path("admin/", admin.site.urls),
    path("", include("parley.dialects.urls")),
]

handler400 = "parley.http.refusals.bad_request"
handler403 = "parley.http.refusals.forbidden"
handler404 = "parley.http.refusals.not_found"
handler500 = "parley.http.refusals.failed"
