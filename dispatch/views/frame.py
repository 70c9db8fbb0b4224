"""The LIVE stripe by itself, for pages that stay open."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.frame import read_stripe
from dispatch.reading.zones import page_zone


@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """Show the stripe as it is now."""
    stripe = read_stripe(now=timezone.now(), zone=page_zone(request))
    return render(request, "parts/stripe.html", {"stripe": stripe})
