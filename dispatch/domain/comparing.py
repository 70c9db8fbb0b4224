"""Two plans of the same devices side by side: what changes, for whom, and what every event gets.

Devices that fare alike under both plans are one case: the cost follows the number of distinct cases.
Power is in whole watts, energy in watt-seconds; a maximum counts as the devices' rated power.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from devices.domain.schedule import Mode, Segment
from dispatch.domain.events import Event, Window, is_live, to_watts
from dispatch.domain.fleet import Fleet, FleetPlan
from dispatch.domain.levels import Shade, lit
from dispatch.domain.plans import DevicePlan, Traits


@dataclass(frozen=True, slots=True)
class Case:
    """Devices that fare alike.

    `is_changed`: they do something else. `is_refusing`: they leave more undone.
    """

    before: DevicePlan
    after: DevicePlan
    device_ids: tuple[int, ...]
    is_changed: bool
    is_refusing: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window in which neither plan's power changes, in watts over all devices."""

    window: Window
    before: int
    after: int


class NotServed(NamedTuple):
    """Why an event is somewhere not served, and by how many devices."""

    reason: str
    devices: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What an event gets: the devices that serve it, their power at the fullest, their energy.

    `shortfall_watts` is None for a maximum.
    """

    devices: int = 0
    watts: int = 0
    watt_seconds: int = 0
    shortfall_watts: int | None = None
    refusals: tuple[NotServed, ...] = ()


@dataclass(frozen=True, slots=True)
class EventChange:
    """An event as it is and as it would be; None where it asks for nothing."""

    was: Event | None
    becomes: Event | None
    before: Fate
    after: Fate

    @property
    def event(self) -> Event:
        """The event as it would be, else as it was."""
        found = self.becomes or self.was
        if found is None:
            raise ValueError("A change is about an event.")
        return found

    @property
    def is_changed(self) -> bool:
        """Say whether the event, or what it gets, is another."""
        return (self.was, self.before) != (self.becomes, self.after)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Cases that change first; `gained` and `dropped` count the devices with a commitment more or less."""

    cases: tuple[Case, ...]
    stretches: tuple[Stretch, ...]
    events: tuple[EventChange, ...]
    gained: int
    dropped: int


def compare(before: FleetPlan, after: FleetPlan, *, was: Fleet, becomes: Fleet, now: datetime) -> Comparison:
    """Compare two plans of the same devices, made at `now`."""
    cases = _cases(before, after, devices=was.devices)
    old, new = _coming(was.events, now=now), _coming(becomes.events, now=now)
    had = _fates([(case.before, case.device_ids) for case in cases], before, events=old, devices=was.devices)
    gets = _fates([(case.after, case.device_ids) for case in cases], after, events=new, devices=was.devices)
    changes = [
        EventChange(old.get(pk), new.get(pk), had.get(pk, Fate()), gets.get(pk, Fate()))
        for pk in {**old, **new}
    ]
    committed = {pk: event for pk, event in new.items() if not event.is_voluntary}
    known, asked = _by_leap_id(old.values()), _by_leap_id(committed.values())
    turned = [(case, *_commitments(case, known=known, asked=asked)) for case in cases]
    return Comparison(
        cases=tuple(cases),
        stretches=_stretches(cases, devices=was.devices, now=now),
        events=tuple(sorted(changes, key=_place)),
        gained=sum(len(case.device_ids) for case, is_gained, _ in turned if is_gained),
        dropped=sum(len(case.device_ids) for case, _, is_dropped in turned if is_dropped),
    )


def watt_seconds(stretches: Iterable[tuple[Window, int]]) -> int:
    """Return the energy of powers over their windows."""
    return sum(watts * _seconds(window) for window, watts in stretches)


def _cases(before: FleetPlan, after: FleetPlan, *, devices: Mapping[int, Traits]) -> list[Case]:
    """Group devices that share both plans, those that change most first."""
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for device_id in sorted(after.plans):
        alike[id(before.plans[device_id]), id(after.plans[device_id])].append(device_id)
    cases = []
    for device_ids in alike.values():
        old, new = before.plans[device_ids[0]], after.plans[device_ids[0]]
        cases.append(
            Case(
                before=old,
                after=new,
                device_ids=tuple(device_ids),
                is_changed=_doing(old) != _doing(new),
                is_refusing=_is_more(_undone(new), _undone(old)),
            )
        )
    return sorted(cases, key=lambda case: _turn(case, devices=devices))


