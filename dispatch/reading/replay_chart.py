"""The chart of a replay: energy a day, before and after, as bars. Pure geometry on a canvas of 288 by 100."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from dispatch.reading import words
from dispatch.reading.axis import PARTS
from dispatch.reading.chart import HEADROOM, Mark, nice_top

MOST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, as the canvas has it."""

    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class DayChart:
    """Bars of every day in a row; `unit` is what the levels count."""

    unit: str
    levels: tuple[Mark, ...]
    before: tuple[Bar, ...]
    after: tuple[Bar, ...]
    ticks: tuple[Mark, ...]


def build_day_chart(days: Sequence[Mapping[str, Any]], *, first: date, last: date) -> DayChart:
    """Draw the days from the first to the last, those without anything too."""
    by_date = {date.fromisoformat(day["date"]): day for day in days}
    first, last = min([first, *by_date]), max([last, *by_date])
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    sides = {side: [_kwh(by_date.get(day), side) for day in every] for side in ("before", "after")}
    highest = max(*sides["before"], *sides["after"], Decimal(1))
    top = nice_top(highest * HEADROOM)
    is_large = top >= 10_000
    slot = Decimal(PARTS) / len(every)
    return DayChart(
        unit="MWh" if is_large else "kWh",
        levels=tuple(
            Mark(round(PARTS * index / 4), words.number(top * index / (4000 if is_large else 4)))
            for index in range(5)
        ),
        before=_bars(sides["before"], slot=slot, shift=Decimal("0.12"), top=top),
        after=_bars(sides["after"], slot=slot, shift=Decimal("0.50"), top=top),
        ticks=tuple(
            Mark(round(slot * (index + Decimal("0.5"))), f"{day.day} {day:%b}")
            for index, day in enumerate(every)
            if index % -(-len(every) // MOST_LABELS) == 0
        ),
    )


def _kwh(day: Mapping[str, Any] | None, side: str) -> Decimal:
    return Decimal(str(day[side]["delivered_kwh"])) if day else Decimal(0)


def _bars(values: Sequence[Decimal], *, slot: Decimal, shift: Decimal, top: Decimal) -> tuple[Bar, ...]:
    """Draw a bar for each day that has something, a little under half a slot wide."""
    return tuple(
        Bar(
            x=f"{slot * (index + shift):.2f}",
            y=f"{100 - value / top * 100:.2f}",
            width=f"{slot * Decimal('0.36'):.2f}",
            height=f"{value / top * 100:.2f}",
        )
        for index, value in enumerate(values)
        if value
    )
