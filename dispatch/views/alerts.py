"""Alerts: what needs a person, and who has seen it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from devices.alert_models import Alert
from devices.alerting import LONGEST_NOTE, acknowledge
from dispatch.reading import words
from dispatch.reading.alerts import read_list
from dispatch.reading.listing import PAGE_SIZE
from dispatch.reading.zones import page_zone
from dispatch.views.way_back import back_to

MOST_DIGITS = 18


@require_GET
def alert_list(request: HttpRequest) -> HttpResponse:
    """List alerts: open, acknowledged, and those that were."""
    context = {
        "list": read_list(request.GET, now=timezone.now()),
        "zone": page_zone(request),
        "longest_note": LONGEST_NOTE,
    }
    return render(request, "dispatch/alerts.html", context)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def alert_acknowledge(request: HttpRequest) -> HttpResponse:
    """Acknowledge one alert, or all that the page showed, with the note typed above them."""
    chosen = request.POST.getlist("alert") or request.POST.getlist("shown")[:PAGE_SIZE]
    if not all(text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS for text in chosen):
        raise BadRequest("No alert has such a number.")
    count = acknowledge(
        Alert.objects.filter(pk__in=[int(text) for text in chosen]),
        by=request.user.get_username(),
        note=request.POST.get("note", "").strip(),
        now=timezone.now(),
    )
    if count:
        messages.success(request, f"{words.counted(count, one='alert')} acknowledged.")
    else:
        messages.warning(request, "Nothing to acknowledge: they have cleared, or somebody was faster.")
    return back_to(request, otherwise=reverse("dispatch:alerts"))
