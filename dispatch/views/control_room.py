"""The control room: what is happening, what is next, what needs someone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.attention import needs


@require_GET
def control_room(request: HttpRequest) -> HttpResponse:
    """Show the room."""
    now = timezone.now()
    return render(request, "dispatch/control_room.html", {"now": now, "needs": needs(now=now)})
