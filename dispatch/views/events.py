"""Events: the list, and one event with everything about it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.models import TestKind
from dispatch.queries import EventStatus
from dispatch.reading.event import read_event, read_would
from dispatch.reading.events import read_events
from dispatch.reading.then import event_then
from dispatch.reading.zones import page_zone


@require_GET
def events(request: HttpRequest) -> HttpResponse:
    """List events by the tab and the filters of the address."""
    now = timezone.now()
    context = {
        "list": read_events(request.GET.dict(), now=now, zone=page_zone(request)),
        "statuses": [(value.lower(), label) for value, label in EventStatus.choices],
        "tests": [("yes", "Tests only"), ("no", "No tests")]
        + [(value.lower(), label) for value, label in TestKind.choices],
        "now": now,
    }
    template = "dispatch/events.html"
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        template += "#events"
    return render(request, template, context)


@require_GET
def event_detail(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show one event; `?show=` gaps or all of its recipients, `?as_of=` what was known at a time."""
    now, zone = timezone.now(), page_zone(request)
    page = read_event(
        event_id=event_id,
        show=request.GET.get("show", ""),
        page=request.GET.get("page"),
        now=now,
        zone=zone,
    )
    if page is None:
        raise Http404
    context: dict[str, Any] = {"page": page, "now": now}
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        return render(request, "dispatch/event.html#event", context)
    context["would"] = read_would(page.event, now=now)
    if asked := request.GET.get("as_of", ""):
        context["then"] = event_then(event_id, asked=asked, now=now, zone=zone)
    return render(request, "dispatch/event.html", context)
