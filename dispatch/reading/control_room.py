"""The control room's read: now, next, the coming hours as lanes, readiness, what needs someone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from django.apps import apps
from django.conf import settings
from django.db.models import Count, Min, Q

from devices.models import Device
from dispatch.domain.readiness import Standing
from dispatch.models import DispatchNotification, PollState, Source
from dispatch.reading import readiness, words
from dispatch.reading.attention import POLL_WITHIN, Need
from dispatch.reading.axis import Axis
from dispatch.reading.final import FinalRow, Step, peak, read_around, read_final, steps_for
from dispatch.reading.fleets import read_fleets
from dispatch.reading.lanes import Lanes, build_lanes
from dispatch.reading.looks import State
from dispatch.reading.requests import Request, events_between, read_requests
from meters.models import Meter

SPANS = {"6h": (6, 1), "24h": (24, 3), "3d": (72, 12)}  # hours shown, hours between labels
WORKER_WITHIN = timedelta(seconds=60)
MOST_READY = 8
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Tile:
    """One fact of the strip."""

    label: str
    figure: str
    unit: str
    context: str
    icon: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Pulse:
    """A sign of life under the title."""

    icon: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadyLine:
    """One coming request, and how far its devices are ready."""

    request: Request
    starts: str
    found: readiness.Readiness
    cause: str


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step of setting the portal up."""

    icon: str
    title: str
    text: str
    verb: str
    href: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Room:
    """All that the page shows."""

    span: str
    lanes: Lanes
    tiles: tuple[Tile, ...]
    pulses: tuple[Pulse, ...]
    readiness: tuple[ReadyLine, ...]
    has_set_points: bool
    needs: tuple[Need, ...]
    setup: tuple[SetupStep, ...]
    done: int


def read_room(*, now: datetime, zone: tzinfo, span: str, waiting: tuple[Need, ...]) -> Room:
    """Read the room. A constant number of queries."""
    hours, step = SPANS[span]
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    axis = Axis(start=start, end=start + timedelta(hours=hours), zone=zone)
    far = max(axis.end, now + timedelta(hours=24))
    requests = read_requests(events_between(axis.start, far), now=now, zone=zone)
    rows = read_final(start=axis.start, end=far)
    shown = [request for request in requests if request.start < axis.end]
    devices = Device.objects.aggregate(all=Count("id"), online=Count("id", filter=Q(is_online=True)))
    pulses = _pulses(now=now, zone=zone)
    ready = _readiness(requests, now=now, zone=zone)
    setup = _setup(has_device=devices["all"] > 0, has_webhook=pulses[0].kind == "ok")
    return Room(
        span=span,
        lanes=build_lanes(
            requests=shown,
            rows=rows,
            axis=axis,
            every=timedelta(hours=step),
            now=now,
            fleets=read_fleets(shown),
            around=read_around(start=axis.start, end=axis.end),
        ),
        tiles=(
            _now_tile(requests, rows=rows, now=now),
            _next_tile(requests, now=now, zone=zone),
            _peak_tile(rows, now=now, zone=zone),
            _devices_tile(devices),
            _needs_tile(waiting, now=now, zone=zone),
        ),
        pulses=pulses,
        readiness=ready,
        has_set_points=any(line.found.counts[Standing.REACHABLE] for line in ready),
        needs=waiting,
        setup=() if all(step.is_done for step in setup) else setup,
        done=sum(step.is_done for step in setup),
    )


def _live(requests: Iterable[Request], *, now: datetime) -> list[Request]:
    return [
        each for each in requests if each.start <= now < each.end and each.look.state is not State.CANCELLED
    ]


def _at(steps: Iterable[Step], now: datetime) -> Step | None:
    return next((step for step in steps if step.start <= now < step.end), None)


def _now_tile(requests: Iterable[Request], *, rows: tuple[FinalRow, ...], now: datetime) -> Tile:
    live = _live(requests, now=now)
    step = _at(steps_for(rows), now)
    if not live or step is None:
        text = "No event is live" if not live else "No device is asked to move"
        return Tile(label="Delivering now", figure="0", unit="kW", context=text)
    figure, unit = words.power_parts(step.confirmed_kw)
    names = list(dict.fromkeys(each.owner.name for each in live))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return Tile(
        label="Confirmed now",
        figure=figure,
        unit=f"{unit if unit == 'MW' else 'kW'} of {words.power(step.kw)}",
        context=", ".join(names[:MOST_NAMED]) + more,
        icon="live",
    )


def _next_tile(requests: Iterable[Request], *, now: datetime, zone: tzinfo) -> Tile:
    coming = [each for each in requests if each.start > now and each.look.state is not State.CANCELLED]
    if not coming:
        return Tile(label="Next", figure="None", unit="", context="in the next 24 hours")
    first = min(coming, key=lambda each: (each.start, each.rank))
    figure, unit = words.power_parts(first.kw)
    return Tile(
        label="Next",
        figure=figure,
        unit=f"{unit} {words.relative(first.start, now=now)}".strip(),
        context=f"{first.owner.name}, {first.name} {words.clock(first.start, zone=zone)}",
    )


