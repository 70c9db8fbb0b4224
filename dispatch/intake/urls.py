"""Leap's addresses of the portal. With or without the last slash: a redirect would lose the body."""

from __future__ import annotations

from django.urls import re_path

from dispatch.intake.views import DispatchWebhook, PlatformWebhook

urlpatterns = [
    re_path(r"^dispatch/?$", DispatchWebhook.as_view(), name="dispatch-webhook"),
    re_path(r"^events/?$", PlatformWebhook.as_view(), name="events-webhook"),
]
