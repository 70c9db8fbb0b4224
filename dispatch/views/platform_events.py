"""What Leap's platform said of meters, exactly: the list and one event."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from dispatch.reading import platform_events as reading
from dispatch.reading.zones import page_zone
from meters.models import PlatformEvent


@require_GET
def platform_event_list(request: HttpRequest) -> HttpResponse:
    """List platform events, newest first."""
    context = {"list": reading.read_list(request.GET), "zone": page_zone(request)}
    return render(request, "dispatch/platform_events.html", context)


@require_GET
def platform_event_detail(request: HttpRequest, platform_event_id: int) -> HttpResponse:
    """Show one platform event."""
    event = get_object_or_404(PlatformEvent, pk=platform_event_id)
    body, is_cut = reading.body_of(event)
    context = {
        "row": reading.row_of(event),
        "followed": reading.read_followed(event),
        "body": body,
        "is_cut": is_cut,
        "zone": page_zone(request),
    }
    return render(request, "dispatch/platform_event.html", context)
