"""Where requests collide on the same devices: what was chosen, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.db.models import Count

from dispatch.models import DispatchEvent, Overlap
from dispatch.reading import words
from dispatch.reading.axis import Axis
from dispatch.reading.final import FinalRow, read_final
from dispatch.reading.lanes import Lanes, build_lanes
from dispatch.reading.looks import State
from dispatch.reading.requests import Request, read_requests

HOUR = timedelta(hours=1)
MOST = 50
SCOPES = {"coming": "Coming", "past": "Last 7 days"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What planning said about some devices in some slice."""

    text: str
    devices: int


@dataclass(frozen=True, slots=True)
class Collision:
    """Touching slices that share an event, as one thing to look at."""

    names: str
    day: str
    window: str
    utc: str
    devices: int
    length: str
    at_once: int
    lanes: Lanes
    kind: str
    verdict: str
    choices: tuple[Choice, ...]
    refusals: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """All that the page shows."""

    scope: str
    only_unserved: bool
    collisions: tuple[Collision, ...]
    unserved: int
    total: int


@dataclass(slots=True)
class Family:
    """Slices gathered while they touch and share an event."""

    start: datetime
    end: datetime
    event_ids: set[int]
    slices: list[dict[str, Any]]


def read_overlaps(*, scope: str, only_unserved: bool, now: datetime, zone: tzinfo) -> Overlaps:
    """Read the collisions of the days to come or of the last seven. A constant number of queries."""
    families = gather(_slices(scope, now=now))
    lossy = [family for family in families if _refused(family)]
    chosen = (lossy if only_unserved else families)[:MOST]
    requests = _requests(chosen, now=now, zone=zone)
    rows = _rows(chosen)
    return Overlaps(
        scope=scope,
        only_unserved=only_unserved,
        collisions=tuple(
            _collision(family, requests=requests, rows=rows, now=now, zone=zone)
            for family in chosen
            if family.event_ids & requests.keys()
        ),
        unserved=len(lossy),
        total=len(families),
    )


def _slices(scope: str, *, now: datetime) -> list[Any]:
    """Read the slices, devices that fare alike counted together. One query."""
    overlaps = Overlap.objects.filter(ends_at__gt=now)
    if scope == "past":
        overlaps = Overlap.objects.filter(ends_at__lte=now, ends_at__gt=now - timedelta(days=7))
    alike = overlaps.values("starts_at", "ends_at", "event_ids", "not_served", "reason")
    counted = alike.annotate(devices=Count("device_id", distinct=True))
    return list(counted.order_by("starts_at", "ends_at", "-devices", "reason"))


def count_overlaps(*, now: datetime) -> int:
    """Count the collisions to come, as the page would show them. One query."""
    coming = Overlap.objects.filter(ends_at__gt=now).values("starts_at", "ends_at", "event_ids")
    return len(gather(coming.distinct().order_by("starts_at", "ends_at")))


def gather(slices: Iterable[Any]) -> list[Family]:
    """Join slices, ordered by start, that touch and share an event."""
    families: list[Family] = []
    for piece in slices:
        ids = set(piece["event_ids"])
        home = next(
            (each for each in families if each.end >= piece["starts_at"] and each.event_ids & ids), None
        )
        if home is None:
            families.append(
                Family(start=piece["starts_at"], end=piece["ends_at"], event_ids=ids, slices=[piece])
            )
        else:
            home.end = max(home.end, piece["ends_at"])
            home.event_ids |= ids
            home.slices.append(piece)
    return families


def _refused(family: Family) -> bool:
    return any(piece["not_served"] for piece in family.slices)


def _requests(families: list[Family], *, now: datetime, zone: tzinfo) -> dict[int, Request]:
    ids = {event_id for family in families for event_id in family.event_ids}
    requests = read_requests(DispatchEvent.objects.filter(pk__in=ids), now=now, zone=zone)
    return {event_id: request for request in requests for event_id in request.event_ids}


