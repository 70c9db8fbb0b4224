"""Overlaps: where requests collide, what was chosen, why."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.overlaps import SCOPES, read_overlaps
from dispatch.reading.zones import page_zone


@require_GET
def overlaps(request: HttpRequest) -> HttpResponse:
    """Show the collisions, `?scope=` coming or past, all or those not fully served."""
    scope = request.GET.get("scope", "coming")
    found = read_overlaps(
        scope=scope if scope in SCOPES else "coming",
        only_unserved=request.GET.get("unserved") == "yes",
        now=timezone.now(),
        zone=page_zone(request),
    )
    return render(request, "dispatch/overlaps.html", {"overlaps": found, "scopes": SCOPES.items()})
