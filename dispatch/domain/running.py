"""Which atoms run, within a policy's limits: the best choice of all.

It is found step by step: of all ways to get to an atom those are kept that no other beats in value and in
what they use up. Where everything fits, one pass says so; where nothing but hours a day bind, each day's best
are taken as long as there is time.

The work is bounded: the more atoms, the fewer ways are followed, by what is worth most. `MOST_WAYS` are more
than a day and more of touching hours under four limits at once have, so a choice is exact up to about a
hundred atoms; every choice keeps the limits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import groupby
from typing import Final, NamedTuple

from dispatch.domain.events import Window
from dispatch.domain.terms import Limits
from dispatch.domain.windows import micros

MOST_WAYS: Final = 2000
MOST_STEPS: Final = 200_000
"""Atoms times ways: what one device may cost."""
_FEWEST_WAYS: Final = 10


@dataclass(frozen=True, slots=True)
class Atom:
    """The smallest piece that runs as a whole.

    `must`: whether it runs where that is settled; `slot` None: it ran for what is no longer asked.
    `day` counts local days; `value` is comparable over all atoms of a device.
    """

    window: Window
    day: int
    value: int
    slot: int | None = None
    must: bool | None = None
    reason: str = ""

    @property
    def length(self) -> timedelta:
        """How long it lasts."""
        return self.window.end - self.window.start


class Bounds(NamedTuple):
    """A policy's limits, in microseconds: plain numbers, as steps are many. None is no limit."""

    longest_run: int | None
    a_day: int | None
    events_a_day: int | None
    rest: int

    @property
    def are_hours_alone(self) -> bool:
        """Say whether nothing but hours a day binds."""
        return self.longest_run is None and self.events_a_day is None and not self.rest


class _Move(NamedTuple):
    """An atom as a step: `gap` is the time from the one before."""

    length: int
    gap: int
    is_new_day: bool
    value: int
    must: bool | None


State = tuple[bool, int, int, int]
"""What of the limits is used up: whether the device runs; how long it does, or rests (up to what it needs);
how long it ran in the day; how many runs began in it."""

Ways = dict[State, tuple[int, int]]
"""The best way into each state: what it is worth, and which atoms run, a bit each."""


def choose(atoms: Sequence[Atom], *, limits: Limits) -> list[bool]:
    """Return which atoms run: the best choice within the limits, of equal ones that of the earlier atoms."""
    bounds = _bounds(limits)
    if not bounds.are_hours_alone:
        return _choose(atoms, bounds)
    if bounds.a_day is None:
        return [atom.must is not False for atom in atoms]
    chosen: list[bool] = []
    for _, day in groupby(atoms, key=lambda atom: atom.day):
        of = list(day)
        chosen += _best_of_day(of, a_day=bounds.a_day) or _choose(of, bounds)
    return chosen


def fits(atoms: Sequence[Atom], *, limits: Limits) -> bool:
    """Say whether all that may run at all can, however it is cut into atoms; one pass."""
    wanted = [atom.must is not False for atom in atoms]
    return _fits(list(_moves(atoms)), wanted, _bounds(limits))


def _bounds(limits: Limits) -> Bounds:
    return Bounds(
        longest_run=None if limits.longest_run is None else micros(limits.longest_run),
        a_day=None if limits.a_day is None else micros(limits.a_day),
        events_a_day=limits.events_a_day,
        rest=micros(limits.rest),
    )


def _best_of_day(atoms: Sequence[Atom], *, a_day: int) -> list[bool] | None:
    """Return the best choice for one day where time is all that binds; None where this cannot say.

    Taking what is worth most by the hour is best where no time is left over, or where all are as long. What
    is settled uses up time first, which is so only where it comes first.
    """
    chosen = [atom.must is not False for atom in atoms]
    lengths = [micros(atom.length) for atom in atoms]
    left = a_day - sum(length for length, runs in zip(lengths, chosen, strict=True) if runs)
    if left >= 0:
        return chosen
    free = [place for place, atom in enumerate(atoms) if atom.must is None]
    if not free:
        return chosen
    if any(atom.must for atom in atoms[free[0] :]):
        return None
    left += sum(lengths[place] for place in free)
    for place in free:
        chosen[place] = False
    for place in sorted(free, key=lambda place: (-Fraction(atoms[place].value, lengths[place]), place)):
        if lengths[place] > left:
            break
        chosen[place] = True
        left -= lengths[place]
    return chosen if left <= 0 or len({lengths[place] for place in free}) == 1 else None


