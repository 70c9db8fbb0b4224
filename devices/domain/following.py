"""What a simulated device does of its schedule at a moment, honest or faulty. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

WEAK_SHARE: Final = 0.6
SOMEBODY_AFTER: Final = timedelta(minutes=5)
"""How long a run lasts, if that is not more than a third of it, until somebody else puts the device back."""
GRADUAL: Final = timedelta(seconds=10)
"""A ramp or a recovery goes in steps of this."""


class Fault(StrEnum):
    """What is wrong with a simulated device. The first four keep schedules from it, the others it takes."""

    SILENT = "SILENT"
    REJECT = "REJECT"
    ERROR = "ERROR"
    OFFLINE = "OFFLINE"
    LIES = "LIES"
    WEAK = "WEAK"
    STUCK = "STUCK"
    SOMEBODY_ELSE = "SOMEBODY_ELSE"


@dataclass(frozen=True, slots=True)
class Doing:
    """What is asked of a device at a moment; `target_kw` None is the maximum.

    `mode`: normal, prepare, curtail, discharge, export or idle. `share`: how much of it, from 0 to 1, while
    it ramps or recovers. `is_gradual`: that changes by and by. `since`: when the run began, as planned.
    """

    mode: str = "normal"
    target_kw: float | None = None
    share: float = 1.0
    is_gradual: bool = False
    since: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Say whether a segment is being done."""
        return self.mode not in {"normal", "prepare"}


NORMAL: Final = Doing()


@dataclass(frozen=True, slots=True)
class _Task:
    """One segment, with the begin and `[ramps_from, full_at)` of the run it is in."""

    prepares_from: datetime
    run_from: datetime
    start: datetime
    end: datetime
    recovered_at: datetime
    ramps_from: datetime
    full_at: datetime
    mode: str
    target_kw: float | None


@dataclass(frozen=True, slots=True)
class Orders:
    """The schedule a device took at `since`, as it follows it; `marks`: the times at which that changes."""

    tasks: tuple[_Task, ...]
    since: datetime | None
    fault: Fault | None
    marks: tuple[datetime, ...]

    def doing(self, at: datetime, *, before: Doing) -> Doing:
        """Return what is done from `at` on; `before`: until then. A device goes on until it is told."""
        if self.since is not None and at < self.since:
            return before
        asked = self._asked(at)
        if self.fault is Fault.WEAK and asked.is_running:
            return replace(asked, share=asked.share * WEAK_SHARE)
        if self.fault is Fault.STUCK and not asked.is_running and before.is_running:
            return replace(before, is_gradual=False)
        return asked

    def changes_after(self, at: datetime) -> datetime | None:
        """Return when something else is asked, but for what ramps; None: never."""
        place = bisect_right(self.marks, at)
        return self.marks[place] if place < len(self.marks) else None

    def _asked(self, at: datetime) -> Doing:
        for task in self.tasks:
            if task.prepares_from <= at < task.recovered_at:
                return _within(task, at, is_stuck=self.fault is Fault.STUCK)
        return NORMAL


def _within(task: _Task, at: datetime, *, is_stuck: bool) -> Doing:
    if at < task.start:
        return Doing("prepare")
    if at >= task.end:
        left = 1.0 if is_stuck else (task.recovered_at - at) / (task.recovered_at - task.end)
        return Doing(task.mode, task.target_kw, left, is_gradual=True, since=task.run_from)
    if at < task.full_at:
        share = (at - task.ramps_from) / (task.full_at - task.ramps_from)
        return Doing(task.mode, task.target_kw, share, is_gradual=True, since=task.run_from)
    return Doing(task.mode, task.target_kw, since=task.run_from)


def read_orders(message: Mapping[str, Any], *, since: datetime | None, fault: Fault | None) -> Orders:
    """Return a stored `ScheduleMessage` as a device with this fault follows it; empty: nothing is asked."""
    tasks: list[_Task] = []
    if fault is not Fault.LIES:
        for segment in message.get("segments", ()):
            task = _task(segment, tasks)
            tasks.append(_cut_short(task, since=since) if fault is Fault.SOMEBODY_ELSE else task)
    times = {
        each
        for task in tasks
        for each in (task.prepares_from, task.start, task.end, task.recovered_at, task.full_at)
    }
    if since is not None:
        times.add(since)
    return Orders(tuple(tasks), since, fault, tuple(sorted(times)))


def _cut_short(task: _Task, *, since: datetime | None) -> _Task:
    """Return a task that somebody else ends soon after the device began with it."""
    began = task.start if since is None else min(max(task.start, since), task.end)
    end = began + min(SOMEBODY_AFTER, (task.end - began) / 3)
    return replace(task, end=end, recovered_at=end)


def _task(segment: Mapping[str, Any], earlier: Sequence[_Task]) -> _Task:
    start, end = datetime.fromisoformat(segment["start"]), datetime.fromisoformat(segment["end"])
    recovered_at = datetime.fromisoformat(segment.get("recover_until") or segment["end"])
    ramps_from, full_at = start, start + timedelta(seconds=segment.get("ramp_seconds") or 0)
    before = earlier[-1] if earlier and earlier[-1].end == start else None
    if before and full_at == start:
        ramps_from, full_at = before.ramps_from, before.full_at
    return _Task(
        prepares_from=datetime.fromisoformat(segment.get("precondition_from") or segment["start"]),
        run_from=before.run_from if before else start,
        start=start,
        end=end,
        recovered_at=recovered_at,
        ramps_from=ramps_from,
        full_at=full_at,
        mode=segment["mode"],
        target_kw=segment["target_kw"],
    )
