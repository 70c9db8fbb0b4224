"""Whether a meter can be dispatched, and the sentence that says why not. Reads loaded fields only."""

from __future__ import annotations

from datetime import datetime

from meters.models import EnrollmentStatus, Meter, Participation

_NOT_ENROLLED: dict[str, str] = {
    EnrollmentStatus.INELIGIBLE: "Leap holds the meter as ineligible.",
    EnrollmentStatus.NOT_PARTICIPATING: "Leap holds the meter as not participating.",
}
_NOT_PARTICIPATING: dict[str, str] = {
    Participation.IDLE: "The meter is idle: its customer does not take part for now.",
    Participation.DISENROLL: "The meter is disenrolled.",
}


def reason_not_dispatchable(*, meter: Meter, now: datetime) -> str:
    """Return why a meter takes no part in dispatches at `now`; empty when it does."""
    if meter.archived_at is not None and meter.archived_at <= now:
        return "The meter is archived."
    return _NOT_ENROLLED.get(meter.enrollment_status, "") or _NOT_PARTICIPATING.get(meter.participation, "")
