"""How a command, and how far it has come, is written for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from devices.domain.ledger import Step, Told, step_of, tone_of
from devices.domain.setpoints import lapses_at
from devices.drivers import capabilities_of
from devices.models import AttemptOutcome, Command, CommandKind, CommandState, ScheduleSegment, SegmentMode
from dispatch.reading import words
from dispatch.reading.proofs import Evidence

MODE_NOUNS = {
    SegmentMode.CURTAIL: "curtailment",
    SegmentMode.DISCHARGE: "discharge",
    SegmentMode.EXPORT: "export",
    SegmentMode.IDLE: "idle",
}
STEP_WORDS = {
    Step.PLANNED: "Planned",
    Step.SENT: "Sent",
    Step.ACKNOWLEDGED: "Acknowledged",
    Step.VERIFIED: "Verified",
    Step.DEVIATES: "Deviates",
    Step.NOT_PROVEN: "Not proven normal",
    Step.REJECTED: "Rejected",
    Step.FAILED: "Failed",
    Step.EXPIRED: "Expired",
    Step.SUPERSEDED: "Superseded",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One station of a command's way, and when it was reached; `css` is done, open or bad."""

    name: str
    at: datetime | None
    css: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a command has come. `lease`: until when a set-point holds, in words."""

    step: Step
    tone: str
    words: str
    stages: tuple[Stage, ...]
    lease: str
    is_lapsed: bool


def what_it_is(command: Command, segments: Sequence[ScheduleSegment], *, now: datetime, zone: tzinfo) -> str:
    """Say what a command carries: "Set to 4.5 kW discharge from 17:00", "Back to normal at 19:00"."""
    if command.kind == CommandKind.CLEAR:
        return f"Back to normal at {words.day_clock(command.due_at, now=now, zone=zone)}"
    if command.kind == CommandKind.SETPOINT:
        return _set_point(command, segments, now=now, zone=zone)
    if len(segments) == 1:
        only = segments[0]
        window = words.window_brief(only.starts_at, only.ends_at, now=now, zone=zone)
        return f"Schedule: {_doing(only)}, {window}"
    return f"Schedule, {words.counted(len(segments), one='segment')}"


def _set_point(command: Command, segments: Sequence[ScheduleSegment], *, now: datetime, zone: tzinfo) -> str:
    begins = command.starts_at or command.due_at
    at = words.day_clock(begins, now=now, zone=zone)
    mine = next((each for each in segments if each.starts_at == begins), None)
    return f"Set to {_doing(mine)} from {at}" if mine else f"Set-point from {at}"


def _doing(segment: ScheduleSegment) -> str:
    """Say what a segment asks: "4.5 kW discharge", "maximum curtailment", "idle"."""
    noun = MODE_NOUNS[SegmentMode(segment.mode)]
    return noun if segment.mode == SegmentMode.IDLE else f"{words.power(segment.target_kw)} {noun}"


def standing_of(command: Any, *, evidence: Evidence, now: datetime, zone: tzinfo) -> Standing:
    """Say where a command of `commands.with_attempts` stands."""
    can = capabilities_of(command.device.driver)
    told = Told(
        state=command.state,
        tries=command.attempt_count,
        is_restore=command.kind == CommandKind.CLEAR and command.is_restoring,
        is_refused=bool(command.tries) and command.tries[0].outcome == AttemptOutcome.REJECTED,
        is_provable=can.reads_back or evidence.verdict is not None,
        verdict=evidence.verdict,
        due_at=command.due_at,
    )
    step = step_of(told, now=now)
    lease, is_lapsed = _lease(command, lease_seconds=can.lease_seconds, now=now, zone=zone)
    return Standing(
        step=step,
        tone=tone_of(told, now=now).value,
        words=_step_words(step, tries=command.attempt_count),
        stages=_stages(command, step=step, evidence=evidence),
        lease=lease,
        is_lapsed=is_lapsed,
    )


def _step_words(step: Step, *, tries: int) -> str:
    return (
        f"Retrying, {words.counted(tries, one='try', many='tries')}"
        if step is Step.RETRYING
        else STEP_WORDS[step]
    )


def _lease(command: Command, *, lease_seconds: int | None, now: datetime, zone: tzinfo) -> tuple[str, bool]:
    """Say until when a set-point holds that the device took: "renewed 17:31, lapses 17:34"."""
    since = command.renewed_at or command.finished_at
    is_held = command.kind == CommandKind.SETPOINT and command.state == CommandState.ACKNOWLEDGED
    is_over = command.expires_at <= now or command.schedule.superseded_at is not None
    if not is_held or since is None or is_over:
        return "", False
    end = command.expires_at
    lapses = lapses_at(lease_seconds=lease_seconds, ends_at=end, run_ends_at=end, now=since)
    verb = "renewed" if command.renewed_at else "told"
    at, until = (words.day_clock(moment, now=now, zone=zone) for moment in (since, lapses))
    is_lapsed = lapses <= now
    return f"{verb} {at}, {'lapsed' if is_lapsed else 'lapses'} {until}", is_lapsed


def _stages(command: Any, *, step: Step, evidence: Evidence) -> tuple[Stage, ...]:
    """List the stations: planned, sent, acknowledged, verified; what ended the way stands where it did."""
    first = command.first_try_at
    taken = command.finished_at if command.state == CommandState.ACKNOWLEDGED else None
    stages = [Stage("planned", command.created_at, "done")]
    if first:
        stages.append(Stage("sent", first, "done"))
    if step in (Step.REJECTED, Step.FAILED, Step.EXPIRED, Step.SUPERSEDED):
        css = "open" if step is Step.SUPERSEDED else "bad"
        return (*stages, Stage(STEP_WORDS[step].lower(), command.finished_at, css))
    if not first:
        stages.append(Stage("sent", None, "open"))
    stages.append(Stage("acknowledged", taken, "done" if taken else "open"))
    if step in (Step.DEVIATES, Step.NOT_PROVEN):
        return (*stages, Stage(STEP_WORDS[step].lower(), evidence.at, "bad"))
    is_verified = step is Step.VERIFIED
    return (
        *stages,
        Stage("verified", evidence.at if is_verified else None, "done" if is_verified else "open"),
    )
