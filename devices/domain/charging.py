"""A schedule as a charger can hold it: windows with a most power, and whether what it says agrees.

Power is kW taken from the grid, times are UTC, windows are half-open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from devices.domain.schedule import ScheduleMessage, SegmentMessage
from devices.domain.wording import clock

WITHOUT_EFFECT: Final = "idle"
GIVING_BACK: Final = frozenset({"discharge", "export"})
NEAR_KW: Final = 0.15
NEAR_PART: Final = 0.02
"""A charger that counts in whole amperes rounds by up to 0.12 kW a phase of 230 V."""
ROUNDED: Final = timedelta(seconds=2)
"""Chargers count whole seconds from a start of their own."""
FREE_PART: Final = 0.9
"""A charger without a limit names what its fuse or its cable lets through, near its rated power."""


class CannotCharge(ValueError):
    """A charger cannot do what the schedule asks; the message is a sentence for operators."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit_kw` in `[start, end)`."""

    start: datetime
    end: datetime
    limit_kw: float


@dataclass(frozen=True, slots=True)
class Composite:
    """What a charger says it will do from `start` for `seconds`: `(offset in seconds, most kW)` each."""

    start: datetime
    seconds: float
    periods: tuple[tuple[float, float], ...]


def windows_of(
    message: ScheduleMessage, *, rated_kw: float, least_kw: float, now: datetime
) -> tuple[Window, ...]:
    """Return the windows in which the charger takes less than it might; none: back to normal.

    To curtail by 3 kW is to take 3 kW less than rated; the maximum is to take `least_kw`, below which no
    limit goes. What is past is left out as long as something is left; so a charger's few periods do.

    Raises:
        CannotCharge: it is asked to give back.
    """
    segments = [each for each in message["segments"] if each["mode"] != WITHOUT_EFFECT]
    ahead = [each for each in segments if datetime.fromisoformat(each["end"]) > now]
    for each in ahead:
        if each["mode"] in GIVING_BACK:
            raise CannotCharge(
                f"The schedule asks the charger to {each['mode']}; OCPP 1.6 and 2.0.1 know no way to give"
                " power back. Let its meter be curtailed only."
            )
    return tuple(_window(each, rated_kw=rated_kw, least_kw=least_kw) for each in ahead or segments)


def _window(segment: SegmentMessage, *, rated_kw: float, least_kw: float) -> Window:
    target = segment["target_kw"]
    wanted = 0.0 if target is None else rated_kw - target
    return Window(
        start=datetime.fromisoformat(segment["start"]),
        end=datetime.fromisoformat(segment["end"]),
        limit_kw=round(min(max(wanted, least_kw, 0.0), max(rated_kw, 0.0)), 3),
    )


def periods_of(windows: Sequence[Window], *, rated_kw: float) -> list[tuple[int, float]]:
    """Return `(seconds from the first start, most kW)`; between windows the rated power is free.

    >>> from datetime import UTC
    >>> at = lambda hour: datetime(2026, 7, 14, hour, tzinfo=UTC)
    >>> periods_of([Window(at(1), at(2), 4.0), Window(at(3), at(4), 0.0)], rated_kw=7.0)
    [(0, 4.0), (3600, 7.0), (7200, 0.0)]
    """
    found: list[tuple[int, float]] = []
    free_from = windows[0].start
    for window in windows:
        if window.start > free_from:
            found.append((_seconds(windows, free_from), rated_kw))
        found.append((_seconds(windows, window.start), window.limit_kw))
        free_from = window.end
    return found


def _seconds(windows: Sequence[Window], moment: datetime) -> int:
    return int((moment - windows[0].start).total_seconds())


def in_amperes(kilowatts: float, *, volts: int, phases: int) -> float:
    """Return the current of each phase, cut to a tenth so that it is never more than asked.

    >>> in_amperes(11, volts=230, phases=3)
    15.9
    """
    return int(kilowatts * 10_000 / (volts * phases) + 1e-6) / 10


def in_kilowatts(amperes: float, *, volts: int, phases: int) -> float:
    """Return the power of a current in each phase."""
    return amperes * volts * phases / 1000


def disagreement(windows: Sequence[Window], said: Composite, *, rated_kw: float, now: datetime) -> str:
    """Return what a charger says that is not what it was told, "" if all it says agrees.

    Compared from now to the end of what it says; without windows it must say nothing that holds it back.
    """
    pieces = _pieces(said)
    if not windows:
        held = [limit for start, end, limit in pieces if end > now and limit < FREE_PART * rated_kw]
        return f"it still keeps to {_kw(min(held))}" if held else ""
    for window in windows:
        start, end = max(window.start, now, said.start), min(window.end, _end(said))
        if end - start <= ROUNDED:
            continue
        seen = [limit for begins, ends, limit in pieces if min(end, ends) - max(start, begins) > ROUNDED]
        if not seen:
            return f"it names no limit from {start:%H:%M} to {clock(end)}"
        wrong = [limit for limit in seen if not _is_near(limit, window.limit_kw)]
        if wrong:
            told = f"was told {_kw(window.limit_kw)} from {start:%H:%M} to {clock(end)}"
            return f"it {told} and says {_kw(wrong[0])}"
    return ""


def proof_of(windows: Sequence[Window], said: Composite, *, now: datetime) -> str:
    """Return in words what a charger that agrees was found to hold; "" if what it said is about no window."""
    if not windows:
        return f"Asked, the charger named no limit until {_end(said):%Y-%m-%d %H:%M} UTC."
    told = [
        f"{_kw(window.limit_kw)} {window.start:%H:%M}–{window.end:%H:%M}"
        for window in windows
        if min(window.end, _end(said)) - max(window.start, now, said.start) > ROUNDED
    ]
    return f"Asked, the charger said: at most {', '.join(told)} UTC." if told else ""


def _pieces(said: Composite) -> list[tuple[datetime, datetime, float]]:
    begins = [said.start + timedelta(seconds=offset) for offset, _ in said.periods]
    ends = [*begins[1:], _end(said)]
    limits = [limit for _, limit in said.periods]
    return list(zip(begins, ends, limits, strict=True))


def _end(said: Composite) -> datetime:
    return said.start + timedelta(seconds=said.seconds)


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= max(NEAR_KW, NEAR_PART * other)


def _kw(power: float) -> str:
    return f"{power:.3f}".rstrip("0").rstrip(".") + " kW"
