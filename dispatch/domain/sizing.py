"""Rule 5: how much power storage gives in each slice, so that its energy goes where it is worth most.

A slice asks in steps: what commitments ask, then what voluntary events ask on top, then what is paid beyond
(by the compensation cap, where the policy wants it). Energy goes to steps in this order: a person's force,
commitments by rank, voluntary events by rank, beyond the award; of equal steps to the earlier. Each step gets
all that is left when nothing promised to a better one, at any later time, is touched. As energy only
accumulates up to a mark and is given from there, that is also the most energy for commitments, then for
voluntary events, and so on: no other division gives a class more without taking it from a better one.

Where energy does not last, a step stops at a whole minute, or has less power throughout its run, in whole
watts. Two passes over the slices for every class: linear.
Source: Leap, "Dispatch Event Processing", strategy C and "Event Power & Energy".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from dispatch.domain import sentences
from dispatch.domain.charging import Tank, in_span, micros, stored, tank_of
from dispatch.domain.envelope import Request
from dispatch.domain.events import (
    GRID_EXPORTS_ALLOWED,
    MAXIMUM,
    UP_TO_NOMINATION,
    UP_TO_SITE_LOAD,
    Window,
    to_watts,
)
from dispatch.domain.terms import Battery, Beyond, Delivery, Discharge, Storage, WhenShort

_MINUTE: Final = timedelta(minutes=1)
_DAWN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORCED: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slice in which the device would deliver, and its cap. `forced_watts`: the power a person sets."""

    window: Window
    cap: str
    requests: tuple[Request, ...]
    forced_watts: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a part of a slot: power, 0 for none; None is the maximum: to follow the site's load.

    `says`: what there is to say of it; of no power, the reason.
    """

    slot: int
    window: Window
    watts: int | None
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pack:
    """The storage to plan: its policy, energy and power. `may_export`: site and policy both allow it."""

    storage: Storage
    battery: Battery
    rated_watts: int
    may_export: bool
    zone: str

    @property
    def load_watts(self) -> int:
        """What following the site's load takes."""
        return min(self.storage.expected_load_watts or self.rated_watts, self.rated_watts)


class Step(NamedTuple):
    """Power up to `watts`, of a class: the lower `turn` has its energy first."""

    turn: tuple[int, int]
    watts: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What a slot asks in steps, each higher than the one before; `asked` is without what is beyond.

    `follows`: the power that is delivered by following the load, None where it does not.
    """

    steps: tuple[Step, ...]
    asked: int
    follows: int | None = None


@dataclass(slots=True)
class _Part:
    """The coming part of a slot, and what it gets: `base` watts, from `since` to `until` `high` ones.

    `energy` is what it takes; `why` it gets less than is asked, None where it does not. `quiet`: the
    microseconds of recharging before it.
    """

    slot: int
    window: Window
    ask: Ask
    floor: int
    quiet: int = 0
    base: int = 0
    high: int = 0
    since: datetime = field(init=False)
    until: datetime = field(init=False)
    energy: int = 0
    why: _Why | None = None

    def __post_init__(self) -> None:
        self.since = self.until = self.window.start


class _Why(NamedTuple):
    """Why energy ends: at a mark, or as it is kept for a later part."""

    kept_for: int | None


def size(slots: Sequence[Slot], *, pack: Pack, busy: Sequence[Window], now: datetime) -> list[Outcome]:
    """Return every part of every slot, in order. Slots are ordered and do not overlap.

    `busy`: all times in which events ask, these and others; it recharges in none of them. The past is what
    was delivered.
    """
    tank = tank_of(pack.battery, pack.storage)
    asks = [_ask(slot, pack=pack) for slot in slots]
    parts = _parts(slots, asks, tank=tank, busy=busy, now=now)
    level = stored(
        tank, pack.battery, pack.storage, busy=busy, maximum_watts=pack.load_watts, zone=pack.zone, now=now
    )
    _Division(parts, tank=tank, pack=pack, level=level, now=now).divide()
    return _Words(slots, asks, parts, pack=pack).outcomes(now=now)


def _ask(slot: Slot, *, pack: Pack) -> Ask:
    """Return the steps of a slot: power by request and cap, never above the rated power."""
    if slot.forced_watts is not None:
        return Ask((Step(_FORCED, slot.forced_watts),), slot.forced_watts)
    steps: list[Step] = []
    for request in sorted(slot.requests, key=_turn):
        _rise(steps, _turn(request), _watts(request, slot, pack=pack), pack=pack)
    asked = steps[-1].watts if steps else 0
    if pack.storage.beyond is Beyond.UP_TO_CAP:
        _rise(steps, _beyond_turn(slot), _cap_watts(slot, pack=pack), pack=pack)
    top = steps[-1].watts if steps else 0
    follows = _is_of_load(slot, pack=pack) and pack.storage.discharge is Discharge.FOLLOW_LOAD
    is_maximum = any(request.watts is MAXIMUM for request in slot.requests) or top > asked
    return Ask(tuple(steps), asked, pack.load_watts if follows and is_maximum else None)


def _rise(steps: list[Step], turn: tuple[int, int], watts: int, *, pack: Pack) -> None:
    """Add a step where it is higher than the last."""
    watts = min(watts, pack.rated_watts)
    if watts > (steps[-1].watts if steps else 0):
        steps.append(Step(turn, watts))


def _turn(request: Request) -> tuple[int, int]:
    return 2 if request.event.is_voluntary else 1, request.event.rank


def _beyond_turn(slot: Slot) -> tuple[int, int]:
    """Return when what is beyond the award has its turn: by the best event that pays it."""
    return min((4 if each.event.is_voluntary else 3, each.event.rank) for each in _paying(slot))


def _paying(slot: Slot) -> list[Request]:
    return [request for request in slot.requests if request.event.cap == slot.cap]


def _watts(request: Request, slot: Slot, *, pack: Pack) -> int:
    """Return what a request asks; the maximum is the site's load where no more is paid."""
    if request.watts is not MAXIMUM:
        return request.watts
    return pack.load_watts if _is_of_load(slot, pack=pack) else pack.rated_watts


