"""Addresses of the certification page."""

from __future__ import annotations

from django.urls import path

from leapvpp.certification import views

urlpatterns = [
    path("", views.certification, name="certification"),
    path("start/", views.start, name="certification-start"),
    path("<int:run_id>/", views.certification, name="certification-run"),
    path("<int:run_id>/report.md", views.report, name="certification-report"),
]
