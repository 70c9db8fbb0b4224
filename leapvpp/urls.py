"""Where every address leads."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

import leapvpp.schema  # noqa: F401 - loading it tells the API's description of keys
from leapvpp.health import healthz, readyz
from leapvpp.metrics import Metrics

admin.autodiscover()

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("admin/", admin.site.urls),
    path("webhooks/leap/", include("dispatch.intake.urls")),
    path("api/v1/", include("leapvpp.api_urls")),
    path("certification/", include("leapvpp.certification.urls")),
    path("scenarios/", include("leapvpp.demo.showroom.urls")),
    path("", include("dispatch.urls")),
]

handler400 = "leapvpp.problems.bad_request"
handler404 = "leapvpp.problems.not_found"
handler500 = "leapvpp.problems.server_error"
