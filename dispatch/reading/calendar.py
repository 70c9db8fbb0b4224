"""The calendar's read: what the address asks for, and the month, week or day that answers it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from dispatch.reading import words
from dispatch.reading.axis import clock_note, midnight
from dispatch.reading.final import peak, read_around, read_final
from dispatch.reading.grids import MonthDay, Seen, Week, day_of, month_of, week_of
from dispatch.reading.lanes import Lanes
from dispatch.reading.looks import State
from dispatch.reading.participation import IdleSpan, idle_spans
from dispatch.reading.requests import Request, events_between, read_requests

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: view, day, zone and filters."""

    view: str
    day: date
    program: str
    group: str
    cancelled: bool
    tests: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters offer."""

    programs: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    """All that the page shows; of month, week and day the one that was asked for."""

    asked: Asked
    title: str
    summary: str
    previous: date
    following: date
    choices: Choices
    month: tuple[tuple[MonthDay, ...], ...] = ()
    week: Week | None = None
    day: Lanes | None = None
    note: str = ""
    idle: tuple[IdleSpan, ...] = ()


def read_calendar(*, asked: Asked, zone: tzinfo, now: datetime) -> Calendar:
    """Read the view asked for. A constant number of queries."""
    first, days = _extent(asked)
    start, end = midnight(first, zone=zone), midnight(first + days * DAY, zone=zone)
    everything = read_requests(events_between(start, end), now=now, zone=zone)
    requests = tuple(each for each in everything if _is_wanted(each, asked))
    # A month shows no lanes, and its segments are many: what is asked stands for what is done.
    rows = None if asked.view == "month" else read_final(start=start, end=end)
    around = read_around(start=start, end=end) if asked.view == "day" else ()
    seen = Seen(requests=requests, rows=rows, around=around, first=first, days=days, zone=zone, now=now)
    return Calendar(
        asked=asked,
        title=_title(asked, first),
        summary=_summary(seen, asked=asked, start=start, end=end),
        previous=_step(asked, -1),
        following=_step(asked, 1),
        choices=_choices(everything),
        month=month_of(seen, month=asked.day.month) if asked.view == "month" else (),
        week=week_of(seen) if asked.view == "week" else None,
        day=day_of(seen) if asked.view == "day" else None,
        note=clock_note(asked.day, zone=zone) if asked.view == "day" else "",
        idle=idle_spans(first=first, days=days),
    )


def _extent(asked: Asked) -> tuple[date, int]:
    """Give the first day shown and how many; weeks begin on Sunday, months show whole weeks."""
    if asked.view == "day":
        return asked.day, 1
    anchor = asked.day.replace(day=1) if asked.view == "month" else asked.day
    first = anchor - (anchor.isoweekday() % 7) * DAY
    if asked.view == "week":
        return first, 7
    last = _next_month(anchor) - DAY
    return first, ((last - first).days // 7 + 1) * 7


def _next_month(day: date) -> date:
    return (day.replace(day=1) + 32 * DAY).replace(day=1)


def _step(asked: Asked, way: int) -> date:
    if asked.view == "month":
        first = asked.day.replace(day=1)
        return _next_month(first) if way > 0 else (first - DAY).replace(day=1)
    return asked.day + way * (7 if asked.view == "week" else 1) * DAY


def _title(asked: Asked, first: date) -> str:
    if asked.view == "month":
        return f"{asked.day:%B %Y}"
    if asked.view == "day":
        return f"{asked.day:%A} {asked.day.day} {asked.day:%B %Y}"
    last = first + 6 * DAY
    if first.month == last.month:
        return f"{first.day}–{last.day} {last:%B %Y}"
    return f"{first.day} {first:%b} – {last.day} {last:%b %Y}"


def _is_wanted(request: Request, asked: Asked) -> bool:
    """Keep a request that the filters let through."""
    if asked.program and asked.program not in request.program.split(" + "):
        return False
    if asked.group and request.owner.key != asked.group:
        return False
    if request.look.state is State.CANCELLED and not asked.cancelled:
        return False
    return asked.tests or not request.is_test


def _choices(requests: Iterable[Request]) -> Choices:
    programs = {name for each in requests for name in each.program.split(" + ")}
    groups = {(each.owner.name, each.owner.key) for each in requests}
    return Choices(
        programs=tuple(sorted(programs)),
        groups=tuple((key, name) for name, key in sorted(groups)),
    )


def _summary(seen: Seen, *, asked: Asked, start: datetime, end: datetime) -> str:
    """Say in a line how much there is."""
    if not seen.requests:
        return "no requests"
    owners = len({each.owner.key for each in seen.requests})
    text = [words.counted(len(seen.requests), one="request"), words.counted(owners, one="group")]
    highest = peak(seen.steps, start=start, end=end)
    if highest and highest.kw:
        at = words.clock(max(highest.start, start), zone=seen.zone)
        day = "" if asked.view == "day" else f"{words.day(highest.start, zone=seen.zone)} "
        text.append(f"peak {words.power(highest.kw)} at {day}{at}")
    return ", ".join(text)