def _turn(case: Case, *, devices: Mapping[int, Traits]) -> tuple[bool, bool, int, int]:
    """Order cases: changed ones by their energy, then refusing ones, then by device."""
    rated = devices[case.device_ids[0]].rated_watts
    energy = [
        watt_seconds(
            (Window(each.start, each.end), watts_of(each, rated=rated))
            for each in plan.segments
            if each.mode is not Mode.IDLE
        )
        for plan in (case.before, case.after)
    ]
    return not case.is_changed, not case.is_refusing, -abs(energy[0] - energy[1]), case.device_ids[0]


def watts_of(segment: Segment, *, rated: int) -> int:
    """Return a segment's power; a maximum is the rated power."""
    return rated if segment.target_kw is None else to_watts(segment.target_kw)


def _doing(plan: DevicePlan) -> list[tuple[Any, ...]]:
    """Return what a device does and for whom, without the words for it."""
    return [
        (each.start, each.end, each.mode, each.target_kw, each.cap, each.is_commitment, each.leap_event_ids)
        for each in plan.segments
    ]


def _undone(plan: DevicePlan) -> Counter[int]:
    """Return for how many seconds a device leaves events undone, by event; what a twin does is not undone."""
    undone: Counter[int] = Counter()
    for each in plan.unserved:
        if not each.is_shaded:
            undone[each.event_id] += _seconds(each.window)
    return undone


def _is_more(seconds: Mapping[int, int], than: Mapping[int, int]) -> bool:
    return any(count > than.get(pk, 0) for pk, count in seconds.items())


def _by_leap_id(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.leap_event_id, []).append(event)
    return found


def _called(plan: DevicePlan, by_leap_id: Mapping[str, list[Event]]) -> list[Event]:
    """Return the events that a plan's segments name."""
    ids = dict.fromkeys(leap_id for each in plan.segments for leap_id in each.leap_event_ids)
    return [event for leap_id in ids for event in by_leap_id.get(leap_id, ())]


def _coming(events: Iterable[Event], *, now: datetime) -> dict[int, Event]:
    return {event.event_id: event for event in events if is_live(event, now=now)}


def _fates(
    shared: Sequence[tuple[DevicePlan, tuple[int, ...]]],
    plan: FleetPlan,
    *,
    events: Mapping[int, Event],
    devices: Mapping[int, Traits],
) -> dict[int, Fate]:
    """Return what every event gets from devices that share plans."""
    turns: defaultdict[int, Counter[datetime]] = defaultdict(Counter)
    serving: Counter[int] = Counter()
    refusing: defaultdict[int, Counter[str]] = defaultdict(Counter)
    by_leap_id = _by_leap_id(events.values())
    for mine, device_ids in shared:
        gaps, served = _gaps(mine), set()
        for segment, event in _served(mine, by_leap_id):
            watts = _together(segment, device_ids=device_ids, devices=devices)
            for window in _lit(segment, event, gaps.get(event.event_id, ())):
                served.add(event.event_id)
                turns[event.event_id][window.start] += watts
                turns[event.event_id][window.end] -= watts
        serving.update(dict.fromkeys(served, len(device_ids)))
        for event_id, reason in {(each.event_id, each.reason) for each in mine.unserved}:
            refusing[event_id][reason] += len(device_ids)
    return {
        pk: Fate(
            devices=serving[pk],
            watts=max(_levels(turns[pk]).values(), default=0),
            watt_seconds=_energy(turns[pk]),
            shortfall_watts=plan.numbers[pk].shortfall_watts if pk in plan.numbers else None,
            refusals=tuple(NotServed(*each) for each in sorted(refusing[pk].items(), key=_commonest)),
        )
        for pk in events
    }


