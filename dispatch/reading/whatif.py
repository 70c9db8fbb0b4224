"""What the what-if forms offer, and the day on which an event is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from dispatch.models import DispatchEvent, RecipientMember
from dispatch.reading import words
from dispatch.reading.axis import Axis, Tick, clock_note, midnight
from dispatch.reading.final import read_final
from dispatch.reading.lanes import Bar, Final, build_lanes
from dispatch.reading.looks import State
from dispatch.reading.requests import events_between, read_requests
from dispatch.whatif import Whom, meters_of
from meters.models import MarketGroup, Meter

DAY = timedelta(days=1)
TICKS = timedelta(hours=2)
CHANGEABLE_AHEAD = timedelta(days=14)
NAMES_OFFERED = 200
EVENTS_OFFERED = 200
LANES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Offer:
    """A stored event that may be changed: its rows, and what it is called in a list."""

    event_ids: tuple[int, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Block:
    """What is drawn, on the axis."""

    part: int
    parts: int
    times: str


@dataclass(frozen=True, slots=True)
class Day:
    """A local day with what is asked on it, and what is drawn over it."""

    axis: Axis
    title: str
    note: str
    ticks: tuple[Tick, ...]
    midnights: tuple[int, ...]
    now: int | None
    block: Block | None
    lanes: tuple[tuple[Bar, ...], ...]
    hidden: int
    final: tuple[Final, ...]

    @property
    def opens(self) -> int:
        """Say when the day begins, in seconds since 1970, for the script that draws."""
        return int(self.axis.start.timestamp())

    @property
    def closes(self) -> int:
        """Say when the day is over, in the same seconds."""
        return int(self.axis.end.timestamp())


def offer_names() -> tuple[tuple[str, str], ...]:
    """Offer groups and then meters by name, for the field in which one is typed. Two queries."""
    groups = MarketGroup.objects.order_by("name", "pk")[:NAMES_OFFERED]
    meters = Meter.objects.exclude(name="").order_by("name", "pk")
    return (
        *((str(group), f"group {group.market_group_id}") for group in groups),
        *(
            (name, f"meter {meter_id}")
            for name, meter_id in meters.values_list("name", "meter_id")[:NAMES_OFFERED]
        ),
    )


def offer_programs() -> tuple[str, ...]:
    """Offer the programs of events and groups. Two queries."""
    lists = DispatchEvent.objects.order_by().values_list("programs", flat=True).distinct()
    known = {program for programs in lists for program in programs}
    known.update(MarketGroup.objects.order_by().values_list("program", flat=True).distinct())
    return tuple(sorted(known - {""}))


def offer_events(*, now: datetime, zone: tzinfo) -> tuple[Offer, ...]:
    """Offer the live and coming events, hourly slots as one. Three queries."""
    coming = DispatchEvent.objects.filter(
        is_cancelled=False, ends_at__gt=now, starts_at__lt=now + CHANGEABLE_AHEAD
    )
    return tuple(
        Offer(
            event_ids=each.event_ids,
            label=f"{each.name}, {each.owner.name}, {words.day(each.start, zone=zone)} "
            f"{words.window(each.start, each.end, zone=zone)}, {each.power}",
        )
        for each in read_requests(coming, now=now, zone=zone)[:EVENTS_OFFERED]
    )


def read_day(
    whom: Whom | None,
    *,
    day: date,
    drawn: tuple[datetime, datetime] | None,
    zone: tzinfo,
    now: datetime,
) -> Day:
    """Read what is asked of someone, or of anyone, on a local day. Four queries."""
    axis = Axis(start=midnight(day, zone=zone), end=midnight(day + DAY, zone=zone), zone=zone)
    events = events_between(axis.start, axis.end)
    if whom:
        named = RecipientMember.objects.filter(meter_id__in=meters_of(whom, at=max(now, axis.start)))
        events = events.filter(recipients_id__in=named.values("recipients_id"))
    requests = [
        each for each in read_requests(events, now=now, zone=zone) if each.look.state is not State.CANCELLED
    ]
    shown = build_lanes(
        requests=requests,
        rows=read_final(start=axis.start, end=axis.end),
        axis=axis,
        every=TICKS,
        now=now,
        fleets={},
        is_apart=False,
    )
    lanes = shown.groups[0].lanes if shown.groups else ()
    return Day(
        axis=axis,
        title=f"{day:%A} {day.day} {day:%B}",
        note=clock_note(day, zone=zone),
        ticks=shown.ticks,
        midnights=shown.midnights,
        now=shown.now,
        block=_block(drawn, axis=axis),
        lanes=lanes[:LANES_SHOWN],
        hidden=sum(len(lane) for lane in lanes[LANES_SHOWN:]),
        final=shown.groups[0].final if shown.groups else (),
    )


def _block(drawn: tuple[datetime, datetime] | None, *, axis: Axis) -> Block | None:
    if drawn is None or drawn[0] >= axis.end or drawn[1] <= axis.start:
        return None
    part, parts = axis.place(*drawn)
    return Block(part=part, parts=parts, times=words.times(*drawn, zone=axis.zone))
