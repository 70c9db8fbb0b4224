"""What a device should do: an ordered, non-overlapping list of segments.

Pure values. Knows no word of Leap's dispatch but the ids that say why a segment exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NotRequired, TypedDict


class Mode(StrEnum):
    """How a device delivers its kW."""

    CURTAIL = "CURTAIL"
    DISCHARGE = "DISCHARGE"
    EXPORT = "EXPORT"
    IDLE = "IDLE"


@dataclass(frozen=True, slots=True)
class Segment:
    """What one device does in `[start, end)`, UTC.

    `target_kw` is power at the meter, positive to reduce load or export; None is the maximum
    the device can manage. `cap` says how far beyond the target is paid for.

    Beside it, each None where there is none: the device prepares during `[precondition_from, start)`, as by
    pre-cooling; takes `ramp_seconds` from the start to its power; goes back to normal step by step during
    `[end, recover_until)`.
    """

    start: datetime
    end: datetime
    mode: Mode
    target_kw: Decimal | None
    cap: str
    is_commitment: bool
    leap_event_ids: tuple[str, ...]
    reason: str
    precondition_from: datetime | None = None
    ramp_seconds: int | None = None
    recover_until: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        """From when on the device is not as usual."""
        return self.precondition_from or self.start

    @property
    def over_at(self) -> datetime:
        """When the device is back to normal."""
        return self.recover_until or self.end

    @property
    def is_shaped(self) -> bool:
        """Say whether it has pre-conditioning, a ramp or recovery."""
        return bool(self.precondition_from or self.ramp_seconds or self.recover_until)


DesiredSchedule = tuple[Segment, ...]


class InvalidSchedule(ValueError):
    """The segments cannot be a schedule; the message says why."""


class SegmentMessage(TypedDict):
    """One segment as a device reads it; `target_kw` null is the maximum. What there is not is left out."""

    start: str
    end: str
    mode: str
    target_kw: float | None
    cap: str
    precondition_from: NotRequired[str]
    ramp_seconds: NotRequired[int]
    recover_until: NotRequired[str]


class ScheduleMessage(TypedDict):
    """The whole desired schedule of one device, so that the newest version alone is enough."""

    device: str
    version: int
    issued_at: str
    expires_at: str
    segments: list[SegmentMessage]


def check_schedule(segments: Sequence[Segment]) -> None:
    """Refuse segments that are naive, empty, negative, out of order or overlapping.

    Raises:
        InvalidSchedule: with the first thing that is wrong.
    """
    for segment in segments:
        if segment.start.tzinfo is None or segment.end.tzinfo is None:
            raise InvalidSchedule(f"A segment at {segment.start} has no time zone.")
        if segment.end <= segment.start:
            raise InvalidSchedule(f"A segment ends at {segment.end}, not after its start {segment.start}.")
        if segment.target_kw is not None and (not segment.target_kw.is_finite() or segment.target_kw < 0):
            raise InvalidSchedule(f"A segment at {segment.start} asks for {segment.target_kw} kW.")
        _check_shape(segment)
    for earlier, later in pairwise(segments):
        if later.start < earlier.end:
            raise InvalidSchedule(f"The segment at {later.start} begins before {earlier.end}.")
        if later.begins_at < earlier.over_at:
            raise InvalidSchedule(
                f"What comes before the segment at {later.start} begins before {earlier.over_at}."
            )
    for run in touching(segments):
        for segment in run:
            if segment.ramp_seconds and segment.start + timedelta(seconds=segment.ramp_seconds) > run[-1].end:
                raise InvalidSchedule(f"The ramp of the segment at {segment.start} is longer than the run.")


def _check_shape(segment: Segment) -> None:
    """Refuse pre-conditioning, a ramp or recovery that is none."""
    lead, tail, ramp = segment.precondition_from, segment.recover_until, segment.ramp_seconds
    if lead and (lead.tzinfo is None or lead >= segment.start):
        raise InvalidSchedule(f"A segment prepares from {lead}, not before its start {segment.start}.")
    if tail and (tail.tzinfo is None or tail <= segment.end):
        raise InvalidSchedule(f"A segment recovers until {tail}, not after its end {segment.end}.")
    if ramp is not None and ramp <= 0:
        raise InvalidSchedule(f"The segment at {segment.start} has a ramp of {ramp} s.")


def touching(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Group segments that touch: the device does not rest between them."""
    found: list[list[Segment]] = []
    for segment in segments:
        if found and found[-1][-1].end == segment.start:
            found[-1].append(segment)
        else:
            found.append([segment])
    return found


def remaining(segments: Sequence[Segment], *, now: datetime) -> DesiredSchedule:
    """Return what is still to be done at `now`: past segments left out, what is under way cut to begin now.

    So two schedules that differ only in what is past have the same rest.
    """
    return tuple(_rest(segment, now=now) for segment in segments if segment.over_at > now)


def _rest(segment: Segment, *, now: datetime) -> Segment:
    """Return what is left of one segment that is not over."""
    if segment.start > now:
        lead = segment.precondition_from
        return replace(segment, precondition_from=max(lead, now)) if lead else segment
    if segment.end <= now:
        return Segment(
            start=now,
            end=segment.over_at,
            mode=Mode.IDLE,
            target_kw=None,
            cap="",
            is_commitment=False,
            leap_event_ids=(),
            reason="",
        )
    full_at = segment.start + timedelta(seconds=segment.ramp_seconds or 0)
    ramp_seconds = int((full_at - now).total_seconds()) if full_at > now else 0
    return replace(segment, start=now, precondition_from=None, ramp_seconds=ramp_seconds or None)


def content_digest(segments: Sequence[Segment]) -> str:
    """Return a hash of everything the segments say, reasons included; equal content, equal hash.

    Without pre-conditioning, ramp and recovery it is what it was before there were any.
    """
    content = [
        [
            as_z(segment.start),
            as_z(segment.end),
            segment.mode,
            None if segment.target_kw is None else f"{segment.target_kw:.3f}",
            segment.cap,
            segment.is_commitment,
            segment.leap_event_ids,
            segment.reason,
            *_shape_in_digest(segment),
        ]
        for segment in segments
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _shape_in_digest(segment: Segment) -> list[object]:
    if not segment.is_shaped:
        return []
    lead, tail = segment.precondition_from, segment.recover_until
    return [lead and as_z(lead), segment.ramp_seconds, tail and as_z(tail)]


def as_message(
    *, device: str, version: int, issued_at: datetime, expires_at: datetime, segments: Sequence[Segment]
) -> ScheduleMessage:
    """Return the message every driver that speaks JSON sends; no segments mean back to normal."""
    return {
        "device": device,
        "version": version,
        "issued_at": as_z(issued_at),
        "expires_at": as_z(expires_at),
        "segments": [_segment_message(segment) for segment in segments],
    }


def _segment_message(segment: Segment) -> SegmentMessage:
    message: SegmentMessage = {
        "start": as_z(segment.start),
        "end": as_z(segment.end),
        "mode": segment.mode.lower(),
        "target_kw": None if segment.target_kw is None else float(segment.target_kw),
        "cap": segment.cap,
    }
    if segment.precondition_from:
        message["precondition_from"] = as_z(segment.precondition_from)
    if segment.ramp_seconds:
        message["ramp_seconds"] = segment.ramp_seconds
    if segment.recover_until:
        message["recover_until"] = as_z(segment.recover_until)
    return message


def as_z(moment: datetime) -> str:
    """Return ISO 8601 in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
