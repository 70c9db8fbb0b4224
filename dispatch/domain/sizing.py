"""Rule 5: how much power storage gives in each slice, so that its energy goes where it is worth most.

A slice asks in steps: what commitments ask, then what voluntary events ask on top, then what is paid beyond
(by the compensation cap, where the policy wants it). Energy goes to steps in this order: a person's force,
commitments by rank, voluntary events by rank, beyond the award; of equal steps to the earlier. Each step gets
all that is left when nothing promised to a better one, at any later time, is touched. As energy only
accumulates up to a mark and is given from there, that is also the most energy for commitments.

A slice in which only voluntary events ask is time to recharge in as far as the device does not run in it. So
what is divided first counts with all that recharging, and to serve such a slice costs it: no commitment gets
less because a voluntary event asks. Who stopped for want of energy does not begin again on what is recharged
in the meantime (`pausing`).

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
from dispatch.domain.charging import Tank, in_span, stored, tank_of
from dispatch.domain.envelope import Request
from dispatch.domain.events import (
    GRID_EXPORTS_ALLOWED,
    MAXIMUM,
    UP_TO_NOMINATION,
    UP_TO_SITE_LOAD,
    Window,
    to_watts,
)
from dispatch.domain.pausing import Pause, pause_of
from dispatch.domain.terms import Battery, Beyond, Delivery, Discharge, Storage, WhenShort
from dispatch.domain.windows import micros

_MINUTE: Final = timedelta(minutes=1)
_DAWN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORCED: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slice in which the device would deliver, and its cap. `forced_watts`: the power a person sets.

    `may_recharge`: it recharges in it while it does not run, as nothing but voluntary events asks.
    """

    window: Window
    cap: str
    requests: tuple[Request, ...]
    forced_watts: int | None = None
    may_recharge: bool = False


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
    microseconds of recharging before it. `held`: what was recharged while its run waited.
    """

    slot: int
    window: Window
    ask: Ask
    floor: int
    quiet: int = 0
    may_recharge: bool = False
    held: int = 0
    base: int = 0
    high: int = 0
    since: datetime = field(init=False)
    until: datetime = field(init=False)
    energy: int = 0
    why: _Why | None = None

    def __post_init__(self) -> None:
        self.since = self.until = self.window.start

    @property
    def length(self) -> int:
        """Its microseconds."""
        return micros(self.window.end - self.window.start)

    @property
    def idle(self) -> int:
        """The microseconds of recharging at its end."""
        return micros(self.window.end - self.until) if self.may_recharge and not self.base else 0


class _Why(NamedTuple):
    """Why energy ends: at a mark, or as it is kept for a later part."""

    kept_for: int | None


def size(slots: Sequence[Slot], *, pack: Pack, busy: Sequence[Window], now: datetime) -> list[Outcome]:
    """Return every part of every slot, in order. Slots are ordered and do not overlap.

    `busy`: when commitments ask or a person forces, also what is not delivered; it recharges in none of it.
    The past is what was delivered.
    """
    tank = tank_of(pack.battery, pack.storage)
    asks = [_ask(slot, pack=pack) for slot in slots]
    parts = _parts(slots, asks, tank=tank, busy=busy, now=now)
    level = stored(
        tank, pack.battery, pack.storage, busy=busy, maximum_watts=pack.load_watts, zone=pack.zone, now=now
    )
    _Division(slots, parts, tank=tank, pack=pack, level=level, now=now).divide()
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


def _turns(slot: Slot) -> set[tuple[int, int]]:
    """Return the classes that ask in a slot, with those of what is beyond."""
    asked = {_turn(request) for request in slot.requests}
    return asked | {(tier + 2, rank) for tier, rank in asked}


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
            parts.append(_Part(index, window, asks[index], floor, quiet, slots[index].may_recharge))
            quiet = 0
    return parts


class _Division:
    """Gives energy to the parts, class by class."""

    def __init__(
        self,
        slots: Sequence[Slot],
        parts: Sequence[_Part],
        *,
        tank: Tank,
        pack: Pack,
        level: int,
        now: datetime,
    ) -> None:
        self._slots, self._parts, self._tank, self._level, self._now = slots, parts, tank, level, now
        self._turns = [_turns(slot) for slot in slots]
        self._is_spread = pack.storage.when_short is WhenShort.SPREAD
        self._delivered = pack.battery.delivered
        self._running, self._running_since = _running(pack, now=now)

    def divide(self) -> None:
        """Give each class all that is left by better ones, from the first part to the last."""
        for turn in sorted({step.turn for part in self._parts for step in part.ask.steps}):
            needs = self._needs()
            level, place, pause = self._level, 0, self._earlier(turn)
            while place < len(self._parts):
                level = self._tank.filled(level, self._parts[place].quiet)
                run = self._run(place, turn)
                if not self._is_joined(place, turn):
                    pause = Pause()
                self._give(run, turn, level, needs[place + len(run) - 1], pause)
                for part, _ in run:
                    level = self._tank.filled(level - part.energy, part.idle)
                    pause = pause.then(runs=part.energy > 0, idle=part.idle)
                place += len(run)

    def _earlier(self, turn: tuple[int, int]) -> Pause:
        """Return the pause of a class in the touching slots until now, since its events were heard of."""
        if not self._parts or self._parts[0].window.start > self._now:
            return Pause()
        windows: list[tuple[Window, bool]] = []
        start = self._now
        for slot in reversed(self._slots[: self._parts[0].slot + 1]):
            if min(slot.window.end, self._now) != start or turn not in _turns(slot):
                break
            window = Window(max([slot.window.start, *_heard(slot, turn)]), start)
            windows.append((window, slot.may_recharge))
            start = slot.window.start
        return pause_of(reversed(windows), self._delivered)

    def _is_joined(self, place: int, turn: tuple[int, int]) -> bool:
        """Say whether a class goes on in a part without a break."""
        part, before = self._parts[place], self._parts[place - 1]
        if turn not in self._turns[part.slot]:
            return False
        return place == 0 or (before.window.end == part.window.start and turn in self._turns[before.slot])

    def _needs(self) -> list[tuple[int, int | None]]:
        """Return the level that must be left after each part for what is promised, and to whom first."""
        need: int = 0
        kept_for: int | None = None
        needs = []
        for place in reversed(range(len(self._parts))):
            part = self._parts[place]
            needs.append((need, kept_for))
            need = self._tank.needed(need, part.idle)
            if part.energy:
                need = max(need + part.held * self._is_spread, part.floor + part.held) + part.energy
                kept_for = place
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

    def _give(
        self,
        run: Sequence[tuple[_Part, int]],
        turn: tuple[int, int],
        level: int,
        need: tuple[int, int | None],
        pause: Pause,
    ) -> None:
        """Let a run rise as far as the energy lasts. `need`: what must be left after it, and for whom."""
        if not run[0][1]:
            return
        gained, before = self._tank.inflow * pause.length, [part.energy for part, _ in run]
        if self._is_spread and turn != _FORCED:
            floor = run[-1][0].floor
            left = level - gained - sum(before)
            kept_for = need[1] if need[0] > floor else None
            self._spread(run, 0 if pause.is_over else max(left - max(need[0], floor), 0), pause)
        else:
            part, high = run[0]
            by_floor = self._lasts(part, high, level - gained, floor=part.floor, idle=False)
            by_need = self._lasts(part, high, level, floor=need[0], idle=not part.base)
            kept_for = need[1] if by_need < by_floor else None
            lasts = 0 if pause.is_over else max(min(by_floor, by_need), 0)
            self._stop(part, high, lasts, kept_for=kept_for)
        for (part, high), energy in zip(run, before, strict=True):
            if part.energy > energy:
                part.held = max(part.held, gained)
            if part.base < min(high, part.ask.asked) and part.why is None:
                part.why = _Why(kept_for)

    def _lasts(self, part: _Part, high: int, level: int, *, floor: int, idle: bool) -> int:
        """Return for how many microseconds a part can rise so that its end finds the level at the floor.

        `idle`: the rest of it is recharged in, where it may be.
        """
        cost, left = (high - part.base) * self._tank.unit, level - part.energy - floor
        if idle and part.may_recharge and floor <= self._tank.highest:
            return (left + self._tank.inflow * part.length) // (cost + self._tank.inflow)
        return left // cost

    def _stop(self, part: _Part, high: int, length: int, *, kept_for: int | None) -> None:
        """Give full power as long as it lasts, in whole minutes from the part's beginning.

        It does not begin on what is not enough for a minute, which is what an earlier stop left over. Where
        the rest is kept for the part that follows at once, it is given up to that, so that there is one run;
        not where it then would miss what is recharged in the rest.
        """
        start, end = part.window.start, part.window.end
        goes_on = self._goes_on(part, high)
        since, until = start, end
        if length < micros(_MINUTE) and not goes_on:
            until = start
        elif length < part.length and not goes_on and self._is_next(part, kept_for):
            since = end - timedelta(microseconds=length)
            since = min(_DAWN - (_DAWN - since) // _MINUTE * _MINUTE, end)
        elif length < part.length:
            until = start + timedelta(microseconds=length)
            until = max(until.replace(second=0, microsecond=0), start)
        part.energy += (high - part.base) * self._tank.unit * micros(until - since)
        if (since, until) == (start, end):
            part.base = high
        else:
            part.high, part.since, part.until = high, since, until

    def _is_next(self, part: _Part, kept_for: int | None) -> bool:
        """Say whether energy is kept for the next part, and nothing is recharged until then."""
        is_idle = part.may_recharge and self._tank.inflow
        if kept_for is None or part.base or is_idle:
            return False
        return self._parts[kept_for].window.start == part.window.end

    def _goes_on(self, part: _Part, high: int) -> bool:
        return part.window.start == self._now and self._running >= high

    def _spread(self, run: Sequence[tuple[_Part, int]], available: int, pause: Pause) -> None:
        """Raise a run to the power that lasts through all of it, in whole watts.

        A run in progress keeps its power, and one that waits waits on, where a higher one would only spend
        what rounding left over.
        """

        rises = [(part.length, part.base, high) for part, high in run]

        def energy(watts: int) -> int:
            return self._tank.unit * sum(
                length * (min(watts, high) - base) for length, base, high in rises if watts > base
            )

        top = max(high for _, high in run)
        watts = bisect_right(range(top + 1), available, key=energy) - 1
        first, last = run[0][0], run[-1][0]
        if first.window.start == self._now and first.base < self._running < watts:
            left_over = micros(last.window.end - self._running_since) * self._tank.unit
            if available - energy(self._running) < left_over:
                watts = self._running
        if pause.waited and not pause.has_run and available < energy(1) + pause.waited * self._tank.unit:
            watts = 0
        for part, high in run:
            risen = min(max(watts, part.base), high)
            part.energy += (risen - part.base) * part.length * self._tank.unit
            part.base = risen


def _heard(slot: Slot, turn: tuple[int, int]) -> list[datetime]:
    """Return when a class was first heard of in a slot, nothing where that is not known."""
    asking = [request.event for request in slot.requests if _turn(request) in {turn, (turn[0] - 2, turn[1])}]
    heard = [event.heard_at for event in asking]
    known = [each for each in heard if each is not None]
    return [min(known)] if known and len(known) == len(heard) else []


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
