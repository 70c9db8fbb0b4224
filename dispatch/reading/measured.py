"""What devices measured beside what they were to do: a device's power, what an event's devices delivered.

A device is drawn as it is: what it takes lies above zero, what it gives below, and its plan is the power that
the plan means. An event is drawn as Leap counts it: what is delivered lies above zero
(`devices.domain.delivered`). A constant number of queries each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import F, QuerySet, TextField
from django.db.models.functions import Cast

from devices.domain.delivered import BEFORE, Measured, baseline_kw, delivered_kw, power_for
from devices.domain.intervals import QUARTER, Energy
from devices.domain.proving import TOLERANCE, tolerance
from devices.domain.schedule import Mode
from devices.models import Device, SegmentMode
from devices.queries import segments_in_effect
from devices.telemetry_models import PowerInterval
from dispatch.models import DispatchEvent
from dispatch.reading import words
from dispatch.reading.final import read_final, steps_for
from dispatch.reading.fleets import devices_behind
from dispatch.reading.plot import Line, Plot, Stretch

HOUR: Final = timedelta(hours=1)
SHOWN_BEFORE: Final = 24 * HOUR
SHOWN_AFTER: Final = 6 * HOUR
IN_MINUTES_FOR: Final = 8 * HOUR
"""Longer windows are drawn in quarters of an hour."""
MOST_MINUTES: Final = 20_000
"""As many rows are read at most to draw minutes."""
MINUTE: Final = timedelta(minutes=1)
_MIDNIGHT: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Power:
    """A plot, the same in numbers, and what must be known to read it; `plot` None: nothing to draw."""

    plot: Plot | None
    headline: str = ""
    notes: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


class _Segment(NamedTuple):
    device_id: int
    began: datetime
    stopped: datetime
    mode: str
    precondition_from: datetime | None
    target_kw: Decimal | None
    rated_kw: Decimal
    leap_event_ids: list[str]


@dataclass(frozen=True, slots=True)
class _Run:
    """Segments of a device that touch; `begins_at` with its pre-conditioning."""

    begins_at: datetime
    ends_at: datetime
    segments: tuple[_Segment, ...]
    baseline_kw: Decimal | None


def read_device_power(device_id: int, *, now: datetime, zone: tzinfo) -> Power:
    """Read the last day of a device and what comes in the next hours.

    Raises:
        Device.DoesNotExist: there is no such device.
    """
    device = Device.objects.get(pk=device_id)
    start, end = _floor(now) - SHOWN_BEFORE, _floor(now) + SHOWN_AFTER
    segments = _segments(Device.objects.filter(pk=device.pk).values("pk"), start=start, end=end)
    measured = _measured([device.pk], start=start, end=end, minutes=QUARTER)[device.pk]
    shown = [one for one in measured if one.start >= start]
    if not shown:
        return Power(None)
    runs = _runs(segments, measured=measured, minutes=QUARTER)
    start = max(start, min(_floor(shown[0].start), _floor(now) - SHOWN_AFTER))
    actual = _stretches((one, one.energy.mean_kw) for one in shown)
    plan = tuple(
        (segment.began, segment.stopped, kw)
        for run in runs
        for segment in run.segments
        if (kw := _planned_power(segment, run)) is not None
    )
    return Power(
        plot=Plot(
            start=start,
            end=end,
            zone=zone,
            lines=(Line("plan", "Plan", "", plan), Line("actual", "Actual", _power(actual[-1][2]), actual)),
            shaded=tuple((run.begins_at, run.ends_at) for run in runs if run.ends_at > start),
            now=now,
        ),
        notes=_device_notes(runs),
        headings=("Window", "Plan", "Actual", "Energy", "Measured"),
        rows=tuple(
            (
                f"{words.day(one.start, zone=zone)}, {words.window(one.start, one.end, zone=zone)}",
                _power(_at(plan, one.start)),
                _power(one.energy.mean_kw),
                f"{one.energy.kwh:.3f} kWh".replace("-", "−"),
                f"{one.energy.covered_milliseconds / 9_000:.0f} %",
            )
            for one in reversed(shown)
        ),
    )


def read_event_power(event_id: int, *, now: datetime, zone: tzinfo) -> Power:
    """Read what an event asks, what is planned for it and, once it begins, what its devices deliver.

    Raises:
        DispatchEvent.DoesNotExist: there is no such event.
    """
    event = DispatchEvent.objects.get(pk=event_id)
    start, end = _floor(event.starts_at) - HOUR, _ceil(event.ends_at) + HOUR
    devices = devices_behind(event.recipients_id)
    steps = steps_for(read_final(start=start, end=end, device_ids=devices))
    plan = tuple((max(step.start, start), min(step.end, end), step.kw) for step in steps)
    found = _read_delivered(event, devices=devices, start=start, end=end, now=now)
    is_live = event.starts_at <= now < event.ends_at
    figure = found.latest_kw if is_live else found.mean_kw
    asked, nominated = event.energy_kw, event.nomination_kw
    plot = Plot(
        start=start,
        end=end,
        zone=zone,
        lines=(
            Line("plan", "Plan", _power(max((kw for _, _, kw in plan), default=None)), plan, falls=True),
            Line("nomination", "Nominated", _power(nominated), _whole(event, nominated), falls=True),
            Line("award", "Award", _power(asked), _whole(event, asked), falls=True),
            Line("actual", "Delivered", _power(figure), found.steps),
        ),
        shaded=((event.starts_at, event.ends_at),),
        now=now,
        is_live=is_live,
        band=None if asked is None else (asked - tolerance(asked), asked + tolerance(asked)),
    )
    band = () if asked is None else (f"The band is {TOLERANCE:.0%} around the award.".replace("%", " %"),)
    if not found.steps:
        return Power(
            plot,
            headline="" if now < event.starts_at else "nothing measured",
            notes=band,
            headings=("Window", "Plan", "Devices confirmed"),
            rows=tuple(
                (
                    words.window(step.start, step.end, zone=zone),
                    words.power(step.kw),
                    f"{step.confirmed:,} of {step.devices:,}",
                )
                for step in steps
            ),
        )
    return Power(
        plot,
        headline=_headline(found, is_live=is_live),
        notes=(*found.notes, *band),
        headings=("Window", "Plan", "Delivered", "Devices counted"),
        rows=tuple(
            (
                words.window(at, until, zone=zone),
                _power(_at(plan, at)),
                _power(kw),
                f"{found.counted[at]:,} of {found.devices:,}",
            )
            for at, until, kw in found.steps
        ),
    )


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What an event's devices deliver by interval, of how many of them it can be told."""

    steps: tuple[Stretch, ...] = ()
    counted: Mapping[datetime, int] = field(default_factory=dict)
    devices: int = 0
    latest_kw: Decimal | None = None
    mean_kw: Decimal | None = None
    notes: tuple[str, ...] = ()


