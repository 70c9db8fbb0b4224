"""The calendar: month, week and day of everything asked for."""

from __future__ import annotations

from datetime import date

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading.calendar import Asked, read_calendar
from dispatch.reading.looks import LEGEND
from dispatch.reading.zones import OFFERED_ZONES, page_zone, zone_name, zone_named, zone_words

VIEWS = ("month", "week", "day")


@require_GET
def calendar(request: HttpRequest) -> HttpResponse:
    """Show `?view=` month, week or day around `?date=` in the zone `?tz=`, filtered by the address."""
    now = timezone.now()
    zone = page_zone(request)
    today = now.astimezone(zone).date()
    view = request.GET.get("view", "month")
    asked = Asked(
        view=view if view in VIEWS else "month",
        day=_date(request.GET.get("date", ""), today=today),
        program=request.GET.get("program", ""),
        group=request.GET.get("group", ""),
        cancelled=request.GET.get("cancelled") != "no",
        tests=request.GET.get("tests") != "no",
    )
    template = "dispatch/calendar.html"
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        template += "#calendar"
    context = {
        "calendar": read_calendar(asked=asked, zone=zone, now=now),
        "legend": LEGEND,
        "now": now,
        "today": today,
        "views": VIEWS,
        "zone_name": zone_name(zone),
        "zones": [(name, zone_words(found)) for name in OFFERED_ZONES if (found := zone_named(name))],
    }
    return render(request, template, context)


def _date(text: str, *, today: date) -> date:
    """Read the address's date; today for one that is none, or too far away to add to."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return today
    return day if 1990 <= day.year <= 2200 else today
