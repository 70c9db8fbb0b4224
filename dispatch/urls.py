"""Addresses of the pages."""

from __future__ import annotations

from django.urls import include, path

from dispatch.views import calendar, control_room, events, frame

app_name = "dispatch"
urlpatterns = [
    path("", control_room.control_room, name="control-room"),
    path("live/", frame.live, name="live"),
    path("calendar/", calendar.calendar, name="calendar"),
    path("calendar/subscribe/", calendar.calendar, name="subscribe"),
    path("events/", events.events, name="events"),
    path("events/<int:event_id>/", events.event_detail, name="event-detail"),
    path("", include("dispatch.portfolio_urls")),
]
