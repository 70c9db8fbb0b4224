"""Addresses of the scenarios."""

from __future__ import annotations

from django.urls import path

from leapvpp.demo.showroom import views

urlpatterns = [
    path("", views.scenarios, name="scenarios"),
    path("<slug:key>/", views.scenario, name="scenario"),
    path("<slug:key>/play/", views.play, name="scenario-play"),
]
