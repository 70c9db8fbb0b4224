"""In which zone a page writes its times."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import Count
from django.http import HttpRequest

from meters.models import MarketGroup, Meter

ZONE_WORDS = {
    "America/Los_Angeles": "Pacific time",
    "America/Denver": "Mountain time",
    "America/Phoenix": "Arizona time",
    "America/Chicago": "Central time",
    "America/New_York": "Eastern time",
    "America/Toronto": "Eastern time",
    "UTC": "UTC",
}
OFFERED_ZONES = ("America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York", "UTC")


def zone_named(name: str) -> tzinfo | None:
    """Look a zone up by its IANA name; None for a name that is none."""
    if name.upper() == "UTC":
        return UTC
    return ZoneInfo(name) if name in available_timezones() else None


def zone_name(zone: tzinfo) -> str:
    """Give a zone's IANA name."""
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


def zone_words(zone: tzinfo) -> str:
    """Say a zone as people do: "Pacific time"."""
    name = zone_name(zone)
    return ZONE_WORDS.get(name, name.rpartition("/")[2].replace("_", " ") + " time")


def home_zone() -> tzinfo:
    """Find the zone in which most market groups lie, else a meter's, else UTC. At most two queries."""
    groups = MarketGroup.objects.exclude(timezone="UTC").values("timezone").annotate(size=Count("id"))
    names = groups.order_by("-size", "timezone").values_list("timezone", flat=True)
    name = names.first() or _meter_zone()
    return zone_named(name) or UTC


def _meter_zone() -> str:
    """Give the zone of the first meter that has one."""
    return (
        Meter.objects.exclude(timezone="UTC").order_by("id").values_list("timezone", flat=True).first() or ""
    )


def page_zone(request: HttpRequest) -> tzinfo:
    """Choose a page's zone: the address's `tz`, else the portfolio's own. Asked once per request."""
    chosen = getattr(request, "_page_zone", None)
    if chosen is None:
        chosen = zone_named(request.GET.get("tz", "")) or home_zone()
        request._page_zone = chosen  # type: ignore[attr-defined]  # a request carries what was read for it
    return chosen
