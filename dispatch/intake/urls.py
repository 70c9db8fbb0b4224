"""Leap's address of the portal. With or without the last slash: a redirect would lose the body."""

from __future__ import annotations

from django.urls import re_path

from dispatch.intake.views import DispatchWebhook

urlpatterns = [
    re_path(r"^dispatch/?$", DispatchWebhook.as_view(), name="dispatch-webhook"),
]
