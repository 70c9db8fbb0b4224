"""What a replay comes to: energy, runs, commitments and reasons, of two replays of the same past.

Energy is planned power times time, a maximum at the rated power: a plan's, not a meter's. In whole watts and
microseconds, so that sums are exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from heapq import nlargest
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from devices.domain.schedule import Mode, Segment
from dispatch.domain import sentences
from dispatch.domain.events import Event, Window, asked_watts, to_watts
from dispatch.domain.plans import UnservedSlice
from dispatch.domain.programs import label_of
from dispatch.domain.replaying import Past, Track, Tracks
from dispatch.domain.windows import micros

MOST_CHANGED: Final = 10
_HOUR: Final = micros(timedelta(hours=1))


class Fate(StrEnum):
    """What became of one event on one device: as a whole, or not."""

    KEPT = "KEPT"
    BROKEN = "BROKEN"
    SERVED = "SERVED"
    SKIPPED = "SKIPPED"


@dataclass(slots=True)
class Tally:
    """Sums: energy in watt-microseconds, running in device-microseconds, runs, fates of events on devices."""

    energy: int = 0
    running: int = 0
    runs: int = 0
    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))

    @property
    def kwh(self) -> Decimal:
        """The energy in kWh, to a tenth."""
        return kwh_of(self.energy)

    @property
    def hours(self) -> Decimal:
        """The device-hours of running, to a tenth."""
        return hours_of(self.running)


@dataclass(slots=True)
class Pair:
    """The same sums of the replay to compare with, and of the one in question."""

    before: Tally = field(default_factory=Tally)
    after: Tally = field(default_factory=Tally)

    def __iter__(self) -> Iterator[Tally]:
        """Return both, in this order."""
        return iter((self.before, self.after))


@dataclass(slots=True)
class Reasons:
    """For how long each reason left something undone: device-microseconds in both replays."""

    lasted: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def strongest(self) -> tuple[str, bool]:
        """Return the reason that tells the replays apart most, and whether it is the second one's.

        Empty where none does.
        """
        told = [(abs(after - before), reason) for reason, (before, after) in self.lasted.items()]
        length, reason = max(told, key=lambda each: (each[0], each[1]), default=(0, ""))
        if not length:
            return "", False
        before, after = self.lasted[reason]
        return reason, after > before


@dataclass(slots=True)
class DeviceChange:
    """One of the devices that the replays tell apart most."""

    device_id: int
    pair: Pair
    reasons: Reasons


@dataclass(slots=True)
class Comparison:
    """Two replays side by side, for the devices in question; `others` are those that shared their events.

    `programs` by what people call them: an overlap counts for each, as the same kilowatts serve all.
    `asked`: watt-microseconds by event. `unnumbered`: events that ask for the maximum. `too_late`: over
    before they were first heard of.
    """

    totals: Pair = field(default_factory=Pair)
    others: Pair = field(default_factory=Pair)
    days: dict[date, Pair] = field(default_factory=lambda: defaultdict(Pair))
    programs: dict[str, Pair] = field(default_factory=lambda: defaultdict(Pair))
    events: dict[int, Pair] = field(default_factory=lambda: defaultdict(Pair))
    devices: list[DeviceChange] = field(default_factory=list)
    reasons: Reasons = field(default_factory=Reasons)
    day_reasons: dict[date, Reasons] = field(default_factory=lambda: defaultdict(Reasons))
    event_reasons: dict[int, Reasons] = field(default_factory=lambda: defaultdict(Reasons))
    final: dict[int, Event] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    asked_on: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    unnumbered: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Share:
    """What one device of a track adds to sums; `at_maximum` in microseconds, to be weighed by its power."""

    watts_done: int = 0
    at_maximum: int = 0
    running: int = 0
    runs: int = 0
    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))


@dataclass(slots=True)
class _Account:
    """Everything that one device of a track did and left undone, by day, program and event."""

    total: _Share = field(default_factory=_Share)
    days: defaultdict[date, _Share] = field(default_factory=lambda: defaultdict(_Share))
    programs: defaultdict[str, _Share] = field(default_factory=lambda: defaultdict(_Share))
    events: defaultdict[int, _Share] = field(default_factory=lambda: defaultdict(_Share))
    undone: defaultdict[tuple[int, date, str], int] = field(default_factory=lambda: defaultdict(int))


def compare(
    before: Tracks, after: Tracks, *, past: Past, device_ids: Collection[int], zones: Mapping[int, str]
) -> Comparison:
    """Put two finished replays side by side for the given devices, by the local days of their sites."""
    found = Comparison(final=final_events(past))
    _ask(found, past, zones=zones)
    nothing = Track(past.window.start)
    groups: defaultdict[tuple[Track, Track, str, bool], list[int]] = defaultdict(list)
    for device_id in sorted(before.keys() | after.keys()):
        tracks = before.get(device_id, nothing), after.get(device_id, nothing)
        groups[(*tracks, zones.get(device_id, "UTC"), device_id in device_ids)].append(device_id)
    named = _by_name(found.final.values())
    accounts: dict[tuple[Track, str], _Account] = {}
    changes: list[DeviceChange] = []
    for (*pair, zone, is_meant), members in groups.items():
        for track in pair:
            if (track, zone) not in accounts:
                accounts[track, zone] = _account(track, zone=zone, final=found.final, named=named)
        mine = [accounts[track, zone] for track in pair]
        rated = {device_id: past.fleet.devices[device_id].rated_watts for device_id in members}
        _add_group(found, mine, devices=len(members), rated=sum(rated.values()), is_meant=is_meant)
        if is_meant and pair[0] is not pair[1]:
            changes += _changes(mine, rated)
    found.devices = nlargest(MOST_CHANGED, changes, key=_extent)
    return found


def final_events(past: Past) -> dict[int, Event]:
    """Return what was last known of each event of the past's window."""
    final = {}
    for heard in past.heard:
        if heard.at < past.window.end:
            final[heard.event.event_id] = heard.event
    return {
        key: event
        for key, event in final.items()
        if event.window.start < past.window.end and event.window.end > past.window.start
    }


