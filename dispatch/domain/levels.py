"""Rule 9: what is asked at both levels is acted upon at one of them.

Leap may ask the same of a meter by itself and as a part of its market group, under ids that nothing connects.
Which level is acted upon is chosen by program. An event yields only where an event of the acted level covers
the same meter for the same program at the same time; whatever has no such twin is acted upon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dispatch.domain import sentences
from dispatch.domain.belief import Source
from dispatch.domain.events import Event, Window


class Side(NamedTuple):
    """What of an event bears on the choice of level. Many events share one."""

    level: str
    programs: tuple[str, ...]
    is_voluntary: bool = False
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Which level is acted upon: `forced` for every program, else as decided by program."""

    forced: str = ""
    decided: Mapping[str, str] = field(default_factory=dict)

    def level_of(self, program: str) -> str:
        """Return the level acted upon for a program; empty while undecided: then both are."""
        return self.forced or self.decided.get(program, "")


@dataclass(frozen=True, slots=True)
class Shade:
    """A window in which an event is not acted upon at a meter, with the reason."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The level of a program, how it was arrived at, and the event that brought it (None: a person)."""

    level: str
    source: Source
    event_id: int | None


class Arrival(NamedTuple):
    """An event as it arrived, or changed: our row, what it is, and how it came."""

    event_id: int
    side: Side
    source: Source


Shades = dict[int, dict[str, tuple[Shade, ...]]]
"""By event, by meter id."""


def decide(arrivals: Iterable[Arrival], *, held: Mapping[str, Decision]) -> dict[str, Decision]:
    """Return the decisions that the arrivals bring, in their order, by program.

    The first event of a program decides. A search asks both levels and so says nothing of how Leap pushes:
    what it decided gives way to the first webhook. A person's decision stays. Tests decide nothing.
    """
    new: dict[str, Decision] = {}
    for event_id, side, source in arrivals:
        for program in () if side.is_test else side.programs:
            before = new.get(program) or held.get(program)
            if before is None or (before.source is Source.POLL and source is not Source.POLL):
                new[program] = Decision(side.level, source, event_id)
    return new


def yields_for(side: Side, twin: Side, *, policy: Policy) -> str:
    """Return the program for which an event yields to a twin that covers it, or "" when it does not.

    It must share a program that is acted upon at the twin's level, and have none that is acted upon at its
    own: so who yields covers nobody, and nothing is lost in a circle. Tests neither yield nor cover, and a
    voluntary event does not stand in for a commitment.
    """
    if side.level == twin.level or side.is_test or twin.is_test:
        return ""
    if twin.is_voluntary and not side.is_voluntary:
        return ""
    if side.level in {policy.level_of(program) for program in side.programs}:
        return ""
    common = sorted(set(side.programs).intersection(twin.programs))
    return next((program for program in common if policy.level_of(program) == twin.level), "")


def side_of(event: Event) -> Side:
    """Return what of an event bears on the choice of level."""
    return Side(event.level, event.programs, event.is_voluntary, event.is_test)


def shade(events: Sequence[Event], *, recipients: Mapping[int, Sequence[str]], policy: Policy) -> Shades:
    """Return where events yield, given all that are live, in any order."""
    sides = {side_of(event) for event in events}
    # A day of awards has many events of few kinds: the rule is asked once for each pair of kinds.
    yielding = {side: _twins(side, sides, policy=policy) for side in sides}
    covering = {twin for twins in yielding.values() for twin in twins}
    if not covering:
        return {}
    at_meter: defaultdict[str, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda each: (each.window.start, each.window.end, each.leap_event_id)):
        if side_of(event) in covering:
            for meter_id in recipients[event.recipients]:
                at_meter[meter_id].append(event)
    found: Shades = {}
    for event in events:
        twins = yielding[side_of(event)]
        for meter_id in recipients[event.recipients] if twins else ():
            if shades := _shades_at(event, at_meter.get(meter_id, ()), twins=twins):
                found.setdefault(event.event_id, {})[meter_id] = shades
    return found


def common_shades(shades: Sequence[Sequence[Shade]]) -> tuple[Shade, ...]:
    """Return where all meters of a device are shaded: as long as one of them asks, the device acts."""
    common = tuple(shades[0])
    for other in shades[1:]:
        common = tuple(
            Shade(Window(start, end), one.reason)
            for one in common
            for two in other
            if (start := max(one.window.start, two.window.start))
            < (end := min(one.window.end, two.window.end))
        )
    return common


def lit(window: Window, shades: Sequence[Shade]) -> list[Window]:
    """Return what of a window the shades, given in order, leave."""
    left = []
    reached = window.start
    for each in shades:
        if reached < each.window.start:
            left.append(Window(reached, each.window.start))
        reached = each.window.end
    return [*left, Window(reached, window.end)] if reached < window.end else left


def _twins(side: Side, others: Iterable[Side], *, policy: Policy) -> dict[Side, str]:
    """Return the kinds that this kind yields to, each with the program."""
    return {twin: word for twin in others if (word := yields_for(side, twin, policy=policy))}


def _shades_at(event: Event, candidates: Sequence[Event], *, twins: Mapping[Side, str]) -> tuple[Shade, ...]:
    """Return where the twins at one meter, given by start, cover the event; touching equal ones merged."""
    shades: list[Shade] = []
    reached = event.window.start
    for twin in candidates:
        if twin.window.start >= event.window.end:
            break
        start, end = max(twin.window.start, reached), min(twin.window.end, event.window.end)
        program = twins.get(side_of(twin))
        if program is None or start >= end:
            continue
        reason = sentences.asked_at_both(twin.level, program)
        if shades and shades[-1].window.end == start and shades[-1].reason == reason:
            shades[-1] = replace(shades[-1], window=Window(shades[-1].window.start, end))
        else:
            shades.append(Shade(Window(start, end), reason))
        reached = end
    return tuple(shades)
