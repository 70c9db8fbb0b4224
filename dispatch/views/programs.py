"""Programs with their delivery periods, and the season check before a period begins."""

from __future__ import annotations

from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET

from dispatch.reading import programs as reading
from dispatch.reading import seasons
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file


@require_GET
def program_list(request: HttpRequest) -> HttpResponse:
    """List programs."""
    context = {"list": reading.read_programs(now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/programs.html", context)


@require_GET
def program_detail(request: HttpRequest, code: str) -> HttpResponse:
    """Show one program with its delivery periods."""
    detail = reading.read_program(code, now=timezone.now())
    if detail is None:
        raise Http404("Nobody has heard of this program.")
    return render(request, "dispatch/program.html", {"detail": detail, "zone": page_zone(request)})


@require_GET
def season_list(request: HttpRequest) -> HttpResponse:
    """Show which delivery periods run or begin soon, and whether they are ready."""
    now = timezone.now()
    found = seasons.read_seasons(now=now)
    context = {
        "seasons": found,
        "unsettled": [one for one in found if one.items or not one.is_running],
        "settled": [one for one in found if one.is_running and not one.items],
        "zone": page_zone(request),
        "now": now,
    }
    return render(request, "dispatch/seasons.html", context)


@require_GET
def season_export(request: HttpRequest) -> HttpResponse:
    """Give the checklist of one period, of a program's or of all, meter by meter."""
    rows = seasons.checklist(
        now=timezone.now(),
        program=request.GET.get("program", ""),
        delivery_period=request.GET.get("period", ""),
        starts_at=_moment(request.GET.get("begins", "")),
    )
    return csv_file("season-check.csv", seasons.CSV_COLUMNS, rows)


def _moment(text: str) -> datetime | None:
    """Read a moment as the page's own links write it; anything else counts as none."""
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    return at if at is not None and timezone.is_aware(at) else None
