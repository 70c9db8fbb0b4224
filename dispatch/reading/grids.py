"""The calendar's three pictures, built from requests and segments already read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise

from dispatch.reading import words
from dispatch.reading.axis import PARTS, Axis, clock_note, midnight
from dispatch.reading.final import Around, FinalRow, Step, peak, steps_for
from dispatch.reading.fleets import read_fleets
from dispatch.reading.lanes import Lanes, build_lanes
from dispatch.reading.looks import State
from dispatch.reading.requests import Request

CHIPS = 3
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
PAST_STATES = (State.DONE, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a view draws: the requests that passed the filters, the segments, the days, the present."""

    requests: tuple[Request, ...]
    rows: tuple[FinalRow, ...] | None
    around: tuple[Around, ...]
    first: date
    days: int
    zone: tzinfo
    now: datetime

    @property
    def steps(self) -> tuple[Step, ...]:
        """Sum what devices do for these requests; what is asked where no segments were read."""
        if self.rows is None:
            return asked_steps(self.requests)
        ids = {leap_id for each in self.requests for leap_id in each.leap_event_ids}
        return steps_for(self.rows, leap_event_ids=ids)

    @property
    def today(self) -> date:
        """Give the local date of the present."""
        return self.now.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class MonthDay:
    """One cell of the month."""

    day: date
    label: str
    is_outside: bool
    is_today: bool
    peak: str
    note: str
    chips: tuple[tuple[Request, str], ...]
    more: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A request, or the part of it on one day, in the week's grid."""

    request: Request
    part: int
    parts: int
    window: str
    times: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Slots that cover each other, side by side; slots are placed within the cluster."""

    part: int
    parts: int
    columns: tuple[tuple[Slot, ...], ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A stretch of a day's final lane in the week's grid."""

    part: int
    parts: int
    is_max: bool
    words: str


@dataclass(frozen=True, slots=True)
class WeekDay:
    """One column of the week."""

    day: date
    label: str
    is_today: bool
    peak: str
    note: str
    clusters: tuple[Cluster, ...]
    slots: tuple[Slot, ...]
    edges: tuple[Edge, ...]
    now: int | None

    @property
    def weight(self) -> int:
        """Say how wide the day wants to be: busy days are wider."""
        return 6 + 6 * min(max((len(each.columns) for each in self.clusters), default=0), 12)


@dataclass(frozen=True, slots=True)
class Week:
    """The grid: hours with their place, days with their columns."""

    hours: tuple[tuple[int, str, str], ...]
    days: tuple[WeekDay, ...]
    zone: str
    now: int | None
    is_long: bool


def asked_steps(requests: Iterable[Request]) -> tuple[Step, ...]:
    """Sum what is asked over time: of each owner the largest request, as devices serve it.

    A maximum has no number and counts nothing.
    """
    coming = sorted(
        (each for each in requests if each.look.state is not State.CANCELLED), key=lambda each: each.start
    )
    cuts = sorted({at for each in coming for at in (each.start, each.end)})
    steps = []
    active: list[Request] = []
    at = 0
    for start, end in pairwise(cuts):
        active = [each for each in active if each.end > start]
        while at < len(coming) and coming[at].start <= start:
            active.append(coming[at])
            at += 1
        if active:
            steps.append(_asked(start, end, active))
    return tuple(steps)


def _asked(start: datetime, end: datetime, requests: list[Request]) -> Step:
    largest: dict[str, Decimal] = {}
    for each in requests:
        largest[each.owner.key] = max(largest.get(each.owner.key, Decimal(0)), each.kw or Decimal(0))
    return Step(
        start=start,
        end=end,
        kw=sum(largest.values(), Decimal(0)),
        is_max=any(each.kw is None for each in requests),
        devices=0,
        confirmed=0,
        confirmed_kw=Decimal(0),
    )