def _choose(atoms: Sequence[Atom], bounds: Bounds) -> list[bool]:
    """Return the best choice, step by step."""
    moves = list(_moves(atoms))
    wanted = [atom.must is not False for atom in atoms]
    if _fits(moves, wanted, bounds):
        return wanted
    most = min(MOST_WAYS, max(MOST_STEPS // len(atoms), _FEWEST_WAYS))
    ways = _begin(bounds)
    for move in moves:
        options = (True, False) if move.must is None else (move.must,)
        ways = _unbeaten(_ahead(ways, move, options, bounds), rest=bounds.rest, most=most)
    _, bits = max(ways.values())
    return [bool(bits >> place & 1) for place in reversed(range(len(atoms)))]


def _moves(atoms: Sequence[Atom]) -> Iterator[_Move]:
    earlier: Atom | None = None
    for atom in atoms:
        gap = micros(atom.window.start - earlier.window.end) if earlier else 0
        is_new_day = earlier is not None and earlier.day != atom.day
        yield _Move(micros(atom.length), gap, is_new_day, atom.value, atom.must)
        earlier = atom


def _begin(bounds: Bounds) -> Ways:
    return {(False, bounds.rest, 0, 0): (0, 0)}


def _fits(moves: Sequence[_Move], chosen: Sequence[bool], bounds: Bounds) -> bool:
    """Say whether a choice keeps the limits; one pass."""
    ways = _begin(bounds)
    for move, runs in zip(moves, chosen, strict=True):
        ways = dict.fromkeys(_ahead(ways, move, (runs,), bounds), (0, 0))
    return bool(ways)


def _ahead(ways: Ways, move: _Move, options: tuple[bool, ...], bounds: Bounds) -> Ways:
    """Go on from each way with the atom and without it; of two that arrive alike, keep the better."""
    length, gap, is_new_day, gain, _ = move
    ahead: Ways = {}
    for (is_running, since, used, count), (value, bits) in ways.items():
        if gap:
            since, is_running = min(gap if is_running else since + gap, bounds.rest), False
        if is_new_day:
            used = count = 0
        for runs in options:
            if runs:
                after = _run((is_running, since, used, count), move, bounds)
                if after is None:
                    continue
                worth = (value + gain, bits << 1 | 1)
            else:
                after = (False, min(length if is_running else since + length, bounds.rest), used, count)
                worth = (value, bits << 1)
            known = ahead.get(after)
            if known is None or known < worth:
                ahead[after] = worth
    return ahead


def _run(state: State, move: _Move, bounds: Bounds) -> State | None:
    """Return the state after an atom that runs; None where it may not. What is settled is only counted."""
    is_running, since, used, count = state
    longest_run, a_day, events_a_day, rest = bounds
    is_free = move.must is None
    if is_running:
        since += move.length
    elif is_free and since < rest:
        return None
    else:
        since, count = move.length, count + 1
    used += move.length
    if longest_run is None:
        since = 0
    elif since > longest_run:
        if is_free:
            return None
        since = longest_run
    if a_day is None:
        used = 0
    elif used > a_day:
        if is_free:
            return None
        used = a_day
    if events_a_day is None:
        count = 0
    elif count > events_a_day:
        if is_free:
            return None
        count = events_a_day
    return True, since, used, count


def _unbeaten(ways: Ways, *, rest: int, most: int) -> Ways:
    """Leave out each way that another one beats: worth as much, and nothing used up further.

    Of the others, those worth `most` are kept.
    """
    if len(ways) == 1:
        return ways
    kept: Ways = {}
    fronts: defaultdict[tuple[bool, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for state, worth in sorted(ways.items(), key=lambda way: way[1], reverse=True):
        if len(kept) == most:
            break
        is_running, since, used, count = state
        cost = since if is_running else rest - since
        for fewer in range(count + 1):
            costs, useds = fronts[is_running, fewer]
            place = bisect_right(costs, cost)
            if place and useds[place - 1] <= used:
                break
        else:
            last = place
            while last < len(costs) and useds[last] >= used:
                last += 1
            costs[place:last], useds[place:last] = [cost], [used]
            kept[state] = worth
    return kept
