"""Power chart of a plan before and after, as steps.

Pure geometry, on a canvas of 288 by 100.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from dispatch.reading import words
from dispatch.reading.axis import PARTS, Axis, Tick

Stretch = tuple[datetime, datetime, Decimal]
HEADROOM = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at a height: parts of 288 from the bottom, text, class."""

    part: int
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class TwoPlans:
    """A plan before and after, and the numbers: window, before, after, more or less."""

    ticks: tuple[Tick, ...]
    levels: tuple[Mark, ...]
    ends: tuple[Mark, ...]
    before: str
    after: str
    now: int | None
    rows: tuple[tuple[str, str, str, str], ...]


def build_two_plans(
    *,
    axis: Axis,
    ticks: tuple[Tick, ...],
    stretches: Iterable[tuple[datetime, datetime, Decimal, Decimal]],
    now: datetime,
) -> TwoPlans:
    """Draw two plans over each other, given where neither changes: from, until, kW before, kW after."""
    inside = [each for each in stretches if each[0] < axis.end and each[1] > axis.start]
    before = [(start, end, kw) for start, end, kw, _ in inside if kw]
    after = [(start, end, kw) for start, end, _, kw in inside if kw]
    highest = [max((kw for _, _, kw in line), default=Decimal(0)) for line in (before, after)]
    top = nice_top(max(*highest, Decimal(1)) * HEADROOM)
    return TwoPlans(
        ticks=ticks,
        levels=_levels(top),
        ends=_ends([(highest[0], "Before", "is-plan"), (highest[1], "After", "is-after")], top=top),
        before=_line(before, axis=axis, top=top),
        after=_line(after, axis=axis, top=top),
        now=axis.now(now),
        rows=tuple(
            (
                f"{words.day(start, zone=axis.zone)}, {words.window(start, end, zone=axis.zone)}",
                words.power(old),
                words.power(new),
                more_or_less(new - old),
            )
            for start, end, old, new in inside
        ),
    )


def more_or_less(kw: Decimal) -> str:
    """Write a difference of powers with its sign.

    >>> more_or_less(Decimal("-12.5")), more_or_less(Decimal(0))
    ('−12.5 kW', 'the same')
    """
    if not kw:
        return "the same"
    return f"{'+' if kw > 0 else '−'}{words.power(abs(kw))}"


def nice_top(value: Decimal) -> Decimal:
    """Round up to a scale that people can divide by four.

    >>> nice_top(Decimal(3850)), nice_top(Decimal(9))
    (Decimal('4000'), Decimal('10.00'))
    """
    magnitude = Decimal(10) ** value.adjusted()
    for factor in ("1", "1.2", "1.6", "2", "2.4", "3.2", "4", "6", "8", "10"):
        if magnitude * Decimal(factor) >= value:
            return (magnitude * Decimal(factor)).quantize(Decimal(1) if magnitude >= 10 else Decimal("0.01"))
    return magnitude * 10


def _y(value: Decimal, top: Decimal) -> str:
    return f"{100 - value / top * 100:.2f}"


def _levels(top: Decimal) -> tuple[Mark, ...]:
    return tuple(
        Mark(part=round(PARTS * index / 4), text=words.number(top * index / 4)) for index in range(5)
    )


def _line(steps: Iterable[Stretch], *, axis: Axis, top: Decimal) -> str:
    """Draw power as steps; it falls to zero only where there is none."""
    points = ["0,100"]
    end = 0
    for start, stop, kw in steps:
        first, length = axis.place(start, stop)
        level = _y(kw, top)
        if first > end:
            points += [f"{end},100", f"{first},100"]
        points += [f"{first},{level}", f"{first + length},{level}"]
        end = first + length
    return " ".join([*points, f"{end},100", f"{PARTS},100"])


def _ends(listed: Iterable[tuple[Decimal | None, str, str]], *, top: Decimal) -> tuple[Mark, ...]:
    """Label lines (value, name, class) at their end, moved apart where they would touch."""
    marks: list[Mark] = []
    lowest = PARTS
    known = [(value, name, css) for value, name, css in listed if value is not None]
    for value, name, css in sorted(known, key=lambda each: -each[0]):
        part = min(round(value / top * PARTS), lowest)
        marks.append(Mark(part=max(part, 0), text=f"{name} {words.power(value)}", css=css))
        lowest = part - 24
    return tuple(marks)
