"""What a device should do: an ordered, non-overlapping list of segments.

Pure values. Knows no word of Leap's dispatch but the ids that say why a segment exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


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
