"""Events: the list, and one event with everything about it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from dispatch.models import DispatchEvent


@require_GET
def events(request: HttpRequest) -> HttpResponse:
    """List events."""
    return render(request, "dispatch/events.html", {})


@require_GET
def event_detail(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show one event."""
    event = get_object_or_404(DispatchEvent, pk=event_id)
    return render(request, "dispatch/events.html", {"event": event})