def _is_of_load(slot: Slot, *, pack: Pack) -> bool:
    """Say whether the site's load is all that can be paid."""
    return slot.cap == UP_TO_SITE_LOAD or (slot.cap == GRID_EXPORTS_ALLOWED and not pack.may_export)


def _cap_watts(slot: Slot, *, pack: Pack) -> int:
    """Return up to which power the slot's cap pays; 0 where it says nothing of it.

    A device's part of a nomination is as large as its part of the event's power.
    """
    if _is_of_load(slot, pack=pack):
        is_known = pack.storage.discharge is Discharge.FOLLOW_LOAD or pack.storage.expected_load_watts
        return pack.load_watts if is_known else 0
    if slot.cap == GRID_EXPORTS_ALLOWED:
        return pack.rated_watts
    if slot.cap == UP_TO_NOMINATION:
        return max(map(_nominated, slot.requests), default=0)
    return 0


def _nominated(request: Request) -> int:
    event = request.event
    if request.watts is MAXIMUM or not event.energy_kw or event.nomination_kw is None:
        return 0
    return request.watts * to_watts(event.nomination_kw) // to_watts(event.energy_kw)


def _parts(
    slots: Sequence[Slot], asks: Sequence[Ask], *, tank: Tank, busy: Sequence[Window], now: datetime
) -> list[_Part]:
    """Return what is to come of the slots."""
    coming = [
        (Window(max(slot.window.start, now), slot.window.end), index)
        for index, slot in enumerate(slots)
        if slot.window.end > now
    ]
    if not coming:
        return []
    parts: list[_Part] = []
    quiet = 0
    for window, index in in_span([*((each, -1) for each in busy), *coming], now, coming[-1][0].end):
        if index is None:
            quiet += micros(window.end - window.start)
        elif index >= 0 and parts and parts[-1].slot == index:
            parts[-1].window = Window(parts[-1].window.start, window.end)
        elif index >= 0:
            floor = tank.reserve if slots[index].forced_watts is None else tank.lowest
            parts.append(_Part(index, window, asks[index], floor, quiet))
            quiet = 0
    return parts


