"""Readings → energy in minutes and quarters of an hour, exact to the watt-millisecond. Pure.

Each two readings that follow each other give energy of their own, and an interval's energy is the sum of
what these give within it. So readings may come in any order: one that comes between two others takes away
what these two gave and adds what it gives with each. Only the two neighbours of a new reading matter.

Whole numbers throughout: milliseconds since 1970 UTC, watts, watt-hours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

MINUTE: Final = 60_000
"""Milliseconds."""

QUARTER: Final = 15
"""Minutes."""

HELD_AT_MOST: Final = 5 * MINUTE
"""How long a power counts when nothing more is heard; what is beyond is a gap."""

COUNTED_AT_MOST: Final = 60 * MINUTE
"""How long a silence the difference of a counter may bridge."""

WATT_HOUR: Final = 3_600_000
"""Watt-milliseconds."""

_TIMES_THE_POWER: Final = 10
_AND_WATTS: Final = 10_000
_AND_WATT_HOURS: Final = 100
_COARSE: Final = 1_000
"""Watt-hours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading: its time, the power then, and the counter if it has one (all taken minus all given)."""

    at: int
    watts: int
    watt_hours: int | None = None


@dataclass(frozen=True, slots=True)
class Energy:
    """Watt-milliseconds, positive when taken from the grid, and the milliseconds in which they were measured.

    >>> Energy(90_000_000, 60_000).mean_kw
    Decimal('1.500')
    """

    watt_milliseconds: int
    covered_milliseconds: int

    @property
    def mean_kw(self) -> Decimal | None:
        """The mean power while it was measured; None if it was not."""
        if not self.covered_milliseconds:
            return None
        return round(Decimal(self.watt_milliseconds) / self.covered_milliseconds / 1000, 3)

    @property
    def kwh(self) -> Decimal:
        """The energy, to the microwatt-hour; sums are exact only in watt-milliseconds."""
        return round(Decimal(self.watt_milliseconds) / (1000 * WATT_HOUR), 9)


@dataclass(frozen=True, slots=True)
class Changes:
    """What new readings add to minutes and to quarters, each by its number since 1970; may take away."""

    minutes: dict[int, Energy]
    quarters: dict[int, Energy]


@dataclass(frozen=True, slots=True)
class Between:
    """New readings that lie between two known ones, or at an end: ordered, each time once."""

    before: Sample | None
    new: Sequence[Sample]
    after: Sample | None


def changes(gaps: Iterable[Between]) -> Changes:
    """Return what new readings of one device change."""
    energy: Counter[int] = Counter()
    covered: Counter[int] = Counter()
    for gap in gaps:
        chain = [sample for sample in (gap.before, *gap.new, gap.after) if sample]
        signed = [(pair, 1) for pair in pairwise(chain)]
        if gap.before and gap.after:
            signed.append(((gap.before, gap.after), -1))
        for (earlier, later), sign in signed:
            for minute, watt_milliseconds, milliseconds in _spread(earlier, later):
                energy[minute] += sign * watt_milliseconds
                covered[minute] += sign * milliseconds
    quarters_energy: Counter[int] = Counter()
    quarters_covered: Counter[int] = Counter()
    for minute in covered:
        quarters_energy[minute // QUARTER] += energy[minute]
        quarters_covered[minute // QUARTER] += covered[minute]
    return Changes(_together(energy, covered), _together(quarters_energy, quarters_covered))


def minutes_of(samples: Iterable[Sample]) -> dict[int, Energy]:
    """Return the energy of every minute that all readings of a device give; of equal times the first counts.

    >>> minutes_of([Sample(0, 1000), Sample(90_000, 0)])
    {0: Energy(watt_milliseconds=60000000, covered_milliseconds=60000), \
1: Energy(watt_milliseconds=30000000, covered_milliseconds=30000)}
    """
    once: dict[int, Sample] = {}
    for sample in samples:
        once.setdefault(sample.at, sample)
    return changes([Between(None, [once[at] for at in sorted(once)], None)]).minutes


def _together(energy: Counter[int], covered: Counter[int]) -> dict[int, Energy]:
    return {key: Energy(energy[key], covered[key]) for key in covered if energy[key] or covered[key]}


def _spread(earlier: Sample, later: Sample) -> Iterator[tuple[int, int, int]]:
    """Return what two readings that follow each other give: minute, watt-milliseconds, milliseconds.

    Evenly over the time; what does not divide goes to the later minutes, so that the sum is exact.
    """
    length, total = _given(earlier, later)
    start, end = earlier.at, earlier.at + length
    done = 0
    for minute in range(start // MINUTE, -(-end // MINUTE)):
        began, ends = max(start, minute * MINUTE), min(end, (minute + 1) * MINUTE)
        upto = total * (ends - start) // length
        yield minute, upto - done, ends - began
        done = upto


def _given(earlier: Sample, later: Sample) -> tuple[int, int]:
    """Return for how long two readings speak, in milliseconds, and of what energy.

    A counter that both carry counts, across a silence of up to an hour, unless
    - it shows whole kWh: that is too coarse to say when the energy flowed;
    - it jumps: it began anew or is another. It jumps when it means more than ten times the greater power, and
    10 kW more, and 100 Wh more, by which counters may step.
    Such limits know nothing of the device, so that the same readings always give the same energy.
    """
    silence = later.at - earlier.at
    if earlier.watt_hours is not None and later.watt_hours is not None and silence <= COUNTED_AT_MOST:
        counted = (later.watt_hours - earlier.watt_hours) * WATT_HOUR
        most = _TIMES_THE_POWER * max(abs(earlier.watts), abs(later.watts)) + _AND_WATTS
        is_coarse = not (earlier.watt_hours % _COARSE or later.watt_hours % _COARSE)
        if not is_coarse and abs(counted) <= most * silence + _AND_WATT_HOURS * WATT_HOUR:
            return silence, counted
    held = min(silence, HELD_AT_MOST)
    return held, earlier.watts * held
