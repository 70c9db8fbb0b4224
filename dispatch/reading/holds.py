"""Which override stands over a meter or a device at this minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from dispatch.models import Override, OverrideScope


def running(*, now: datetime) -> list[Override]:
    """Read the overrides in effect now, the latest first. One query; there are never many."""
    rows = Override.objects.filter(starts_at__lte=now, ends_at__gt=now, ended_at__isnull=True)
    return list(rows.order_by("-created_at", "-id"))


def hold_over(
    overrides: Sequence[Override],
    *,
    meters: Collection[str],
    groups: Collection[str],
    devices: Collection[str],
) -> Override | None:
    """Find the latest override that reaches any of these, by Leap's ids and external ids."""
    reached = {
        OverrideScope.FLEET: {""},
        # A program's word stops its events alone, so it stands over nobody.
        OverrideScope.PROGRAM: set(),
        OverrideScope.MARKET_GROUP: set(groups),
        OverrideScope.METER: set(meters),
        OverrideScope.DEVICE: set(devices),
    }
    for override in overrides:
        scope = OverrideScope(override.scope)
        if scope is OverrideScope.FLEET or override.target in reached[scope]:
            return override
    return None
