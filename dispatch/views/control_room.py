"""The control room: what is happening, what is next, what needs someone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.attention import needs_of
from dispatch.reading.control_room import SPANS, read_room
from dispatch.reading.looks import LEGEND
from dispatch.reading.zones import page_zone

SPAN_NAMES = (("6h", "6 h"), ("24h", "24 h"), ("3d", "3 days"))


@require_GET
def control_room(request: HttpRequest) -> HttpResponse:
    """Show the room; `?span=` 6h, 24h or 3d."""
    now = timezone.now()
    span = request.GET.get("span", "24h")
    room = read_room(
        now=now,
        zone=page_zone(request),
        span=span if span in SPANS else "24h",
        waiting=needs_of(request, now=now),
    )
    template = "dispatch/control_room.html"
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        template += "#room"
    return render(request, template, {"room": room, "now": now, "legend": LEGEND, "spans": SPAN_NAMES})