def _rows(families: list[Family]) -> tuple[FinalRow, ...]:
    if not families:
        return ()
    start = min(family.start for family in families) - timedelta(days=1)
    return read_final(start=start, end=max(family.end for family in families) + timedelta(days=1))


def _collision(
    family: Family,
    *,
    requests: dict[int, Request],
    rows: tuple[FinalRow, ...],
    now: datetime,
    zone: tzinfo,
) -> Collision:
    asked = list({id(found): found for each in family.event_ids if (found := requests.get(each))}.values())
    asked.sort(key=lambda each: (each.start, each.rank))
    refusals = _refusals(family, names=_names(asked))
    kind, verdict = _verdict(asked, refusals=refusals, devices=_devices(family))
    return Collision(
        names=", ".join(dict.fromkeys(each.owner.name for each in asked)),
        day=words.day(family.start, zone=zone),
        window=words.window(family.start, family.end, zone=zone),
        utc=words.window_utc(family.start, family.end, zone=zone),
        devices=_devices(family),
        length=words.length(family.end - family.start),
        at_once=max(len(piece["event_ids"]) for piece in family.slices),
        lanes=_lanes(asked, rows=rows, now=now, zone=zone),
        kind=kind,
        verdict=verdict,
        choices=_choices(family),
        refusals=refusals,
    )


def _devices(family: Family) -> int:
    """Count the devices of the fullest slice."""
    by_slice: dict[datetime, int] = {}
    for piece in family.slices:
        by_slice[piece["starts_at"]] = by_slice.get(piece["starts_at"], 0) + piece["devices"]
    return max(by_slice.values())


def _names(asked: list[Request]) -> dict[str, str]:
    return {leap_id: each.program for each in asked for leap_id in each.leap_event_ids}


def _choices(family: Family) -> tuple[Choice, ...]:
    counts: dict[str, int] = {}
    for piece in family.slices:
        if piece["reason"]:
            counts[piece["reason"]] = max(counts.get(piece["reason"], 0), piece["devices"])
    return tuple(Choice(text=text, devices=devices) for text, devices in counts.items())


def _refusals(family: Family, *, names: dict[str, str]) -> tuple[Choice, ...]:
    counts: dict[str, int] = {}
    for piece in family.slices:
        for missed in piece["not_served"]:
            name = names.get(missed.get("leap_event_id", ""), "An event")
            text = f"{name}: {missed.get('reason', 'not served')}"
            counts[text] = max(counts.get(text, 0), piece["devices"])
    return tuple(Choice(text=text, devices=devices) for text, devices in counts.items())


def _verdict(asked: list[Request], *, refusals: tuple[Choice, ...], devices: int) -> tuple[str, str]:
    """Say how the collision ended: nothing lost, something not served, or no longer one."""
    live = [each for each in asked if each.look.state is not State.CANCELLED]
    if len(live) < 2:
        return "plain", "No longer an overlap"
    if refusals:
        most = max(refusal.devices for refusal in refusals)
        share = "all" if most >= devices else f"{most:,} of {devices:,}"
        return "warn", f"Not fully served on {share} devices"
    return "ok", "Nothing lost"


def _lanes(asked: list[Request], *, rows: tuple[FinalRow, ...], now: datetime, zone: tzinfo) -> Lanes:
    """Draw the requests as if one owner asked them all, an hour's margin on either side."""
    start = min(each.start for each in asked).replace(minute=0, second=0, microsecond=0) - HOUR
    end = max(each.end for each in asked) + HOUR
    axis = Axis(start=start, end=end, zone=zone)
    hours = (end - start) / HOUR
    every = HOUR if hours <= 7 else 2 * HOUR if hours <= 14 else 4 * HOUR if hours <= 30 else 24 * HOUR
    return build_lanes(requests=asked, rows=rows, axis=axis, every=every, now=now, fleets={}, is_apart=False)
