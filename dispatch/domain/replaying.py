"""Past days once more, under other terms: what devices would have done, and left undone, and why.

Revisions are taken in the order of their receipt. At every moment of receipt the devices reached are planned
under what was known then, as planning does it; what ran until then stays as it was, and counts for what may
run later. So two replays of the same days differ by their terms alone.

Devices with the same past and the same plan share one track: the cost follows the number of moments times the
devices reached, and the number of distinct pasts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, TypeVar

from devices.domain.schedule import Mode, Segment
from dispatch.domain import sentences
from dispatch.domain.events import Event, Window, to_watts
from dispatch.domain.fleet import LOOK_BACK, Fleet, plan_fleet
from dispatch.domain.overruling import Ruling
from dispatch.domain.plans import DevicePlan, UnservedSlice
from dispatch.domain.terms import Delivery, Terms

TOGETHER: Final = timedelta(minutes=1)
"""What is received within it is planned at once."""
COUNTS_FOR: Final = timedelta(days=2, hours=1)
"""How long a run bears on what may run: a local day and the one before."""
TOLD_AHEAD: Final = timedelta(days=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    """One revision: from `at` on, until the next one of the event, this is what is known of it."""

    at: datetime
    event: Event


@dataclass(frozen=True, slots=True)
class Spoken:
    """A ruling, and in which time it was known so: one that is ended early is known in two forms."""

    known: Window
    ruling: Ruling


@dataclass(frozen=True)
class Past:
    """What happened in a window, and what stands beside it.

    `heard` in order of receipt. `fleet` has what does not change: recipients, meters, devices and levels.
    """

    window: Window
    heard: Sequence[Heard]
    fleet: Fleet
    spoken: Mapping[int, tuple[Spoken, ...]] = field(default_factory=dict)

    @cached_property
    def behind(self) -> dict[int, frozenset[int]]:
        """The devices behind each set of recipients."""
        meters = self.fleet.meters
        return {
            recipients: frozenset(
                device_id
                for meter_id in meter_ids
                if meter_id in meters
                for device_id in meters[meter_id].device_ids
            )
            for recipients, meter_ids in self.fleet.recipients.items()
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is planned anew: for events that are told otherwise, and devices that are overruled."""

    at: datetime
    event_ids: frozenset[int]
    device_ids: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What a device did and left undone until `since`, and from then on its plan. Many devices share one."""

    since: datetime
    done: tuple[Segment, ...] = ()
    undone: tuple[UnservedSlice, ...] = ()
    plan: tuple[Segment, ...] = ()
    unserved: tuple[UnservedSlice, ...] = ()

    def settled(self, *, at: datetime) -> Track:
        """Return the track with its plan carried out until a time, and none from then on."""
        return Track(
            since=at,
            done=_joined(self.done, [_cut(each, self.since, at) for each in self.plan]),
            undone=_joined_undone(self.undone, [_cut_undone(each, self.since, at) for each in self.unserved]),
        )


Tracks = dict[int, Track]
"""By device; one that was never reached has none."""


def moments(past: Past) -> list[Moment]:
    """Return when the past's devices are planned, first at the beginning of its window.

    What is received within a minute is planned together, at the last receipt of that minute.
    """
    window = past.window
    events: defaultdict[datetime, set[int]] = defaultdict(set)
    devices: defaultdict[datetime, set[int]] = defaultdict(set)
    for heard in past.heard:
        if heard.at < window.end:
            events[max(heard.at, window.start)].add(heard.event.event_id)
    for device_id, spoken in past.spoken.items():
        for each in spoken:
            if each.known.start < window.end and each.known.end > window.start:
                devices[max(each.known.start, window.start)].add(device_id)
    found = []
    for group in _grouped(sorted({*events, *devices})):
        event_ids = frozenset().union(*(events.get(at, ()) for at in group))
        device_ids = frozenset().union(*(devices.get(at, ()) for at in group))
        found.append(Moment(group[-1], event_ids, device_ids))
    return found


class Known:
    """What is known of a past's events, moment by moment."""

    def __init__(self, past: Past) -> None:
        """Begin before the first revision."""
        self._past = past
        self._place = 0
        self._latest: dict[int, Event] = {}
        self._named: defaultdict[int, set[int]] = defaultdict(set)

    def hear(self, *, until: datetime) -> None:
        """Take in what is received until a time, that included."""
        heard = self._past.heard
        while self._place < len(heard) and heard[self._place].at <= until:
            event = heard[self._place].event
            self._latest[event.event_id] = event
            self._named[event.event_id].add(event.recipients)
            self._place += 1
        since = until - LOOK_BACK
        self._latest = {key: event for key, event in self._latest.items() if event.window.end > since}

    def live(self) -> list[Event]:
        """Return the events that ask for something, or did within a day, in order of id."""
        events = (self._latest[key] for key in sorted(self._latest))
        return [event for event in events if not event.is_cancelled]

    def named(self, event_ids: Iterable[int]) -> set[int]:
        """Return the sets of recipients that the events ever had."""
        return set().union(*(self._named[event_id] for event_id in event_ids))


