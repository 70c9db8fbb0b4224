"""Rule 4: of what a device is asked, which slices run within its limits.

The best choice is the one that serves the most kWh of commitments by rank, then of voluntary events by rank;
of equal ones, the earlier. It is looked for over quarter-hours counted from where touching slices begin
(`running`). What ran before now counts, and a run that a person forces counts too but is not ours to drop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from dispatch.domain import sentences
from dispatch.domain.events import Window
from dispatch.domain.overlaps import cut
from dispatch.domain.running import Atom, choose, fits
from dispatch.domain.terms import Hours, Limits

QUARTER: Final = timedelta(minutes=15)
_DAY: Final = timedelta(days=1)
_RAN: Final = -1
_DARK: Final = -2


class Ask(NamedTuple):
    """What one event asks in a slot; `watts` is the rated power for a maximum."""

    is_commitment: bool
    rank: int
    watts: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A slice in which the device would run. `names`: what it serves, best first.

    `watts`: what it delivers. `asks`: what it is worth, as each event counts by its own power, rank and kind.
    `is_forced`: a person says so.
    """

    window: Window
    watts: int
    asks: tuple[Ask, ...]
    names: tuple[str, ...]
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A part of a slot: it runs where there is no reason against it."""

    slot: int
    window: Window
    reason: str = ""


def limit(
    slots: Sequence[Slot], *, limits: Limits, zone: str, ran: Sequence[Window] = (), now: datetime
) -> list[Outcome]:
    """Return every part of every slot, in order: it runs, or the reason why it does not.

    Slots are ordered and do not overlap. The past is what the device did; days are those of the zone.
    """
    at = ZoneInfo(zone)
    whole = cut_atoms(slots, limits=limits, zone=at, ran=ran, now=now, step=None)
    if fits(whole, limits=limits):
        return [
            Outcome(atom.slot, atom.window, atom.reason if atom.must is False else "")
            for atom in whole
            if atom.slot is not None
        ]
    atoms = cut_atoms(slots, limits=limits, zone=at, ran=ran, now=now)
    chosen = choose(atoms, limits=limits)
    names = [("what ran earlier",) if atom.slot is None else slots[atom.slot].names for atom in atoms]
    why = _Reasons(atoms, chosen, names=names, limits=limits)
    return [
        Outcome(atom.slot, atom.window, "" if runs else atom.reason or why.of(index))
        for index, (atom, runs) in enumerate(zip(atoms, chosen, strict=True))
        if atom.slot is not None
    ]


def cut_atoms(
    slots: Sequence[Slot],
    *,
    limits: Limits,
    zone: ZoneInfo,
    ran: Sequence[Window],
    now: datetime,
    step: timedelta | None = QUARTER,
) -> list[Atom]:
    """Cut slots and the past at every step, local midnight and blackout, and at now."""
    if not slots:
        return []
    span = Window(min([slots[0].window.start, *(window.start for window in ran)]), slots[-1].window.end)
    items = [(slot.window, index) for index, slot in enumerate(slots)]
    items += [(window, _RAN) for window in ran]
    items += [(window, _DARK) for window in windows_of(limits.blackouts, span=span, zone=zone)]
    live = [(window, set(of)) for window, of in cut(items) if set(of) != {_DARK}]
    marks = sorted([now, *_midnights(span, zone=zone)])
    values = _values(slots)
    atoms = []
    for window, of in _in_steps(live, marks=marks, step=step):
        slot = max(of, default=_RAN)
        must, reason = _settled(of, slots=slots, window=window, limits=limits, now=now)
        atoms.append(
            Atom(
                window=window,
                day=window.start.astimezone(zone).toordinal(),
                value=values[slot] * int((window.end - window.start).total_seconds()) if slot >= 0 else 0,
                slot=slot if slot >= 0 else None,
                must=must,
                reason=reason,
            )
        )
    return atoms


def windows_of(hours: Iterable[Hours], *, span: Window, zone: ZoneInfo) -> list[Window]:
    """Return when times of day are in a span; where the clocks change, an hour counts twice or not at all."""
    first = span.start.astimezone(zone).date() - _DAY
    dates = [first + number * _DAY for number in range((span.end - span.start).days + 4)]
    windows = []
    for each in hours:
        for day in dates:
            if each.weekdays and day.weekday() not in each.weekdays:
                continue
            until = day if each.end > each.start else day + _DAY
            start = _moment(day, each.start, zone=zone).astimezone(span.start.tzinfo)
            end = _moment(until, each.end.replace(fold=1), zone=zone).astimezone(span.start.tzinfo)
            if start < end:
                windows.append(Window(start, end))
    return windows


def _moment(day: date, clock: time, *, zone: ZoneInfo) -> datetime:
    """Return when a clock shows a time; one that it leaves out is the moment at which it goes forward."""
    early, late = (datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC) for fold in (1, 0))
    if early >= late:
        return datetime.combine(day, clock, zone)
    seconds = [early + timedelta(seconds=each) for each in range(int((late - early).total_seconds()))]
    offsets = [each.astimezone(zone).utcoffset() for each in (early, late)]
    changed = bisect_left(seconds, 1, key=lambda each: offsets.index(each.astimezone(zone).utcoffset()))
    return early + timedelta(seconds=changed)


def needed_notice(limits: Limits, *, heard_at: datetime | None, window: Window) -> datetime:
    """Return from when on an event may be served: its start, or once the notice has passed."""
    if heard_at is None or not limits.notice:
        return window.start
    return min(max(window.start, heard_at + limits.notice), window.end)


def _midnights(span: Window, *, zone: ZoneInfo) -> list[datetime]:
    first = span.start.astimezone(zone).date()
    return [
        datetime.combine(first + number * _DAY, time(), zone).astimezone(span.start.tzinfo)
        for number in range((span.end - span.start).days + 3)
    ]


def _in_steps(
    live: Sequence[tuple[Window, set[int]]], *, marks: Sequence[datetime], step: timedelta | None
) -> Iterable[tuple[Window, set[int]]]:
    """Cut touching slices at every step from where the first of them begins, and at the marks."""
    origin = end = None
    for window, of in live:
        if origin is None or window.start != end:
            origin = window.start
        end = window.end
        cuts = {window.start, window.end}
        if step:
            numbers = range((window.start - origin) // step + 1, -((origin - window.end) // step))
            cuts |= {origin + number * step for number in numbers}
        cuts |= {mark for mark in marks if window.start < mark < window.end}
        yield from ((Window(*pair), of) for pair in pairwise(sorted(cuts)))


def _settled(
    of: set[int], *, slots: Sequence[Slot], window: Window, limits: Limits, now: datetime
) -> tuple[bool | None, str]:
    """Return whether there is nothing to choose, and the reason where it must not run."""
    slot = slots[max(of)] if max(of) >= 0 else None
    if limits.counts_runs and window.end <= now:
        return _RAN in of, sentences.did_not_run()
    if slot is None:
        return True, ""
    if slot.is_forced:
        return True, ""
    if _DARK in of:
        return False, sentences.in_blackout(limits.label)
    if slot.watts < limits.ignore_below_watts:
        return False, sentences.too_little(slot.watts, below=limits.ignore_below_watts, label=limits.label)
    return None, ""


def _values(slots: Sequence[Slot]) -> list[int]:
    """Return what a second of each slot is worth: a better class outweighs all of the worse ones."""
    classes = sorted({_class(ask) for slot in slots for ask in slot.asks}, reverse=True)
    seconds = int((slots[-1].window.end - slots[0].window.start).total_seconds())
    base = 1 + max(sum(ask.watts for ask in slot.asks) for slot in slots) * seconds
    weights = {each: base**place for place, each in enumerate(classes)}
    return [sum(ask.watts * weights[_class(ask)] for ask in slot.asks) for slot in slots]


def _class(ask: Ask) -> tuple[bool, int]:
    """Return the key that puts what is served first before the rest."""
    return not ask.is_commitment, ask.rank


class _Reasons:
    """Why an atom that was not chosen cannot run beside those that were."""

    def __init__(
        self,
        atoms: Sequence[Atom],
        chosen: Sequence[bool],
        *,
        names: Sequence[tuple[str, ...]],
        limits: Limits,
    ) -> None:
        self._atoms, self._chosen, self._names, self._limits = atoms, chosen, names, limits
        self._runs: list[list[int]] = []
        self._run_of: dict[int, list[int]] = {}
        self._days: defaultdict[int, list[int]] = defaultdict(list)
        for index, runs in enumerate(chosen):
            if not runs:
                continue
            self._days[atoms[index].day].append(index)
            latest = self._runs[-1] if self._runs else None
            if latest and atoms[latest[-1]].window.end == atoms[index].window.start:
                latest.append(index)
            else:
                latest = [index]
                self._runs.append(latest)
            self._run_of[index] = latest
        self._starts = [atoms[run[0]].window.start for run in self._runs]
        self._ends = [atoms[run[-1]].window.end for run in self._runs]
        self._begun: defaultdict[int, list[list[int]]] = defaultdict(list)
        for run in self._runs:
            self._begun[atoms[run[0]].day].append(run)

    def of(self, index: int) -> str:
        """Return the reason, by the first limit in its way."""
        atom, limits = self._atoms[index], self._limits
        before, after = self._beside(index, -1), self._beside(index, +1)
        today = self._days[atom.day]
        if limits.a_day is not None and self._length(today) + atom.length > limits.a_day:
            return self._used(sentences.a_day(limits.a_day), today)
        joined = [*before, *after]
        if limits.longest_run is not None and self._length(joined) + atom.length > limits.longest_run:
            return self._used(sentences.a_run(limits.longest_run), joined)
        begun = self._begun[atom.day]
        # A run that begins at midnight would begin the day before, were the atom to run, too.
        begins = not before and after not in begun
        if limits.events_a_day is not None and begins and len(begun) >= limits.events_a_day:
            whole = [index for run in begun for index in run]
            return self._used(sentences.events_a_day(limits.events_a_day), whole)
        near = [index for run in self._near(atom) for index in run]
        if limits.longest_run is not None and self._length(near) + atom.length > limits.longest_run:
            return self._used(sentences.a_run(limits.longest_run), near)
        return sentences.rests(limits.rest, self._named(near), label=limits.label)

    def _beside(self, index: int, step: int) -> list[int]:
        """Return the run that touches an atom on one side."""
        other = index + step
        if not 0 <= other < len(self._atoms) or other not in self._run_of:
            return []
        pair = (self._atoms[min(index, other)], self._atoms[max(index, other)])
        return self._run_of[other] if pair[0].window.end == pair[1].window.start else []

    def _near(self, atom: Atom) -> list[list[int]]:
        """Return the runs to which an atom leaves less than the rest."""
        rest = self._limits.rest
        first = bisect_right(self._ends, atom.window.start - rest)
        return self._runs[first : bisect_left(self._starts, atom.window.end + rest)]

    def _length(self, indexes: Iterable[int]) -> timedelta:
        return sum((self._atoms[index].length for index in indexes), timedelta())

    def _used(self, what: str, indexes: Iterable[int]) -> str:
        return sentences.used_up(what, self._named(indexes), label=self._limits.label)

    def _named(self, indexes: Iterable[int]) -> list[str]:
        return list(dict.fromkeys(name for index in indexes for name in self._names[index]))
