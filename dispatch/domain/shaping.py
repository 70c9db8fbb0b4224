"""How a run begins and ends: pre-conditioning before it, a ramp into it, recovery after it.

A run is what a device does without a rest; shaping changes nothing of it. What is near a run belongs to it:

- Pre-conditioning ends where the run begins. It begins no earlier than the run before has ended, than a
  blackout is over, than a person's hold is, and never in the past: what is under way keeps its beginning.
- The ramp is no longer than the run.
- Recovery begins where the run ends, and is cut off by the next run's pre-conditioning, by the next run, or
  by a person's hold, which means back to normal at once. Blackouts do not cut it: it is the way back.

Hours a day, longest run, rest and events a day count runs alone, not what is before and after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from dispatch.domain.events import Window
from dispatch.domain.limiting import windows_of
from dispatch.domain.terms import Hours, Past, Shape


@dataclass(frozen=True, slots=True)
class Run:
    """A window in which the device runs without a rest.

    `quiet_before`, `quiet_after`: when a person keeps it from what the run begins with, and ends with.
    """

    window: Window
    quiet_before: tuple[Window, ...] = ()
    quiet_after: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Shaped:
    """What a run got; None where it got none."""

    precondition_from: datetime | None = None
    ramp_seconds: int | None = None
    recover_until: datetime | None = None


def shape_runs(
    runs: Sequence[Run],
    *,
    shape: Shape,
    past: Past,
    blackouts: Iterable[Hours] = (),
    zone: str,
    now: datetime,
) -> list[Shaped]:
    """Return what each run gets, runs being in order and apart."""
    if not runs:
        return []
    span = Window(runs[0].window.start - shape.precondition, runs[-1].window.end)
    dark = windows_of(blackouts, span=span, zone=ZoneInfo(zone))
    begins = []
    earlier_end = None
    for run in runs:
        quiet = [*dark, *run.quiet_before]
        begins.append(_begin(run, shape=shape, quiet=quiet, after=earlier_end, past=past, now=now))
        earlier_end = run.window.end
    nexts = [*begins[1:], None]
    return [
        Shaped(
            precondition_from=begin if begin < run.window.start else None,
            ramp_seconds=_ramp(run, shape=shape),
            recover_until=_recovered(run, shape=shape, before=then, past=past, now=now),
        )
        for run, begin, then in zip(runs, begins, nexts, strict=True)
    ]


def _begin(
    run: Run,
    *,
    shape: Shape,
    quiet: Iterable[Window],
    after: datetime | None,
    past: Past,
    now: datetime,
) -> datetime:
    """Return from when on the device prepares; the run's start where it does not."""
    start = run.window.start
    begin = start - shape.precondition
    bounds = [window.end for window in quiet if window.start < start and window.end > begin]
    if after:
        bounds.append(after)
    if begin < now:
        bounds.append(_under_way_since(past.prepared, min(start, now), now=now))
    return min(max([begin, *bounds]), start)


def _under_way_since(prepared: Iterable[Window], until: datetime, *, now: datetime) -> datetime:
    """Return since when the device prepared up to a time that is not to come; now where it did not."""
    return next((window.start for window in prepared if window.end == until), now)


def _ramp(run: Run, *, shape: Shape) -> int | None:
    length = run.window.end - run.window.start
    return int(min(shape.ramp, length).total_seconds()) or None


def _recovered(
    run: Run, *, shape: Shape, before: datetime | None, past: Past, now: datetime
) -> datetime | None:
    """Return until when the device recovers: after a run that is over only if it did not rest since."""
    end = run.window.end
    if end < now and not any(window.start <= end and window.end == now for window in past.moved):
        return None
    bounds = [end + shape.recovery]
    bounds += [max(window.start, end) for window in run.quiet_after if window.end > end]
    if before:
        bounds.append(before)
    until = min(bounds)
    return until if until > end else None
