"""The calendar's subscription, and the page that says how to subscribe."""

from __future__ import annotations

from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.feed import read_feed


@login_not_required
@require_GET
def feed(request: HttpRequest) -> HttpResponse:
    """Serve the file to whoever brings a key in `?key=`: calendar programs send no headers."""
    key = request.GET.get("key", "")
    if not request.user.is_authenticated and not (key and authenticate(request, api_key=key)):
        return HttpResponse(
            "The key is missing, unknown, revoked or expired.\n", status=401, content_type="text/plain"
        )
    base_url = request.build_absolute_uri("/").rstrip("/")
    answer = HttpResponse(
        read_feed(now=timezone.now(), base_url=base_url), content_type="text/calendar; charset=utf-8"
    )
    answer["Content-Disposition"] = 'inline; filename="dispatches.ics"'
    answer["Cache-Control"] = "private, no-cache"
    return answer


@require_GET
def subscribe(request: HttpRequest) -> HttpResponse:
    """Say how to subscribe."""
    address = request.build_absolute_uri("/calendar.ics") + "?key=YOUR-KEY"
    return render(request, "dispatch/subscribe.html", {"address": address})
