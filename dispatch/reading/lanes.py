"""Lanes: one thin bar per request, below them what devices will do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from dispatch.reading import words
from dispatch.reading.axis import PARTS, Axis, Tick
from dispatch.reading.final import Around, FinalRow, Step, spans_for, steps_for
from dispatch.reading.requests import Request

SHORT = 44  # parts below which a bar's label stands beside it
LONG = 66  # the same where the name is long
WORDY = 6  # signs above which a name is long
ROOM = 62  # parts such a label may need


@dataclass(frozen=True, slots=True)
class Bar:
    """A request placed on the axis; `is_left`: a label that does not fit stands before it."""

    request: Request
    part: int
    parts: int
    window: str
    utc: str
    brief: str
    times: str

    @property
    def is_wordy(self) -> bool:
        """Tell whether the name is longer than most, as a test's is."""
        return len(self.request.name) > WORDY

    @property
    def is_beside(self) -> bool:
        """Tell whether the label stands beside the bar."""
        return self.parts < (LONG if self.is_wordy else SHORT)

    @property
    def is_left(self) -> bool:
        """Tell whether the label would run out of the lane behind the bar."""
        return self.part + self.parts > PARTS - ROOM

    @property
    def room_before(self) -> int:
        """Say how many parts the label needs before the bar."""
        return ROOM if self.is_left and self.is_beside else 1

    @property
    def room_after(self) -> int:
        """Say how many parts the label needs behind the bar."""
        return ROOM if not self.is_left and self.is_beside else 1


@dataclass(frozen=True, slots=True)
class Final:
    """A step of the final lane placed on the axis; `height` is its share of the lane in percent."""

    step: Step
    part: int
    parts: int
    height: int

    @property
    def top(self) -> int:
        """Say where the step's upper edge lies, in percent from above."""
        return 100 - self.height

    @property
    def is_low(self) -> bool:
        """Tell whether the label stands above the step instead of in it."""
        return self.height < 56

    @property
    def tenth(self) -> int:
        """Give the height in tenths, rounded up, to stand a label on."""
        return -(-self.height // 10)

    @property
    def short(self) -> str:
        """Write the power without a unit, for a narrow step."""
        return words.power_parts(self.step.kw)[0]

    @property
    def long(self) -> str:
        """Write the power with its unit, and "max" before a maximum."""
        return f"max {words.power(self.step.kw)}" if self.step.is_max else words.power(self.step.kw)


@dataclass(frozen=True, slots=True)
class Aside:
    """Pre-conditioning or recovery placed on the axis, beside the steps of the final lane."""

    part: int
    parts: int
    name: str
    words: str
    utc: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """An owner's devices: how many there are, how many answer, what they are rated at."""

    devices: int = 0
    online: int = 0
    rated_kw: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class GroupLanes:
    """One owner: its name, its bars in lanes, its final lane."""

    name: str
    zone: str
    href: str
    fleet: Fleet
    lanes: tuple[tuple[Bar, ...], ...]
    bars: tuple[Bar, ...]
    final: tuple[Final, ...]
    asides: tuple[Aside, ...]


@dataclass(frozen=True, slots=True)
class Lanes:
    """The whole picture: axis and groups."""

    axis: Axis
    ticks: tuple[Tick, ...]
    midnights: tuple[int, ...]
    now: int | None
    groups: tuple[GroupLanes, ...]


def build_lanes(
    *,
    requests: Iterable[Request],
    rows: tuple[FinalRow, ...],
    axis: Axis,
    every: timedelta,
    now: datetime,
    fleets: Mapping[str, Fleet],
    around: tuple[Around, ...] = (),
    is_apart: bool = True,
) -> Lanes:
    """Place requests and segments on an axis, one group per owner, in order of their first request.

    `is_apart` False: one group of all, with one final lane.
    """
    by_owner: dict[str, list[Request]] = {}
    for request in requests:
        by_owner.setdefault(request.owner.key if is_apart else "", []).append(request)
    groups = [
        _group(asked, rows=rows, around=around, axis=axis, fleet=fleets.get(key, Fleet()), now=now)
        for key, asked in by_owner.items()
    ]
    return Lanes(
        axis=axis,
        ticks=axis.ticks(every=every),
        midnights=axis.midnights(),
        now=axis.now(now),
        groups=tuple(groups),
    )


def _group(
    asked: list[Request],
    *,
    rows: tuple[FinalRow, ...],
    around: tuple[Around, ...],
    axis: Axis,
    fleet: Fleet,
    now: datetime,
) -> GroupLanes:
    owner = asked[0].owner
    bars = tuple(_bar(request, axis=axis, now=now) for request in asked)
    ids = {leap_id for request in asked for leap_id in request.leap_event_ids}
    steps = steps_for(rows, leap_event_ids=ids)
    kind, _, key = owner.key.partition(":")
    return GroupLanes(
        name=owner.name,
        zone=owner.zone,
        href=f"/groups/{key}/" if kind == "group" else "",
        fleet=fleet,
        lanes=pack(bars),
        bars=bars,
        final=place_final(steps, axis=axis, rated_kw=fleet.rated_kw),
        asides=place_asides(spans_for(around, leap_event_ids=ids), axis=axis),
    )


def _bar(request: Request, *, axis: Axis, now: datetime) -> Bar:
    part, parts = axis.place(request.start, request.end)
    return Bar(
        request=request,
        part=part,
        parts=parts,
        window=words.window(request.start, request.end, zone=axis.zone),
        utc=words.window_utc(request.start, request.end, zone=axis.zone),
        times=words.times(request.start, request.end, zone=axis.zone),
        brief=words.window_brief(request.start, request.end, now=now, zone=axis.zone),
    )


def place_final(steps: Iterable[Step], *, axis: Axis, rated_kw: Decimal) -> tuple[Final, ...]:
    """Place steps; a step's height is its share of rated power, never too low to see."""
    inside = [step for step in steps if step.start < axis.end and step.end > axis.start]
    full = max([rated_kw, *(step.kw for step in inside)], default=Decimal(0)) or Decimal(1)
    placed = []
    for step in inside:
        part, parts = axis.place(step.start, step.end)
        height = max(round(step.kw / full * 100), 20)
        placed.append(Final(step=step, part=part, parts=parts, height=height))
    return tuple(placed)


def place_asides(spans: Iterable[Around], *, axis: Axis) -> tuple[Aside, ...]:
    """Place what is before and after runs, as far as the axis shows it."""
    placed = []
    for span in spans:
        if span.start >= axis.end or span.end <= axis.start:
            continue
        part, parts = axis.place(span.start, span.end)
        name = "Pre-conditioning" if span.is_before else "Recovery"
        window = words.window(span.start, span.end, zone=axis.zone)
        utc = words.window_utc(span.start, span.end, zone=axis.zone)
        placed.append(Aside(part=part, parts=parts, name=name, words=f"{name}, {window}", utc=utc))
    return tuple(placed)


def pack(bars: Iterable[Bar]) -> tuple[tuple[Bar, ...], ...]:
    """Put each bar in the first lane with room for it and its label."""
    lanes: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda each: (each.part, each.request.rank)):
        for lane in lanes:
            before = lane[-1]
            if before.part + before.parts + max(before.room_after, bar.room_before) <= bar.part:
                lane.append(bar)
                break
        else:
            lanes.append([bar])
    return tuple(tuple(lane) for lane in lanes)
