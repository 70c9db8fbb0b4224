"""Syncs of meters with Leap: ask for one, and see what one changed."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dispatch.reading import meter_syncs as reading
from dispatch.reading.zones import page_zone
from meters.sync_models import MeterSync, SyncKind
from meters.sync_turns import request_sync


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def sync_now(request: HttpRequest) -> HttpResponse:
    """Have a worker read all meters from Leap; the dispatcher wakes one within a second."""
    if not settings.LEAP_API_KEY:
        messages.error(request, "Leap cannot be asked: LEAP_API_KEY is not set.")
        return redirect("dispatch:meters")
    by, now = request.user.get_username(), timezone.now()
    _, is_new = request_sync(kind=SyncKind.FULL, by=by, now=now)
    if not is_new:
        messages.info(request, "A sync is under way already. Its progress stands below.")
    return redirect("dispatch:meters")


@require_GET
def sync_detail(request: HttpRequest, sync_id: int) -> HttpResponse:
    """Show one run with its diff."""
    sync = get_object_or_404(MeterSync, pk=sync_id)
    context = {"detail": reading.read_sync(sync, request.GET), "zone": page_zone(request)}
    return render(request, "dispatch/meter_sync.html", context)
