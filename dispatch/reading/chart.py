"""The power chart of an event: award, nomination and plan as steps. Pure geometry, in percent of the plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from dispatch.reading import words
from dispatch.reading.axis import PARTS, Axis, Tick
from dispatch.reading.final import Step

HEADROOM = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at a height: parts of 288 from the bottom, text, class."""

    part: int
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the plot draws, on a canvas of 288 by 100."""

    ticks: tuple[Tick, ...]
    levels: tuple[Mark, ...]
    ends: tuple[Mark, ...]
    window_x: int
    window_width: int
    award: str
    nomination: str
    plan: str
    now: int | None
    rows: tuple[tuple[str, str, str], ...]


def build_chart(
    *,
    axis: Axis,
    ticks: tuple[Tick, ...],
    start: datetime,
    end: datetime,
    award_kw: Decimal | None,
    nomination_kw: Decimal | None,
    steps: tuple[Step, ...],
    now: datetime,
) -> Chart:
    """Draw the lines; a maximum is drawn at rated power, as planned."""
    inside = [step for step in steps if step.start < axis.end and step.end > axis.start]
    known = [value for value in (award_kw, nomination_kw, *(step.kw for step in inside)) if value]
    top = nice_top(max(known, default=Decimal(1)) * HEADROOM)
    x, width = axis.place(start, end)
    return Chart(
        ticks=ticks,
        levels=tuple(
            Mark(part=round(PARTS * index / 4), text=words.number(top * index / 4)) for index in range(5)
        ),
        ends=_ends(award_kw, nomination_kw, inside, top=top),
        window_x=x,
        window_width=width,
        award=_box(x, width, award_kw, top=top),
        nomination=_box(x, width, nomination_kw, top=top),
        plan=_line(inside, axis=axis, top=top),
        now=axis.now(now),
        rows=tuple(
            (
                words.window(step.start, step.end, zone=axis.zone),
                words.power(step.kw),
                f"{step.confirmed:,} of {step.devices:,}",
            )
            for step in inside
        ),
    )


def nice_top(value: Decimal) -> Decimal:
    """Round up to a scale that people can divide by four.

    >>> nice_top(Decimal(3850)), nice_top(Decimal(9))
    (Decimal('4000'), Decimal('10'))
    """
    magnitude = Decimal(10) ** value.adjusted()
    for factor in ("1", "1.2", "1.6", "2", "2.4", "3.2", "4", "6", "8", "10"):
        if magnitude * Decimal(factor) >= value:
            return (magnitude * Decimal(factor)).quantize(Decimal(1) if magnitude >= 10 else Decimal("0.01"))
    return magnitude * 10


def _y(value: Decimal, top: Decimal) -> str:
    return f"{100 - value / top * 100:.2f}"


def _box(x: int, width: int, value: Decimal | None, *, top: Decimal) -> str:
    """Draw a constant power from zero up, along and down again; nothing for a maximum."""
    if value is None:
        return ""
    level = _y(value, top)
    return f"{x},100 {x},{level} {x + width},{level} {x + width},100"


def _line(steps: Iterable[Step], *, axis: Axis, top: Decimal) -> str:
    """Draw the plan as steps; it falls to zero only where nothing is planned."""
    points = ["0,100"]
    end = 0
    for step in steps:
        first, length = axis.place(step.start, step.end)
        level = _y(step.kw, top)
        if first > end:
            points += [f"{end},100", f"{first},100"]
        points += [f"{first},{level}", f"{first + length},{level}"]
        end = first + length
    return " ".join([*points, f"{end},100", f"{PARTS},100"])


def _ends(
    award_kw: Decimal | None, nomination_kw: Decimal | None, steps: list[Step], *, top: Decimal
) -> tuple[Mark, ...]:
    """Label the lines at their end, moved apart where they would touch."""
    highest = max((step.kw for step in steps), default=None)
    wanted = [
        (award_kw, "Award", "is-award"),
        (nomination_kw, "Nominated", "is-award"),
        (highest, "Plan", "is-plan"),
    ]
    marks: list[Mark] = []
    lowest = PARTS
    listed = sorted(((v, n, c) for v, n, c in wanted if v is not None), key=lambda each: -each[0])
    for value, name, css in listed:
        part = min(round(value / top * PARTS), lowest)
        marks.append(Mark(part=max(part, 0), text=f"{name} {words.power(value)}", css=css))
        lowest = part - 24
    return tuple(marks)
