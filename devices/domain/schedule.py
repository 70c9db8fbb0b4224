"""What a device should do: an ordered, non-overlapping list of segments.

Pure values. Knows no word of Leap's dispatch but the ids that say why a segment exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import TypedDict


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
    """

    start: datetime
    end: datetime
    mode: Mode
    target_kw: Decimal | None
    cap: str
    is_commitment: bool
    leap_event_ids: tuple[str, ...]
    reason: str


DesiredSchedule = tuple[Segment, ...]


class InvalidSchedule(ValueError):
    """The segments cannot be a schedule; the message says why."""


class SegmentMessage(TypedDict):
    """One segment as a device reads it; `target_kw` null is the maximum."""

    start: str
    end: str
    mode: str
    target_kw: float | None
    cap: str


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
    for earlier, later in pairwise(segments):
        if later.start < earlier.end:
            raise InvalidSchedule(f"The segment at {later.start} begins before {earlier.end}.")


def remaining(segments: Sequence[Segment], *, now: datetime) -> DesiredSchedule:
    """Return what is still to be done at `now`: past segments left out, a running one cut to begin now."""
    return tuple(
        segment if segment.start >= now else replace(segment, start=now)
        for segment in segments
        if segment.end > now
    )


def content_digest(segments: Sequence[Segment]) -> str:
    """Return a hash of everything the segments say, reasons included; equal content, equal hash."""
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
        ]
        for segment in segments
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def as_message(
    *, device: str, version: int, issued_at: datetime, expires_at: datetime, segments: Sequence[Segment]
) -> ScheduleMessage:
    """Return the message every driver that speaks JSON sends; no segments mean back to normal."""
    return {
        "device": device,
        "version": version,
        "issued_at": as_z(issued_at),
        "expires_at": as_z(expires_at),
        "segments": [
            {
                "start": as_z(segment.start),
                "end": as_z(segment.end),
                "mode": segment.mode.lower(),
                "target_kw": None if segment.target_kw is None else float(segment.target_kw),
                "cap": segment.cap,
            }
            for segment in segments
        ],
    }


def as_z(moment: datetime) -> str:
    """Return ISO 8601 in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