def _served(plan: DevicePlan, by_leap_id: Mapping[str, Sequence[Event]]) -> Iterable[tuple[Segment, Event]]:
    """Return every segment in which a device moves with every event it names."""
    for segment in plan.segments:
        if segment.mode is not Mode.IDLE:
            for leap_id in segment.leap_event_ids:
                for event in by_leap_id.get(leap_id, ()):
                    yield segment, event


def _gaps(plan: DevicePlan) -> dict[int, list[Window]]:
    """Return what a device leaves undone, by event, in order."""
    gaps: dict[int, list[Window]] = {}
    for each in sorted(plan.unserved, key=lambda gap: gap.window.start):
        gaps.setdefault(each.event_id, []).append(each.window)
    return gaps


def _lit(segment: Segment, event: Event, gaps: Sequence[Window]) -> list[Window]:
    """Return where a segment serves an event: within both, but for the gaps.

    A segment is merged of slices in which the device does the same, not all of them for the same events.
    """
    whole = _meet(Window(segment.start, segment.end), event.window)
    if whole is None:
        return []
    return lit(whole, [Shade(gap, "") for each in gaps if (gap := _meet(whole, each))]) if gaps else [whole]


def _together(segment: Segment, *, device_ids: Collection[int], devices: Mapping[int, Traits]) -> int:
    """Return the watts of devices that run the same segment."""
    if segment.target_kw is None:
        return sum(devices[device_id].rated_watts for device_id in device_ids)
    return to_watts(segment.target_kw) * len(device_ids)


def _commonest(refusal: tuple[str, int]) -> tuple[int, str]:
    reason, devices = refusal
    return -devices, reason


def _levels(turns: Counter[datetime]) -> dict[datetime, int]:
    """Return the power from each turn on."""
    moments = sorted(turns)
    return dict(zip(moments, accumulate(turns[at] for at in moments), strict=True))


def _energy(turns: Counter[datetime]) -> int:
    """Return the watt-seconds under the turns."""
    levels = _levels(turns)
    return watt_seconds((Window(start, end), levels[start]) for start, end in pairwise(levels))


def _stretches(cases: Iterable[Case], *, devices: Mapping[int, Traits], now: datetime) -> tuple[Stretch, ...]:
    """Sum both plans over the time to come; equal neighbours merged, left out where both are still."""
    sums: tuple[Counter[datetime], Counter[datetime]] = (Counter(), Counter())
    for case in cases:
        for turns, plan in zip(sums, (case.before, case.after), strict=True):
            for each in plan.segments:
                if each.mode is not Mode.IDLE and each.end > now:
                    watts = _together(each, device_ids=case.device_ids, devices=devices)
                    turns[max(each.start, now)] += watts
                    turns[each.end] -= watts
    found: list[Stretch] = []
    before = after = 0
    for start, end in pairwise(sorted({*sums[0], *sums[1]})):
        before, after = before + sums[0][start], after + sums[1][start]
        latest = found[-1] if found else None
        if latest and latest.window.end == start and (latest.before, latest.after) == (before, after):
            found[-1] = Stretch(Window(latest.window.start, end), before, after)
        elif before or after:
            found.append(Stretch(Window(start, end), before, after))
    return tuple(found)


def _commitments(
    case: Case, *, known: Mapping[str, list[Event]], asked: Mapping[str, list[Event]]
) -> tuple[bool, bool]:
    """Say whether devices serve a commitment they did not serve, and whether they drop one they did.

    A commitment that is taken back is not dropped: only what stays asked can be left undone.
    """
    had = {event.event_id for event in _called(case.before, known)}
    gets = {event.event_id for event in _called(case.after, asked)}
    stays = had.intersection(event.event_id for events in asked.values() for event in events)
    more = {pk: seconds for pk, seconds in _undone(case.after).items() if pk in stays}
    return bool(gets - had), _is_more(more, _undone(case.before))


def _place(change: EventChange) -> tuple[bool, datetime, int, str]:
    event = change.event
    return not change.is_changed, event.window.start, event.rank, event.leap_event_id


def _meet(one: Window, other: Window) -> Window | None:
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Window(start, end) if start < end else None


def _seconds(window: Window) -> int:
    return (window.end - window.start) // timedelta(seconds=1)