def _read_delivered(
    event: DispatchEvent, *, devices: QuerySet[Any], start: datetime, end: datetime, now: datetime
) -> _Delivered:
    if now < event.starts_at:
        return _Delivered()
    segments = [
        one for one in _segments(devices, start=start, end=end) if event.leap_event_id in one.leap_event_ids
    ]
    if not segments:
        return _Delivered()
    by_device: dict[int, list[_Segment]] = defaultdict(list)
    for segment in segments:
        by_device[segment.device_id].append(segment)
    minutes = _length(start, end, devices=len(by_device), now=now)
    earliest = min(start, *(one.precondition_from or one.began for one in segments))
    measured = _measured(by_device, start=earliest, end=end, minutes=minutes)
    delivered, counted = _delivered(by_device, measured=measured, minutes=minutes, start=start)
    length = timedelta(minutes=minutes)
    steps = tuple((at, at + length, kw) for at, kw in sorted(delivered.items()))
    within = [(at, kw) for at, _, kw in steps if event.starts_at <= at < event.ends_at]
    # The newest interval may still miss devices that are yet to report: the fullest of the last few counts.
    newest = max(within[-3:], key=lambda pair: (counted[pair[0]], pair[0]), default=None)
    return _Delivered(
        steps=steps,
        counted=counted,
        devices=len(by_device),
        latest_kw=newest[1] if newest else None,
        mean_kw=_mean(kw for _, kw in within),
        notes=_event_notes(segments, devices=len(by_device), counted=counted),
    )


def _headline(found: _Delivered, *, is_live: bool) -> str:
    if found.mean_kw is None:
        return "nothing measured in the event itself"
    mean = f"{_power(found.mean_kw)} delivered on average"
    return f"{_power(found.latest_kw)} delivered now, {_power(found.mean_kw)} on average" if is_live else mean


def _whole(event: DispatchEvent, kw: Decimal | None) -> tuple[Stretch, ...]:
    return () if kw is None else ((event.starts_at, event.ends_at, kw),)


def _segments(devices: QuerySet[Any], *, start: datetime, end: datetime) -> list[_Segment]:
    """Read what devices were to do in `[start, end)`, each version as far as it was in effect. One query."""
    found = segments_in_effect(start=start, end=end).filter(device_id__in=devices)
    found = found.annotate(rated_kw=F("device__rated_power_kw")).order_by("device_id", "began")
    return [_Segment(*row) for row in found.values_list(*_Segment._fields)]


def _measured(
    devices: Iterable[int], *, start: datetime, end: datetime, minutes: int
) -> dict[int, list[Measured]]:
    """Read intervals from what the usual power before `start` needs. One query."""
    rows = PowerInterval.objects.filter(
        device_id__in=list(devices),
        minutes=minutes,
        starts_at__gte=start - 2 * BEFORE,
        starts_at__lt=end,
        covered_milliseconds__gt=0,
    )
    found: dict[int, list[Measured]] = defaultdict(list)
    windows: dict[str, tuple[datetime, datetime]] = {}
    # Times as text, as many rows share them: to make each anew takes longer than all else.
    columns = ("device_id", "at", "watt_milliseconds", "covered_milliseconds")
    listed = rows.annotate(at=Cast("starts_at", TextField())).order_by("starts_at").values_list(*columns)
    for device_id, at, watt_milliseconds, covered in listed:
        if at not in windows:
            windows[at] = _window(at, minutes=minutes)
        found[device_id].append(Measured(*windows[at], Energy(watt_milliseconds, covered)))
    return found