def advance(
    tracks: Sequence[Tracks],
    *,
    past: Past,
    known: Known,
    terms: Sequence[Mapping[int, Terms]],
    moment: Moment,
) -> None:
    """Plan what a moment reaches, in each of several replays of the same past, and note it in their tracks.

    `terms` are without what ran: that is the replay's own. Replays that do not differ so far are planned
    once. Moments are to come in order.
    """
    known.hear(until=moment.at)
    live = known.live()
    reached = _reached(past, known, live, moment=moment)
    events = [event for event in live if not past.behind[event.recipients].isdisjoint(reached)]
    beside = reached.union(*(past.behind[event.recipients] for event in events))
    done: list[tuple[int, Tracks]] = []
    for number, (mine, under) in enumerate(zip(tracks, terms, strict=True)):
        alike = [new for other, new in done if _is_alike(beside, tracks, terms, number, other)]
        new = alike[0] if alike else _planned(mine, reached, events, past=past, terms=under, at=moment.at)
        done.append((number, new))
    for (_, new), mine in zip(done, tracks, strict=True):
        mine.update(new)


def finish(tracks: Tracks, *, at: datetime) -> Tracks:
    """Return the tracks settled at the end; devices that shared one still do."""
    settled: dict[int, Track] = {}
    for track in tracks.values():
        if id(track) not in settled:
            settled[id(track)] = track.settled(at=at)
    return {device_id: settled[id(track)] for device_id, track in tracks.items()}


def as_if_in_time(heard: Iterable[Heard]) -> list[Heard]:
    """Return revisions with those events that came only once they were over told a day ahead.

    So a policy may be tried on days before the portal was there, or on which it did not answer.
    """
    first: dict[int, Heard] = {}
    for each in heard:
        first.setdefault(each.event.event_id, each)
    turned = []
    for each in heard:
        begin = first[each.event.event_id]
        if is_too_late(begin):
            told_at = begin.event.window.start - TOLD_AHEAD
            event = replace(each.event, heard_at=told_at)
            turned.append(Heard(told_at if each is begin else each.at, event))
        else:
            turned.append(each)
    return sorted(turned, key=lambda each: each.at)


def is_too_late(first: Heard) -> bool:
    """Say whether an event was over when it was first heard of."""
    return first.at >= first.event.window.end


def _grouped(times: Sequence[datetime]) -> list[list[datetime]]:
    groups: list[list[datetime]] = []
    for at in times:
        if groups and at - groups[-1][0] < TOGETHER:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def _reached(past: Past, known: Known, live: Sequence[Event], *, moment: Moment) -> frozenset[int]:
    """Return the devices to plan: of changed events as they are and as they ever were, and those overruled.

    An overruled device changes how its events are shared, so all of their devices are planned.
    """
    sets = known.named(moment.event_ids)
    if moment.device_ids:
        sets |= {
            event.recipients
            for event in live
            if not past.behind[event.recipients].isdisjoint(moment.device_ids)
        }
    return moment.device_ids.union(*(past.behind[each] for each in sets))


def _is_alike(
    device_ids: Iterable[int],
    tracks: Sequence[Tracks],
    terms: Sequence[Mapping[int, Terms]],
    one: int,
    other: int,
) -> bool:
    """Say whether two replays have not differed for the devices so far, and do not from here on."""
    return all(
        tracks[one].get(each) is tracks[other].get(each) and terms[one].get(each) == terms[other].get(each)
        for each in device_ids
    )


