"""Measured power: a part of the pages of devices and events, a page of its own, and the drawing in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from dispatch.reading.measured import Power, read_device_power, read_event_power
from dispatch.reading.plot import draw
from dispatch.reading.zones import page_zone

WIDE: Final = (800, 280)
NARROW: Final = (360, 240)
OWN_STYLE: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The drawing's style sheet is within it; it loads and runs nothing."""

Read = Callable[..., Power]


@require_GET
def device_power(request: HttpRequest, device_id: int) -> HttpResponse:
    """Show what one device measured."""
    return _show(request, read_device_power, device_id, template="dispatch/device_chart.html")


@require_GET
def event_power(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show what an event's devices delivered."""
    return _show(request, read_event_power, event_id, template="dispatch/event_chart.html")


@require_GET
@cache_control(private=True, max_age=30)
def device_drawing(request: HttpRequest, device_id: int) -> HttpResponse:
    """Draw what one device measured; `?narrow` for a small screen."""
    return _draw(request, read_device_power, device_id)


@require_GET
@cache_control(private=True, max_age=30)
def event_drawing(request: HttpRequest, event_id: int) -> HttpResponse:
    """Draw what an event's devices delivered; `?narrow` for a small screen."""
    return _draw(request, read_event_power, event_id)


def _show(request: HttpRequest, read: Read, row_id: int, *, template: str) -> HttpResponse:
    now, zone = timezone.now(), page_zone(request)
    context = {"power": _read(read, row_id, now=now, zone=zone), "row_id": row_id, "now": now}
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        template += "#chart"
    return render(request, template, context)


def _draw(request: HttpRequest, read: Read, row_id: int) -> HttpResponse:
    power = _read(read, row_id, now=timezone.now(), zone=page_zone(request))
    if power.plot is None:
        raise Http404("Nothing was measured.")
    width, height = NARROW if "narrow" in request.GET else WIDE
    drawing = draw(power.plot, width=width, height=height)
    return HttpResponse(drawing, content_type="image/svg+xml", headers={"Content-Security-Policy": OWN_STYLE})


def _read(read: Read, row_id: int, *, now: datetime, zone: tzinfo) -> Power:
    try:
        return read(row_id, now=now, zone=zone)
    except ObjectDoesNotExist:
        raise Http404("There is no such row.") from None
