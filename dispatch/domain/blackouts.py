"""Which policies let devices run nothing at a time: by policy and clock, for all devices of both at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dispatch.domain.events import Window
from dispatch.domain.limiting import windows_of
from dispatch.domain.terms import Hours, Policy

_LOOK_AROUND = timedelta(days=1)


def dark_until(
    policies: Mapping[int, Policy], *, zones: Iterable[str], window: Window
) -> dict[tuple[int, str], datetime]:
    """Return until when (policy, zone) is in a blackout that touches the window; who is in none is left out.

    Touching blackouts are one. `policies` by row.
    """
    found = {}
    for zone in zones:
        for pk, policy in policies.items():
            hours = policy.limits.blackouts if policy.limits else ()
            if hours and (until := _end(hours, zone=ZoneInfo(zone), window=window)):
                found[pk, zone] = until
    return found


def _end(hours: Iterable[Hours], *, zone: ZoneInfo, window: Window) -> datetime | None:
    span = Window(window.start - _LOOK_AROUND, window.end + _LOOK_AROUND)
    dark = sorted(windows_of(hours, span=span, zone=zone), key=lambda each: each.start)
    until: datetime | None = None
    for each in dark:
        touches = each.start < window.end and window.start < each.end
        follows = until is not None and each.start <= until < each.end
        if touches or follows:
            until = max(until or each.end, each.end)
    return until
