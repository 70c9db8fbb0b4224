"""Whether a dispatch of a meter may move anything, and if not, why not. Uses loaded fields only."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from meters.models import Meter, Participation

_REASONS: Final[dict[str, str]] = {
    Participation.IDLE: "The meter is idle at Leap.",
    Participation.DISENROLL: "The meter is disenrolled at Leap.",
}


def reason_not_dispatchable(*, meter: Meter, now: datetime) -> str:
    """Return one plain sentence that says why a dispatch of the meter moves nothing; "" when it does.

    Enrollment and words unknown to the portal stop nothing: Leap dispatches whom it dispatches, and a
    missed event costs more than a needless one. Whether a device is mapped is the caller's question.
    """
    if meter.archived_at is not None and meter.archived_at <= now:
        return "The meter is archived."
    return _REASONS.get(meter.participation.upper(), "")