def _peak_tile(rows: tuple[FinalRow, ...], *, now: datetime, zone: tzinfo) -> Tile:
    highest = peak(steps_for(rows), start=now, end=now + timedelta(hours=24))
    if highest is None:
        return Tile(label="Highest, next 24 h", figure="0", unit="kW", context="Nothing is planned")
    figure, unit = words.power_parts(highest.kw)
    at = words.day_clock(max(highest.start, now), now=now, zone=zone)
    return Tile(
        label="Highest, next 24 h",
        figure=figure,
        unit=unit,
        context=f"{at}, {words.counted(highest.devices, one='device')} at once",
    )


def _devices_tile(devices: dict[str, int]) -> Tile:
    missing = devices["all"] - devices["online"]
    text = f"{missing:,} offline" if missing else "All answer"
    return Tile(
        label="Devices online",
        figure=f"{devices['online']:,}",
        unit=f"of {devices['all']:,}",
        context=text if devices["all"] else "No device yet",
    )


def _needs_tile(waiting: tuple[Need, ...], *, now: datetime, zone: tzinfo) -> Tile:
    if not waiting:
        return Tile(label="Needs you", figure="0", unit="open", context="All clear")
    due = min((need.due_at for need in waiting if need.due_at), default=None)
    text = f"First due {words.day_clock(due, now=now, zone=zone)}" if due else waiting[0].title
    if due and due <= now:
        text = f"Due since {words.day_clock(due, now=now, zone=zone)}"
    if due and due > now:
        text += f", {words.relative(due, now=now)}"
    return Tile(
        label="Needs you", figure=str(len(waiting)), unit="open", context=text, icon="warn", is_bad=True
    )


def _pulses(*, now: datetime, zone: tzinfo) -> tuple[Pulse, ...]:
    """Say when Leap last spoke to us, we to Leap, and the worker at all. Three queries."""
    webhooks = DispatchNotification.objects.filter(source=Source.WEBHOOK)
    last = webhooks.order_by("-received_at").values_list("received_at", flat=True).first()
    polled = PollState.objects.aggregate(oldest=Min("answered_at"))["oldest"]
    # The heartbeat is a row of the project, which stands above this app: asked for by name.
    beats = apps.get_model("leapvpp", "Heartbeat").objects.filter(name="worker")
    beat = beats.values_list("beat_at", flat=True).first()
    if last:
        webhook = Pulse("tick", "ok", f"Webhook {words.day_clock(last, now=now, zone=zone)}")
    else:
        webhook = Pulse("warn", "warn", "No webhook yet")
    if not settings.LEAP_API_KEY:
        poll = Pulse("no-signal", "quiet", "Polling is off: no API key")
    elif polled and polled > now - POLL_WITHIN:
        poll = Pulse("tick", "ok", f"Polled {words.relative(polled, now=now)}")
    else:
        poll = Pulse("bad", "bad", f"Last poll {words.relative(polled, now=now) if polled else 'never'}")
    if beat and beat > now - WORKER_WITHIN:
        worker = Pulse("tick", "ok", "Worker running")
    else:
        seen = f"silent since {words.day_clock(beat, now=now, zone=zone)}" if beat else "not seen yet"
        worker = Pulse("bad" if beat else "warn", "bad" if beat else "warn", f"Worker {seen}")
    return webhook, poll, worker


def _readiness(requests: Iterable[Request], *, now: datetime, zone: tzinfo) -> tuple[ReadyLine, ...]:
    """Say of each coming request how many of its devices will run it. One query."""
    hidden = {State.CANCELLED, State.DONE}
    coming = [each for each in requests if each.end > now and each.look.state not in hidden]
    shown = sorted(coming, key=lambda each: (each.start, each.rank))[:MOST_READY]
    parts = readiness.read_parts(start=now, end=max((each.end for each in shown), default=now))
    return tuple(_ready_line(each, parts=parts, now=now, zone=zone) for each in shown)


def _ready_line(
    request: Request, *, parts: Iterable[readiness.PartRow], now: datetime, zone: tzinfo
) -> ReadyLine:
    found = readiness.of_events(parts, request.leap_event_ids, asked_kw=request.kw)
    causes = [readiness.cause_words(readiness.causes_of(found)), request.trouble]
    if not found.devices:
        causes = [request.trouble or readiness.NO_DEVICE]
    return ReadyLine(
        request=request,
        starts="now" if request.start <= now else words.day_clock(request.start, now=now, zone=zone),
        found=found,
        cause=" ".join(filter(None, causes)),
    )


def _setup(*, has_device: bool, has_webhook: bool) -> tuple[SetupStep, ...]:
    """List the steps from an empty portal to a dispatched device. One query."""
    return (
        SetupStep(
            icon="link",
            title="Give Leap the webhook address",
            text="Set it in Leap's portal with the header that carries the key.",
            verb="Open notifications",
            href="/notifications/",
            is_done=has_webhook,
        ),
        SetupStep(
            icon="gauge",
            title="Bring in the meters",
            text="Import a CSV of the meters you enrolled with Leap, or send them to the REST API.",
            verb="Open meters",
            href="/meters/",
            is_done=Meter.objects.exists(),
        ),
        SetupStep(
            icon="device",
            title="Map meters to devices",
            text="A meter without a device is never dispatched.",
            verb="Open devices",
            href="/devices/",
            is_done=has_device,
        ),
    )