def _planned(
    tracks: Tracks,
    reached: frozenset[int],
    events: Sequence[Event],
    *,
    past: Past,
    terms: Mapping[int, Terms],
    at: datetime,
) -> Tracks:
    """Settle what ran, plan the devices from here on, and return their tracks."""
    begun = Track(past.window.start)
    settled = _each_once(lambda track: track.settled(at=at))
    did = _each_once(lambda track: _delivered(settled(track), at=at))
    before = {device_id: tracks.get(device_id, begun) for device_id in reached}
    under = {
        device_id: _after(terms[device_id], did(tracks.get(device_id, begun)))
        for device_id in reached.union(*(past.behind[event.recipients] for event in events))
        if device_id in terms
    }
    fleet = replace(past.fleet, events=events, rulings=_rulings(past, at=at), terms=under)
    plans = plan_fleet(fleet, device_ids=sorted(reached), now=at).plans
    committed = {event.event_id for event in events if not event.is_voluntary}
    new: dict[tuple[int, int], Track] = {}
    for device_id, plan in plans.items():
        key = (id(before[device_id]), id(plan))
        if key not in new:
            unserved = (*plan.unserved, *_lessened(plan, committed))
            new[key] = replace(settled(before[device_id]), plan=plan.segments, unserved=unserved)
    return {device_id: new[id(before[device_id]), id(plan)] for device_id, plan in plans.items()}


def _lessened(plan: DevicePlan, committed: Collection[int]) -> Iterable[UnservedSlice]:
    """Return where commitments get less than they ask: that breaks them as if they got nothing."""
    for each in plan.reduced:
        if each.event_id in committed:
            reason = sentences.given_less(each.watts, asked=each.asked_watts)
            yield UnservedSlice(each.event_id, each.window, reason)


def _each_once(find: Callable[[Track], T]) -> Callable[[Track], T]:
    """Return `find` so that it is asked once for each track."""
    found: dict[int, T] = {}

    def ask(track: Track) -> T:
        if id(track) not in found:
            found[id(track)] = find(track)
        return found[id(track)]

    return ask


def _rulings(past: Past, *, at: datetime) -> dict[int, tuple[Ruling, ...]]:
    """Return the rulings as they are known at a time; devices that share what is spoken share these."""
    known: dict[int, tuple[Ruling, ...]] = {}
    for spoken in past.spoken.values():
        if id(spoken) not in known:
            known[id(spoken)] = tuple(
                each.ruling for each in spoken if each.known.start <= at < each.known.end
            )
    return {device_id: known[id(spoken)] for device_id, spoken in past.spoken.items() if known[id(spoken)]}


def _delivered(track: Track, *, at: datetime) -> tuple[Delivery, ...]:
    """Return what a settled track delivered, as far back as it counts."""
    return tuple(
        Delivery(Window(each.start, each.end), None if each.target_kw is None else to_watts(each.target_kw))
        for each in track.done
        if each.mode is not Mode.IDLE and each.end > at - COUNTS_FOR
    )


def _after(terms: Terms, did: tuple[Delivery, ...]) -> Terms:
    """Return the terms of a device that did so far what its replay says."""
    ran: list[Window] = []
    for window in (each.window for each in did):
        if ran and ran[-1].end == window.start:
            ran[-1] = Window(ran[-1].start, window.end)
        else:
            ran.append(window)
    battery = replace(terms.battery, delivered=did) if terms.battery else None
    return replace(terms, ran=tuple(ran), battery=battery)


def _cut(segment: Segment, start: datetime, end: datetime) -> Segment:
    return replace(segment, start=max(segment.start, start), end=min(segment.end, end))


def _cut_undone(slice_: UnservedSlice, start: datetime, end: datetime) -> UnservedSlice:
    return replace(slice_, window=Window(max(slice_.window.start, start), min(slice_.window.end, end)))


def _joined(done: tuple[Segment, ...], more: Iterable[Segment]) -> tuple[Segment, ...]:
    """Add what was done; a run that was planned again and goes on as it was is one segment."""
    joined = list(done)
    for each in more:
        if each.start >= each.end:
            continue
        latest = joined[-1] if joined else None
        if (
            latest
            and latest.end == each.start
            and replace(each, start=latest.start, end=latest.end) == latest
        ):
            joined[-1] = replace(each, start=latest.start)
        else:
            joined.append(each)
    return tuple(joined)


def _joined_undone(
    undone: tuple[UnservedSlice, ...], more: Iterable[UnservedSlice]
) -> tuple[UnservedSlice, ...]:
    return (*undone, *(each for each in more if each.window.start < each.window.end))
