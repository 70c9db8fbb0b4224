"""Market groups and their members over time."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dispatch.reading import groups as reading
from dispatch.reading.moments import read_as_of
from dispatch.reading.zones import page_zone
from meters.models import MarketGroup


@require_GET
def group_list(request: HttpRequest) -> HttpResponse:
    """List market groups."""
    context = {"list": reading.read_list(request.GET, now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/groups.html", context)


@require_GET
def group_detail(request: HttpRequest, market_group_id: str) -> HttpResponse:
    """Show one group: its members now or `?as_of=` a time, how that came, and its events."""
    now, zone = timezone.now(), page_zone(request)
    as_of = read_as_of(request.GET.get("as_of", ""), now=now, zone=zone)
    page_number = request.GET.get("page", "")
    try:
        detail = reading.read_detail(market_group_id, at=as_of.at, page_number=page_number, now=now)
    except MarketGroup.DoesNotExist as error:
        raise Http404("There is no such market group.") from error
    return render(request, "dispatch/group.html", {"detail": detail, "as_of": as_of, "zone": zone})
