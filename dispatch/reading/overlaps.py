"""Where requests collide on the same devices: what was chosen, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.db.models import Count

from dispatch.models import DispatchEvent, Overlap
from dispatch.reading import words
from dispatch.reading.axis import Axis
from dispatch.reading.final import FinalRow, read_final
from dispatch.reading.lanes import Lanes, build_lanes
from dispatch.reading.looks import Look, State
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
class Standing:
    """How one request fares: its mark, what it is, the verdict, and why devices do not serve it."""

    look: Look
    name: str
    what: str
    kind: str
    verdict: str
    refusals: tuple[Choice, ...]


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
    standings: tuple[Standing, ...]
    choices: tuple[Choice, ...]


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
    alike = overlaps.values("starts_at", "ends_at", "event_ids", "leap_event_ids", "not_served", "reason")
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
    refused = {id(each): _refusals(family, each) for each in asked}
    leaders = _leaders(family)
    kind, verdict = _verdict(asked, refusals=sum(refused.values(), ()), devices=_devices(family))
    drawn = [replace(each, is_dropped=bool(refused[id(each)])) for each in asked]
    return Collision(
        names=", ".join(dict.fromkeys(each.owner.name for each in asked)),
        day=words.day(family.start, zone=zone),
        window=words.window(family.start, family.end, zone=zone),
        utc=words.window_utc(family.start, family.end, zone=zone),
        devices=_devices(family),
        length=words.length(family.end - family.start),
        at_once=max(len(piece["event_ids"]) for piece in family.slices),
        lanes=_lanes(drawn, rows=rows, now=now, zone=zone),
        kind=kind,
        verdict=verdict,
        standings=tuple(
            _standing(each, leaders=leaders, refusals=refused[id(each)], devices=_devices(family), zone=zone)
            for each in sorted(asked, key=lambda each: (each.rank, each.start))
        ),
        choices=_choices(family),
    )


def _devices(family: Family) -> int:
    """Count the devices of the fullest slice."""
    by_slice: dict[datetime, int] = {}
    for piece in family.slices:
        by_slice[piece["starts_at"]] = by_slice.get(piece["starts_at"], 0) + piece["devices"]
    return max(by_slice.values())


def _leaders(family: Family) -> set[int]:
    """Return the events that come first somewhere: the best of those that are served."""
    leaders = set()
    for piece in family.slices:
        lost = {each.get("leap_event_id") for each in piece["not_served"]}
        ids = zip(piece["event_ids"], piece["leap_event_ids"], strict=False)
        leaders.update([event_id for event_id, leap_id in ids if leap_id not in lost][:1])
    return leaders


def _standing(
    request: Request, *, leaders: set[int], refusals: tuple[Choice, ...], devices: int, zone: tzinfo
) -> Standing:
    """Say how a request fares beside the others."""
    is_first = not leaders.isdisjoint(request.event_ids)
    kind, verdict = ("ok", "Comes first") if is_first else ("plain", "Served")
    if request.look.state is State.CANCELLED:
        kind, verdict = "plain", "Cancelled"
    elif refusals:
        kind, verdict = "warn", f"Not served on {_share(refusals, devices=devices)}"
    commitment = "voluntary" if request.is_voluntary else "commitment"
    return Standing(
        look=request.look,
        name=request.name,
        what=f"{words.times(request.start, request.end, zone=zone)}, rank {request.rank}, {commitment}",
        kind=kind,
        verdict=verdict,
        refusals=refusals,
    )


def _share(refusals: tuple[Choice, ...], *, devices: int) -> str:
    """Say on how many of the devices the commonest reason holds."""
    most = max(refusal.devices for refusal in refusals)
    return "all devices" if most >= devices else f"{most:,} of {devices:,} devices"


def _choices(family: Family) -> tuple[Choice, ...]:
    """Collect planning's words on the slices in which something is served; the others are refusals."""
    counts: dict[str, int] = {}
    for piece in family.slices:
        if piece["reason"] and piece["reason"] not in {each.get("reason") for each in piece["not_served"]}:
            counts[piece["reason"]] = max(counts.get(piece["reason"], 0), piece["devices"])
    return tuple(Choice(text=text, devices=devices) for text, devices in counts.items())


def _refusals(family: Family, request: Request) -> tuple[Choice, ...]:
    """Collect why devices do not serve a request, the commonest reason first."""
    counts: dict[str, int] = {}
    for piece in family.slices:
        for missed in piece["not_served"]:
            if missed.get("leap_event_id") in request.leap_event_ids:
                text = missed.get("reason", "Not served.")
                counts[text] = max(counts.get(text, 0), piece["devices"])
    told = sorted(counts.items(), key=lambda each: -each[1])
    return tuple(Choice(text=text, devices=devices) for text, devices in told)


def _verdict(asked: list[Request], *, refusals: tuple[Choice, ...], devices: int) -> tuple[str, str]:
    """Say how the collision ended: nothing lost, something not served, or no longer one."""
    live = [each for each in asked if each.look.state is not State.CANCELLED]
    if len(live) < 2:
        return "plain", "No longer an overlap"
    if refusals:
        return "warn", f"Not fully served on {_share(refusals, devices=devices)}"
    return "ok", "Nothing lost"


def _lanes(asked: list[Request], *, rows: tuple[FinalRow, ...], now: datetime, zone: tzinfo) -> Lanes:
    """Draw the requests as if one owner asked them all, an hour's margin on either side."""
    start = min(each.start for each in asked).replace(minute=0, second=0, microsecond=0) - HOUR
    end = max(each.end for each in asked) + HOUR
    axis = Axis(start=start, end=end, zone=zone)
    hours = (end - start) / HOUR
    every = HOUR if hours <= 7 else 2 * HOUR if hours <= 14 else 4 * HOUR if hours <= 30 else 24 * HOUR
    return build_lanes(requests=asked, rows=rows, axis=axis, every=every, now=now, fleets={}, is_apart=False)