class _Division:
    """Gives energy to the parts, class by class."""

    def __init__(self, parts: Sequence[_Part], *, tank: Tank, pack: Pack, level: int, now: datetime) -> None:
        self._parts, self._tank, self._level, self._now = parts, tank, level, now
        self._is_spread = pack.storage.when_short is WhenShort.SPREAD
        self._running, self._running_since = _running(pack, now=now)

    def divide(self) -> None:
        """Give each class all that is left by better ones, from the first part to the last."""
        for turn in sorted({step.turn for part in self._parts for step in part.ask.steps}):
            needs = self._needs()
            level, place = self._level, 0
            while place < len(self._parts):
                level = self._tank.filled(level, self._parts[place].quiet)
                run = self._run(place, turn)
                level -= sum(part.energy for part, _ in run)
                need, kept_for = needs[place + len(run) - 1]
                floor = max(need, run[-1][0].floor)
                why = _Why(kept_for if need > run[-1][0].floor else None)
                level -= self._give(run, max(level - floor, 0), why)
                place += len(run)

    def _needs(self) -> list[tuple[int, int | None]]:
        """Return the level that must be left after each part for what is promised, and to whom first."""
        need: int = 0
        kept_for: int | None = None
        needs = []
        for place in reversed(range(len(self._parts))):
            part = self._parts[place]
            needs.append((need, kept_for))
            if part.energy:
                need, kept_for = max(need, part.floor) + part.energy, place
            need = self._tank.needed(need, part.quiet)
        return needs[::-1]

    def _run(self, place: int, turn: tuple[int, int]) -> list[tuple[_Part, int]]:
        """Return the parts that share a step's energy, with the power up to which each may rise.

        That is one part; where power is spread, all that touch and have a step of the class.
        """
        run = [(self._parts[place], _rising(self._parts[place], turn))]
        while self._is_spread and turn != _FORCED and place + len(run) < len(self._parts):
            latest, after = run[-1], self._parts[place + len(run)]
            high = _rising(after, turn)
            if latest[0].window.end != after.window.start or not (latest[1] and high):
                break
            run.append((after, high))
        return run

    def _give(self, run: Sequence[tuple[_Part, int]], available: int, why: _Why) -> int:
        """Let a run rise as far as the energy lasts, and return what it takes."""
        if not run[0][1]:
            return 0
        is_spread = self._is_spread and run[0][0].ask.steps[0].turn != _FORCED
        taken = self._spread(run, available) if is_spread else self._stop(*run[0], available, why)
        for part, high in run:
            if part.base < min(high, part.ask.asked) and part.why is None:
                part.why = why
        return taken

    def _stop(self, part: _Part, high: int, available: int, why: _Why) -> int:
        """Give full power as long as the energy lasts, in whole minutes from the part's beginning.

        It does not begin on what is not enough for a minute, which is what an earlier stop left over. Where
        the rest is kept for the part that follows at once, it is given up to that, so that there is one run.
        """
        start, end = part.window.start, part.window.end
        rise = (high - part.base) * self._tank.unit
        length = min(available // rise, micros(end - start))
        goes_on = self._goes_on(part, high)
        since, until = start, start + timedelta(microseconds=length)
        if available < rise * micros(_MINUTE) and not goes_on:
            until = start
        elif until < end and not goes_on and not part.base and self._is_next(part, why):
            since, until = end - timedelta(microseconds=length), end
            since = min(-(-(since - _DAWN) // _MINUTE) * _MINUTE + _DAWN, end)
        elif until < end:
            until = max(until.replace(second=0, microsecond=0), start)
        if (since, until) == (start, end):
            part.base = high
        else:
            part.high, part.since, part.until = high, since, until
        taken = rise * micros(until - since)
        part.energy += taken
        return taken

    def _is_next(self, part: _Part, why: _Why) -> bool:
        return why.kept_for is not None and self._parts[why.kept_for].window.start == part.window.end

    def _goes_on(self, part: _Part, high: int) -> bool:
        return part.window.start == self._now and self._running >= high

    def _spread(self, run: Sequence[tuple[_Part, int]], available: int) -> int:
        """Raise a run to the power that lasts through all of it, in whole watts.

        A run in progress keeps its power where a higher one would only spend what rounding left over.
        """

        def energy(watts: int) -> int:
            lengths = ((micros(part.window.end - part.window.start), part, high) for part, high in run)
            return self._tank.unit * sum(
                length * (min(max(watts, part.base), high) - part.base) for length, part, high in lengths
            )

        top = max(high for _, high in run)
        watts = bisect_right(range(top + 1), available, key=energy) - 1
        first, last = run[0][0], run[-1][0]
        if first.window.start == self._now and first.base < self._running < watts:
            left_over = micros(last.window.end - self._running_since) * self._tank.unit
            if available - energy(self._running) < left_over:
                watts = self._running
        taken = energy(watts)
        for part, high in run:
            length = micros(part.window.end - part.window.start)
            risen = min(max(watts, part.base), high)
            part.energy += (risen - part.base) * length * self._tank.unit
            part.base = risen
        return taken


def _rising(part: _Part, turn: tuple[int, int]) -> int:
    """Return up to which power a part may rise in its class's turn; 0 where it may not.

    A step counts only where the steps below it are given throughout.
    """
    below = 0
    for step in part.ask.steps:
        if step.turn == turn:
            return step.watts if part.base == below else 0
        below = step.watts
    return 0


def _running(pack: Pack, *, now: datetime) -> tuple[int, datetime]:
    """Return what is delivered until now, 0 for nothing, and since when without a pause."""
    since, watts = now, None
    for delivery in reversed(pack.battery.delivered):
        if delivery.window.end < since:
            break
        since = delivery.window.start
        watts = _counted(delivery, pack) if watts is None else watts
    return watts or 0, since


def _counted(delivery: Delivery, pack: Pack) -> int:
    return pack.load_watts if delivery.watts is None else delivery.watts


class _Words:
    """Turns what parts get into outcomes, with what there is to say."""

    def __init__(
        self, slots: Sequence[Slot], asks: Sequence[Ask], parts: Sequence[_Part], *, pack: Pack
    ) -> None:
        self._slots, self._asks, self._parts, self._pack = slots, asks, parts, pack

    def outcomes(self, *, now: datetime) -> list[Outcome]:
        """Return what was delivered of the slots, and what is to come of them."""
        coming = self._coming()
        return self._past(coming[:1], now=now) + coming

    def _coming(self) -> list[Outcome]:
        outcomes = []
        for part in self._parts:
            start, end = part.window.start, part.window.end
            pieces = [
                (Window(start, part.since), part.base),
                (Window(part.since, part.until), part.high),
                (Window(part.until, end), part.base),
            ]
            pieces = [piece for piece in pieces if piece[0].start < piece[0].end]
            for (window, watts), after in zip(pieces, [*pieces[1:], None], strict=True):
                says = tuple(self._says(part, watts, window=window, after=after and after[1]))
                outcomes.append(Outcome(part.slot, window, _target(part.ask, watts), says))
        return outcomes

    def _past(self, rest: Sequence[Outcome], *, now: datetime) -> list[Outcome]:
        """Return what was delivered of the slots; of a run in progress it says what is said of its rest."""
        past: list[Outcome] = []
        delivered = [(each.window, place) for place, each in enumerate(self._pack.battery.delivered)]
        for index in reversed(range(len(self._slots))):
            window = self._slots[index].window
            for piece, place in reversed(in_span(delivered, window.start, min(window.end, now))):
                watts = 0 if place is None else self._pack.battery.delivered[place].watts
                after = next(iter([*past[-1:], *rest]), None)
                goes_on = after and after.window.start == piece.end and after.watts == watts
                says = self._said(index, watts, after if goes_on else None)
                past.append(Outcome(index, piece, watts, says))
        return past[::-1]

    def _said(self, slot: int, watts: int | None, after: Outcome | None) -> tuple[str, ...]:
        """Say of what was delivered what was said before; `after`: what comes after it in the same run."""
        if after and (after.slot == slot or watts == 0):
            return after.says
        counted, asked = self._pack.load_watts if watts is None else watts, self._asks[slot].asked
        if counted == 0:
            return (sentences.did_not_run(),)
        if counted > asked:
            return self._beyond(slot)
        first = self._parts[0] if self._parts else None
        return self._less(slot, counted, first) if after and first and counted < asked else ()

    def _says(self, part: _Part, watts: int, *, window: Window, after: int | None) -> Iterable[str]:
        """Say of a piece why it is less than what is asked, or more, or ends."""
        label, asked = self._pack.storage.label, part.ask.asked
        if watts > asked:
            yield from self._beyond(part.slot)
        if part.why is None:
            return
        why = self._why(part, part.why)
        if watts == 0:
            yield sentences.no_energy(why, label=label)
        elif watts < asked:
            yield from self._less(part.slot, watts, part)
        if watts and after is not None and after < min(watts, asked):
            yield sentences.stops(window.end, why, label=label, is_less=after > 0)

    def _beyond(self, slot: int) -> tuple[str, ...]:
        """Say which event pays for more than is asked; nothing where more was delivered for none."""
        of, label = self._slots[slot], self._pack.storage.label
        best = min(_paying(of), key=_turn, default=None)
        return (sentences.beyond_award(best.event, cap=of.cap, label=label),) if best else ()

    def _why(self, part: _Part, why: _Why) -> str:
        """Return which mark or which later event ends the energy."""
        storage = self._pack.storage
        if why.kept_for is not None:
            later = self._slots[self._parts[why.kept_for].slot]
            name = (
                sentences.ranked(min(later.requests, key=_turn).event) if later.requests else "a forced run"
            )
            return sentences.kept_for(name, later.window.start, beside=part.window.start)
        if self._slots[part.slot].forced_watts is not None:
            return sentences.at_mark("lowest", storage.lowest_percent)
        return sentences.at_mark("reserve", max(storage.reserve_percent, storage.lowest_percent))

    def _less(self, slot: int, watts: int, part: _Part) -> tuple[str, ...]:
        """Name the events of a slot that ask for more than it gets, for the reason that a part has."""
        if part.why is None:
            return ()
        of, rated = self._slots[slot], self._pack.rated_watts
        unmet = [
            sentences.ranked(request.event)
            for request in of.requests
            if min(_watts(request, of, pack=self._pack), rated) > watts
        ]
        why = self._why(part, part.why)
        return (sentences.less_than_asked(unmet, why, label=self._pack.storage.label),) if unmet else ()


def _target(ask: Ask, watts: int) -> int | None:
    """Return the power to ask of the device; None where it is delivered by following the load."""
    return None if watts and watts == ask.follows else watts
