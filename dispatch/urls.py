"""Addresses of the pages."""

from __future__ import annotations

from django.urls import include, path

from dispatch.views import acts, calendar, changes, control_room, events, feed, frame, measured, overlaps

app_name = "dispatch"
urlpatterns = [
    path("", control_room.control_room, name="control-room"),
    path("", include("dispatch.portfolio_urls")),
    path("live/", frame.live, name="live"),
    path("calendar/", calendar.calendar, name="calendar"),
    path("calendar/subscribe/", feed.subscribe, name="subscribe"),
    path("calendar.ics", feed.feed, name="feed"),
    path("events/", events.events, name="events"),
    path("events/<int:event_id>/", events.event_detail, name="event-detail"),
    path("events/<int:event_id>/plan/", acts.replan, name="event-replan"),
    path("events/<int:event_id>/power/", measured.event_power, name="event-power"),
    path("events/<int:event_id>/power.svg", measured.event_drawing, name="event-power-drawing"),
    path("overlaps/", overlaps.overlaps, name="overlaps"),
    path("changes/", changes.changes, name="changes"),
    path("changes/seen/", changes.mark_seen, name="changes-seen"),
]