def kwh_of(energy: int) -> Decimal:
    """Return kWh, to a tenth, of watt-microseconds.

    >>> kwh_of(8_000 * 3_600_000_000)
    Decimal('8.0')
    """
    return (Decimal(energy) / _HOUR / 1000).quantize(Decimal("0.1"))


def hours_of(running: int) -> Decimal:
    """Return hours, to a tenth, of microseconds."""
    return (Decimal(running) / _HOUR).quantize(Decimal("0.1"))


def _ask(found: Comparison, past: Past, *, zones: Mapping[int, str]) -> None:
    """Sum what events asked with a number: as it was known at each time, within the window."""
    heard: defaultdict[int, list[tuple[datetime, Event]]] = defaultdict(list)
    for each in past.heard:
        heard[each.event.event_id].append((each.at, each.event))
    for event_id in found.final:
        found.asked[event_id] = 0
        turns = [*heard[event_id], (past.window.end, found.final[event_id])]
        for (since, event), (until, _) in pairwise(turns):
            watts = asked_watts(event)
            window = _inside(event.window, _inside(Window(since, until), past.window))
            if event.is_cancelled or window.start >= window.end:
                continue
            if watts is None:
                found.unnumbered.add(event_id)
                continue
            for day, length in _by_day(window, zone=_zone_of(event, past, zones)):
                found.asked[event_id] += watts * length
                found.asked_on[day] += watts * length


def _zone_of(event: Event, past: Past, zones: Mapping[int, str]) -> str:
    """Return on whose clock an event's days are counted: that of the first of its devices."""
    return zones.get(min(past.behind[event.recipients], default=0), "UTC")