def month_of(seen: Seen, *, month: int) -> tuple[tuple[MonthDay, ...], ...]:
    """Lay chips into weeks: a request stands on the day it starts."""
    by_day: dict[date, list[Request]] = {}
    for request in seen.requests:
        by_day.setdefault(request.start.astimezone(seen.zone).date(), []).append(request)
    steps = seen.steps
    cells = [
        _month_day(seen, seen.first + index * DAY, asked=by_day, month=month, steps=steps)
        for index in range(seen.days)
    ]
    return tuple(tuple(cells[at : at + 7]) for at in range(0, len(cells), 7))


def _month_day(
    seen: Seen, day: date, *, asked: dict[date, list[Request]], month: int, steps: tuple[Step, ...]
) -> MonthDay:
    requests = asked.get(day, [])
    shown = requests if len(requests) <= CHIPS + 1 else _foremost(requests)
    return MonthDay(
        day=day,
        label=f"{day:%b} {day.day}" if day.day == 1 or day == seen.first else str(day.day),
        is_outside=day.month != month,
        is_today=day == seen.today,
        peak=_peak_words(steps, day=day, zone=seen.zone),
        note=clock_note(day, zone=seen.zone),
        chips=tuple((each, f"{each.start.astimezone(seen.zone):%H}") for each in shown),
        more=len(requests) - len(shown),
    )


def _foremost(requests: list[Request]) -> list[Request]:
    """Choose the chips of a full day: what is over, cancelled or a test makes room for what is not."""
    ranked = sorted(
        requests, key=lambda each: (each.look.state in PAST_STATES, each.is_test, each.rank, each.start)
    )
    chosen = ranked[:CHIPS]
    return [each for each in requests if each in chosen]


def _peak_words(steps: Iterable[Step], *, day: date, zone: tzinfo) -> str:
    highest = peak(steps, start=midnight(day, zone=zone), end=midnight(day + DAY, zone=zone))
    return f"{words.number(highest.kw / 1000)} MW" if highest and highest.kw else ""


def week_of(seen: Seen) -> Week:
    """Lay requests into a grid of wall-clock hours, from the first to the last hour in use."""
    cut = [part for request in seen.requests for part in _by_day(request, seen)]
    opens = min([*(start.hour for _, _, start, _ in cut), seen.now.astimezone(seen.zone).hour, 16])
    closes = max([*(_hour_after(end) for _, _, _, end in cut), 20])
    steps = seen.steps
    days = tuple(
        _week_day(
            seen,
            seen.first + index * DAY,
            parts=[part for part in cut if part[1] == seen.first + index * DAY],
            hours=(opens, closes),
            steps=steps,
        )
        for index in range(7)
    )
    noon = datetime.combine(seen.first, time(12), tzinfo=seen.zone)
    offset = noon.utcoffset() or timedelta()
    every = 1 if closes - opens <= 10 else 2
    labels = tuple(
        (
            _share(hour, (opens, closes)),
            f"{hour:02d}:00",
            f"{(hour - round(offset / HOUR)) % 24:02d}:00",
        )
        for hour in range(opens, closes, every)
    )
    now = next((day.now for day in days if day.is_today), None)
    return Week(hours=labels, days=days, zone=noon.tzname() or "", now=now, is_long=closes - opens > 14)


def _by_day(request: Request, seen: Seen) -> list[tuple[Request, date, time, time]]:
    """Cut a request at local midnights; an end of 00:00 stands for the day's end."""
    found = []
    start = request.start.astimezone(seen.zone)
    end = request.end.astimezone(seen.zone)
    day = start.date()
    while day < end.date() or (day == end.date() and end.time() > time()):
        begins = start.time() if day == start.date() else time()
        ends = end.time() if day == end.date() else time()
        found.append((request, day, begins, ends))
        day += DAY
    return found


def _hour_after(end: time) -> int:
    if end == time():
        return 24
    return end.hour + (1 if end.minute else 0)


def _share(hour: float, hours: tuple[int, int]) -> int:
    opens, closes = hours
    return round(min(max((hour - opens) / (closes - opens), 0), 1) * PARTS)


def _hour(at: time, *, is_end: bool) -> float:
    return 24.0 if is_end and at == time() else at.hour + at.minute / 60


