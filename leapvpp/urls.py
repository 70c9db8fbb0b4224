"""Where every address leads."""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from leapvpp.health import healthz, readyz
from leapvpp.metrics import Metrics

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("admin/", admin.site.urls),
]
for prefix, module in [
    ("webhooks/leap/", "dispatch.intake.urls"),
    ("certification/", "leapvpp.certification.urls"),
    ("api/v1/", "leapvpp.api_urls"),
    ("", "devices.urls"),
    ("", "meters.urls"),
    ("", "dispatch.urls"),
]:
    if find_spec(module.rpartition(".")[0]) and find_spec(module):
        urlpatterns.append(path(prefix, include(module)))

handler400 = "leapvpp.problems.bad_request"
handler404 = "leapvpp.problems.not_found"
handler500 = "leapvpp.problems.server_error"