def _by_name(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return events by Leap's id: one of each level may share it."""
    named: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        named[event.leap_event_id].append(event)
    return dict(named)


def _account(
    track: Track, *, zone: str, final: Mapping[int, Event], named: Mapping[str, list[Event]]
) -> _Account:
    """Sum what a track did and left undone."""
    account = _Account()
    served: set[int] = set()
    end = None
    for segment in track.done:
        if segment.mode is Mode.IDLE:
            continue
        events = [event for name in segment.leap_event_ids for event in named.get(name, ())]
        _add_run(account, segment, events, zone=zone, is_new=segment.start != end)
        served.update(event.event_id for event in events)
        end = segment.end
    undone = [each for each in track.undone if _counts(each) and each.event_id in final]
    for each in undone:
        for day, length in _by_day(each.window, zone=zone):
            account.undone[each.event_id, day, each.reason] += length
    missed = {each.event_id for each in undone}
    for event_id in sorted(served | missed):
        _add_fate(account, final[event_id], zone=zone, is_whole=event_id not in missed)
    return account


def _counts(undone: UnservedSlice) -> bool:
    """Say whether something was left undone: not where a twin is served instead, or nothing is asked."""
    return not undone.is_shaded and undone.reason != sentences.no_share()


def _add_run(
    account: _Account, segment: Segment, events: Iterable[Event], *, zone: str, is_new: bool
) -> None:
    labels = {_label(event) for event in events}
    for number, (day, length) in enumerate(_by_day(Window(segment.start, segment.end), zone=zone)):
        shares = [account.total, account.days[day], *(account.programs[label] for label in labels)]
        for share in shares:
            share.running += length
            share.runs += is_new and number == 0
            if segment.target_kw is None:
                share.at_maximum += length
            else:
                share.watts_done += to_watts(segment.target_kw) * length


def _add_fate(account: _Account, event: Event, *, zone: str, is_whole: bool) -> None:
    """Count an event as a whole or not; one that was called off is neither."""
    if event.is_cancelled:
        return
    if event.is_voluntary:
        fate = Fate.SERVED if is_whole else Fate.SKIPPED
    else:
        fate = Fate.KEPT if is_whole else Fate.BROKEN
    day = event.window.start.astimezone(ZoneInfo(zone)).date()
    shares = (
        account.total,
        account.days[day],
        account.programs[_label(event)],
        account.events[event.event_id],
    )
    for share in shares:
        share.fates[fate] += 1


def _add_group(
    found: Comparison, accounts: list[_Account], *, devices: int, rated: int, is_meant: bool
) -> None:
    """Add what equal devices did, in both replays."""
    for side, account in enumerate(accounts):
        pairs = [(found.totals if is_meant else found.others, account.total)]
        if is_meant:
            pairs += [(found.days[day], share) for day, share in account.days.items()]
            pairs += [(found.programs[label], share) for label, share in account.programs.items()]
            pairs += [(found.events[event_id], share) for event_id, share in account.events.items()]
            for (event_id, day, reason), length in account.undone.items():
                for reasons in (found.reasons, found.day_reasons[day], found.event_reasons[event_id]):
                    reasons.lasted[reason][side] += length * devices
        for pair, share in pairs:
            _add(tuple(pair)[side], share, devices=devices, rated=rated)


def _add(tally: Tally, share: _Share, *, devices: int, rated: int) -> None:
    tally.energy += share.watts_done * devices + share.at_maximum * rated
    tally.running += share.running * devices
    tally.runs += share.runs * devices
    for fate, count in share.fates.items():
        tally.fates[fate] += count * devices


def _changes(accounts: list[_Account], rated: Mapping[int, int]) -> list[DeviceChange]:
    """Return the change of each of some devices that fare alike."""
    reasons = Reasons()
    for side, account in enumerate(accounts):
        for (_, _, reason), length in account.undone.items():
            reasons.lasted[reason][side] += length
    changes = []
    for device_id, watts in rated.items():
        pair = Pair()
        for tally, account in zip(pair, accounts, strict=True):
            _add(tally, account.total, devices=1, rated=watts)
        changes.append(DeviceChange(device_id, pair, reasons))
    return [each for each in changes if any(_extent(each)[:3])]


def _extent(change: DeviceChange) -> tuple[int, int, int, int]:
    """Return how much a device changed, comparable; of equal ones the first by id is the larger."""
    before, after = change.pair
    broken = abs(after.fates[Fate.BROKEN] - before.fates[Fate.BROKEN])
    return abs(after.energy - before.energy), broken, abs(after.running - before.running), -change.device_id


def _by_day(window: Window, *, zone: str) -> list[tuple[date, int]]:
    """Cut a window at local midnights: each day with its microseconds."""
    clock = ZoneInfo(zone)
    found = []
    start = window.start
    while start < window.end:
        day = start.astimezone(clock).date()
        end = min(
            datetime.combine(day + timedelta(days=1), time(), clock).astimezone(start.tzinfo), window.end
        )
        found.append((day, micros(end - start)))
        start = end
    return found


def _inside(window: Window, whole: Window) -> Window:
    """Return what of a window lies in another; it ends before it begins where nothing does."""
    return Window(max(window.start, whole.start), min(window.end, whole.end))


def _label(event: Event) -> str:
    return label_of(event.programs) or "No program"