def _week_day(
    seen: Seen,
    day: date,
    *,
    parts: list[tuple[Request, date, time, time]],
    hours: tuple[int, int],
    steps: tuple[Step, ...],
) -> WeekDay:
    slots = [_slot(request, start, end, hours=hours, zone=seen.zone) for request, _, start, end in parts]
    local = seen.now.astimezone(seen.zone)
    return WeekDay(
        day=day,
        label=f"{day:%a}",
        is_today=day == seen.today,
        peak=_peak_words(steps, day=day, zone=seen.zone),
        note=clock_note(day, zone=seen.zone),
        clusters=_clusters(slots),
        slots=tuple(slots),
        edges=_edges(steps, day=day, hours=hours, zone=seen.zone),
        now=_share(local.hour + local.minute / 60, hours) if day == seen.today else None,
    )


def _slot(request: Request, start: time, end: time, *, hours: tuple[int, int], zone: tzinfo) -> Slot:
    first = _share(_hour(start, is_end=False), hours)
    last = _share(_hour(end, is_end=True), hours)
    return Slot(
        request=request,
        part=min(first, PARTS - 1),
        parts=max(last - first, 1),
        window=words.window(request.start, request.end, zone=zone),
        times=words.times(request.start, request.end, zone=zone),
    )


def _clusters(slots: Iterable[Slot]) -> tuple[Cluster, ...]:
    """Gather slots that cover each other, directly or through a third."""
    gathered: list[list[Slot]] = []
    end = -1
    for slot in sorted(slots, key=lambda each: (each.part, each.request.rank)):
        if gathered and slot.part < end:
            gathered[-1].append(slot)
        else:
            gathered.append([slot])
            end = -1
        end = max(end, slot.part + slot.parts)
    return tuple(_cluster(group) for group in gathered)


def _cluster(slots: list[Slot]) -> Cluster:
    """Place slots anew, in parts of their cluster."""
    first = min(slot.part for slot in slots)
    length = max(slot.part + slot.parts for slot in slots) - first
    placed = [
        replace(
            slot,
            part=round((slot.part - first) / length * PARTS),
            parts=max(round(slot.parts / length * PARTS), 1),
        )
        for slot in slots
    ]
    return Cluster(part=first, parts=length, columns=_columns(placed))


def _columns(slots: Iterable[Slot]) -> tuple[tuple[Slot, ...], ...]:
    """Put each slot in the first column in which it does not cover another."""
    columns: list[list[Slot]] = []
    for slot in sorted(slots, key=lambda each: (each.part, each.request.rank)):
        for column in columns:
            if column[-1].part + column[-1].parts <= slot.part:
                column.append(slot)
                break
        else:
            columns.append([slot])
    return tuple(tuple(column) for column in columns)


def _edges(steps: Iterable[Step], *, day: date, hours: tuple[int, int], zone: tzinfo) -> tuple[Edge, ...]:
    """Draw a day's final lane as a dark edge."""
    opens, closes = midnight(day, zone=zone), midnight(day + DAY, zone=zone)
    found = []
    for step in steps:
        if step.start < closes and step.end > opens:
            start, end = max(step.start, opens), min(step.end, closes)
            first = _share(_hour(start.astimezone(zone).time(), is_end=False), hours)
            last = _share(_hour(end.astimezone(zone).time(), is_end=True), hours)
            text = f"{words.window(start, end, zone=zone)}: {words.power(step.kw)}"
            found.append(Edge(part=first, parts=max(last - first, 1), is_max=step.is_max, words=text))
    return tuple(found)


def day_of(seen: Seen) -> Lanes:
    """Lay a day out as lanes, a row for each request. One query, for the owners' devices."""
    start, end = midnight(seen.first, zone=seen.zone), midnight(seen.first + DAY, zone=seen.zone)
    return build_lanes(
        requests=seen.requests,
        rows=seen.rows or (),
        around=seen.around,
        axis=Axis(start=start, end=end, zone=seen.zone),
        every=timedelta(hours=2),
        now=seen.now,
        fleets=read_fleets(seen.requests),
    )