def _window(text: str, *, minutes: int) -> tuple[datetime, datetime]:
    at = datetime.fromisoformat(text)
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)  # SQLite keeps UTC without saying so
    return at, at + timedelta(minutes=minutes)


def _length(start: datetime, end: datetime, *, devices: int, now: datetime) -> int:
    """Return in how long intervals a window is drawn, in minutes."""
    is_short = end - start <= IN_MINUTES_FOR and devices * ((end - start) / MINUTE) <= MOST_MINUTES
    is_kept = start > now - timedelta(days=settings.MINUTES_KEPT_DAYS)
    return 1 if is_short and is_kept else QUARTER


def _runs(segments: Sequence[_Segment], *, measured: Sequence[Measured], minutes: int) -> tuple[_Run, ...]:
    """Gather a device's segments that touch, with its usual power before each run."""
    groups: list[list[_Segment]] = []
    for segment in segments:
        if groups and groups[-1][-1].stopped >= segment.began:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    runs = []
    for group in groups:
        begins_at = min(group[0].precondition_from or group[0].began, group[0].began)
        # Intervals count whole: of quarters of an hour the one that was over when the run began.
        over = begins_at - (begins_at - _MIDNIGHT) % timedelta(minutes=minutes)
        usual = baseline_kw(measured, begins_at=over)
        runs.append(_Run(begins_at, group[-1].stopped, tuple(group), usual))
    return tuple(runs)


def _delivered(
    by_device: Mapping[int, Sequence[_Segment]],
    *,
    measured: Mapping[int, Sequence[Measured]],
    minutes: int,
    start: datetime,
) -> tuple[dict[datetime, Decimal], dict[datetime, int]]:
    """Sum what can be told of each device by interval, and count the devices that it can be told of."""
    total: dict[datetime, Decimal] = defaultdict(Decimal)
    counted: dict[datetime, int] = defaultdict(int)
    for device_id, segments in by_device.items():
        mine = measured.get(device_id, ())
        runs = _runs(segments, measured=mine, minutes=minutes)
        for one in mine:
            if one.start < start:
                continue
            run = next((each for each in reversed(runs) if each.begins_at <= one.start), runs[0])
            mode = Mode(run.segments[0].mode)
            kw = delivered_kw(one.energy.mean_kw, mode=mode, baseline_kw=run.baseline_kw)
            if kw is not None:
                total[one.start] += kw
                counted[one.start] += 1
    return total, counted


def _planned_power(segment: _Segment, run: _Run) -> Decimal | None:
    """Return the power that a segment means for its device; None where it cannot be told."""
    mode = Mode(segment.mode)
    if segment.target_kw is None and mode is Mode.CURTAIL:
        return None
    target = segment.rated_kw if segment.target_kw is None else segment.target_kw
    return power_for(target, mode=mode, baseline_kw=run.baseline_kw)


def _device_notes(runs: Sequence[_Run]) -> tuple[str, ...]:
    notes = ["Above zero the device takes power, below it gives."]
    if any(segment.mode == SegmentMode.CURTAIL for run in runs for segment in run.segments):
        notes.append("A load’s plan is drawn from its mean power in the quarter of an hour before the run.")
    return tuple(notes)


def _event_notes(
    segments: Sequence[_Segment], *, devices: int, counted: Mapping[datetime, int]
) -> tuple[str, ...]:
    notes = []
    if any(segment.mode != SegmentMode.CURTAIL for segment in segments):
        notes.append("Storage delivers what it gives.")
    if any(segment.mode == SegmentMode.CURTAIL for segment in segments):
        notes.append(
            "A load delivers what it takes less than in the quarter of an hour before its run; "
            "the settlement’s baseline may be another."
        )
    most = max(counted.values(), default=0)
    if most < devices:
        notes.append(f"{devices - most:,} of {devices:,} devices are not counted: too little is measured.")
    return tuple(notes)


def _stretches(measured: Iterable[tuple[Measured, Decimal | None]]) -> tuple[Stretch, ...]:
    return tuple((one.start, one.end, kw) for one, kw in measured if kw is not None)


def _at(stretches: Iterable[Stretch], at: datetime) -> Decimal | None:
    return next((kw for start, end, kw in stretches if start <= at < end), None)


def _mean(values: Iterable[Decimal]) -> Decimal | None:
    listed = list(values)
    return sum(listed, Decimal(0)) / len(listed) if listed else None


def _power(kw: Decimal | None) -> str:
    return "" if kw is None else words.power(kw).replace("-", "−")


def _floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _ceil(at: datetime) -> datetime:
    return at if _floor(at) == at else _floor(at) + HOUR
