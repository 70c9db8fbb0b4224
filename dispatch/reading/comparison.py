"""A plan before and after something that is only tried: figures, chart, events, devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from django.core.paginator import Page, Paginator

from dispatch.domain.comparing import Case, Comparison, EventChange, Fate, NotServed, watt_seconds
from dispatch.domain.events import Event, Window, to_kw
from dispatch.domain.programs import label_of
from dispatch.domain.sentences import short
from dispatch.models import DispatchEvent
from dispatch.preview import PlanPreview
from dispatch.reading import words
from dispatch.reading.axis import Axis, Tick
from dispatch.reading.case_lanes import CaseRow, case_rows
from dispatch.reading.chart import TwoPlans, build_two_plans, more_or_less
from dispatch.reading.looks import Look, State
from dispatch.reading.naming import owner_of, with_names

HOUR = timedelta(hours=1)
LONGEST_AXIS = timedelta(days=3)
CASES_ON_A_PAGE = 12
EVENTS_SHOWN = 30
WATT_SECONDS = 3_600_000  # in a kWh


@dataclass(frozen=True, slots=True)
class Figure:
    """A number before and after; `note` says what else there is to say."""

    label: str
    value: str
    note: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class EventRow:
    """What an event gets before and after; `what` becomes of the event itself, empty when it stays."""

    id: int
    look: Look
    name: str
    owner: str
    windows: tuple[str, ...]
    powers: tuple[str, ...]
    what: str
    before: str
    after: str
    shortfalls: tuple[str, str]
    is_worse: bool
    refusals: tuple[NotServed, ...]


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """All that the page shows of a comparison."""

    figures: tuple[Figure, ...]
    is_same: bool
    chart: TwoPlans
    events: tuple[EventRow, ...]
    other_events: int
    axis: Axis
    ticks: tuple[Tick, ...]
    midnights: tuple[int, ...]
    now: int | None
    cases: tuple[CaseRow, ...]
    page: Page[Case]
    unchanged: int


def read_comparison(result: PlanPreview, *, page: str, zone: tzinfo, now: datetime) -> BeforeAndAfter:
    """Put the comparison into words and shapes, one page of devices of it.

    Two queries, for the names of devices and of events.
    """
    comparison = result.comparison
    turned = [case for case in comparison.cases if case.is_changed or case.is_refusing]
    shown = Paginator(turned, CASES_ON_A_PAGE).get_page(page)
    axis = _axis(comparison, turned, zone=zone, now=now)
    ticks = axis.ticks(every=_every(axis))
    changed = [each for each in comparison.events if each.is_changed]
    return BeforeAndAfter(
        figures=_figures(result),
        is_same=not turned and not changed,
        chart=build_two_plans(
            axis=axis,
            ticks=ticks,
            stretches=[
                (each.window.start, each.window.end, to_kw(each.before), to_kw(each.after))
                for each in comparison.stretches
            ],
            now=now,
        ),
        events=_event_rows(changed[:EVENTS_SHOWN], zone=zone, now=now),
        other_events=len(comparison.events) - len(changed[:EVENTS_SHOWN]),
        axis=axis,
        ticks=ticks,
        midnights=axis.midnights(),
        now=axis.now(now),
        cases=case_rows(list(shown), result=result, axis=axis),
        page=shown,
        unchanged=_devices(comparison.cases) - _devices(turned),
    )


def _devices(cases: Iterable[Case]) -> int:
    return sum(len(case.device_ids) for case in cases)


def _axis(comparison: Comparison, turned: Sequence[Case], *, zone: tzinfo, now: datetime) -> Axis:
    """Show what changes with an hour on either side, three days at most; without any, twelve hours."""
    windows = [each.event.window for each in comparison.events if each.is_changed]
    windows += [
        Window(segment.start, segment.end)
        for case in turned
        for segment in {*case.before.segments}.symmetric_difference(case.after.segments)
    ]
    start = min((max(each.start, now) for each in windows), default=now)
    end = max((each.end for each in windows), default=now + 12 * HOUR)
    first = start.replace(minute=0, second=0, microsecond=0) - HOUR
    last = min(max(end, start + HOUR) + HOUR, first + LONGEST_AXIS)
    return Axis(start=first, end=first - -(last - first) // HOUR * HOUR, zone=zone)


def _every(axis: Axis) -> timedelta:
    hours = (axis.end - axis.start) / HOUR
    return next((step * HOUR for step in (1, 2, 3, 4, 6, 12) if hours / step <= 8), 24 * HOUR)


def _figures(result: PlanPreview) -> tuple[Figure, ...]:
    """Choose the numbers that decide."""
    comparison = result.comparison
    changing = _devices(case for case in comparison.cases if case.is_changed)
    peaks = [
        max((each.before for each in comparison.stretches), default=0),
        max((each.after for each in comparison.stretches), default=0),
    ]
    short_of = [
        sum(fate.shortfall_watts or 0 for fate in fates)
        for fates in zip(*((each.before, each.after) for each in comparison.events), strict=True)
    ] or [0, 0]
    return (
        Figure("Devices that change", f"{changing:,} of {_devices(comparison.cases):,}"),
        Figure("At the fullest", _step(*peaks), more_or_less(to_kw(peaks[1] - peaks[0]))),
        _energy(comparison),
        Figure("Commitments taken on", f"{comparison.gained:,}", _of_devices(comparison.gained)),
        Figure(
            "Commitments dropped",
            f"{comparison.dropped:,}",
            _of_devices(comparison.dropped),
            is_bad=bool(comparison.dropped),
        ),
        Figure("Short of what is asked", _step(*short_of), is_bad=short_of[1] > short_of[0]),
    )


def _of_devices(count: int) -> str:
    return "" if not count else "device" if count == 1 else "devices"


def _step(before: int, after: int) -> str:
    """Write watts before and after; once where they are the same."""
    if before == after:
        return words.power(to_kw(after))
    return f"{words.power(to_kw(before))} → {words.power(to_kw(after))}"


def _energy(comparison: Comparison) -> Figure:
    before, after = (
        Decimal(watt_seconds((each.window, watts) for each, watts in pairs)) / WATT_SECONDS
        for pairs in (
            [(each, each.before) for each in comparison.stretches],
            [(each, each.after) for each in comparison.stretches],
        )
    )
    more = round(after - before)
    note = f"{'+' if more > 0 else '−'}{words.energy(Decimal(abs(more)))}" if more else "the same"
    value = words.energy(after)
    return Figure("Energy to come", value if not more else f"{words.energy(before)} → {value}", note)


def _event_rows(changes: Sequence[EventChange], *, zone: tzinfo, now: datetime) -> tuple[EventRow, ...]:
    """Write the events that change; one query for the names of those that are stored."""
    stored = [each.event.event_id for each in changes if each.event.event_id > 0]
    owners = {row.pk: owner_of(row).name for row in with_names(DispatchEvent.objects.filter(pk__in=stored))}
    return tuple(_event_row(each, owners=owners, zone=zone, now=now) for each in changes)


def _event_row(change: EventChange, *, owners: Mapping[int, str], zone: tzinfo, now: datetime) -> EventRow:
    event = change.event
    told = [each for each in (change.was, change.becomes) if each]
    return EventRow(
        id=event.event_id,
        look=_look(event, is_gone=change.becomes is None, now=now),
        name=label_of(event.programs) or short(event.leap_event_id),
        owner=owners.get(event.event_id, ""),
        windows=tuple(
            dict.fromkeys(
                f"{words.day(each.window.start, zone=zone)}, "
                f"{words.window(each.window.start, each.window.end, zone=zone)}"
                for each in told
            )
        ),
        powers=tuple(dict.fromkeys(words.power(each.energy_kw) for each in told)),
        what=_what(change),
        before=_gets(change.before) if change.was else "–",
        after=_gets(change.after) if change.becomes else "–",
        shortfalls=(_short(change.before), _short(change.after)),
        is_worse=(change.after.shortfall_watts or 0) > (change.before.shortfall_watts or 0),
        refusals=tuple(each for each in change.after.refusals if each not in change.before.refusals),
    )


def _look(event: Event, *, is_gone: bool, now: datetime) -> Look:
    if is_gone:
        return Look(State.CANCELLED)
    if event.is_test:
        return Look(State.TEST)
    if event.window.start <= now:
        return Look(State.LIVE_VOLUNTARY if event.is_voluntary else State.LIVE)
    return Look(State.VOLUNTARY if event.is_voluntary else State.COMMITTED)


def _what(change: EventChange) -> str:
    """Say what becomes of the event itself."""
    if change.was is None:
        return "new"
    if change.becomes is None:
        return "no longer asked"
    return "" if change.was == change.becomes else "changed"


def _gets(fate: Fate) -> str:
    if not fate.devices:
        return "nothing"
    energy = words.energy(Decimal(fate.watt_seconds) / WATT_SECONDS)
    return f"{words.power(to_kw(fate.watts))}, {energy} of {words.counted(fate.devices, one='device')}"


def _short(fate: Fate) -> str:
    return words.power(to_kw(fate.shortfall_watts)) if fate.shortfall_watts else ""
