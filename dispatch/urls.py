"""Addresses of the pages."""

from __future__ import annotations

from django.urls import path

from dispatch.views import control_room, events, frame

app_name = "dispatch"
urlpatterns = [
    path("", control_room.control_room, name="control-room"),
    path("live/", frame.live, name="live"),
    path("events/", events.events, name="events"),
    path("events/<int:event_id>/", events.event_detail, name="event-detail"),
]
