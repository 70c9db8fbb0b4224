"""Stage: an operator's leave for integration tests to move a meter's devices, which ends by itself.

Writes `Meter.test_armed_until`; whoever arms asks for a plan.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from meters.models import Meter

LONGEST = timedelta(days=7)


def arm(*, meter_pk: int, hours: int, now: datetime) -> datetime:
    """Arm a meter from now on and return until when.

    Raises:
        ValueError: longer than seven days, or no time at all.
    """
    length = timedelta(hours=hours)
    if not timedelta() < length <= LONGEST:
        raise ValueError("A meter is armed for seven days at most.")
    Meter.objects.filter(pk=meter_pk).update(test_armed_until=now + length)
    return now + length


def disarm(*, meter_pk: int) -> None:
    """Take the leave back."""
    Meter.objects.filter(pk=meter_pk).update(test_armed_until=None)
