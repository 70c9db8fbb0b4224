"""What Leap asks, as values: windows, events and their order.

Power is counted in whole watts (0.001 kW, Leap's precision), so that sums are exact. `MAXIMUM` is a
request without a number: as much as the device can manage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

MAXIMUM: Final = None
"""A target without a number. Never zero."""

UP_TO_NOMINATION: Final = "up-to-nomination"
UP_TO_SITE_LOAD: Final = "up-to-site-load"
GRID_EXPORTS_ALLOWED: Final = "grid-exports-allowed"

KEPT: Final = 4096
"""How many results are kept of functions that planning asks the same for every device."""

_CAPS_BY_PERMISSION = (UP_TO_NOMINATION, UP_TO_SITE_LOAD, GRID_EXPORTS_ALLOWED)


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open time `[start, end)`, aware, in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """The fields of an event's current revision that planning needs.

    `recipients` names a set of meters (many events share one). `rank` 1 is the highest.
    `energy_kw` is power, None when Leap gives no number. `level` and `programs` choose between twins,
    and reasons name the event by its `programs`. `heard_at`: when it was first received.
    """

    event_id: int
    leap_event_id: str
    recipients: int
    window: Window
    energy_kw: Decimal | None
    nomination_kw: Decimal | None
    rank: int
    is_voluntary: bool
    cap: str
    is_cancelled: bool = False
    is_integration_test: bool = False
    is_test: bool = False
    level: str = ""
    programs: tuple[str, ...] = ()
    heard_at: datetime | None = None

    def __hash__(self) -> int:
        """Hash the id alone: equal events have equal ids, and what is said of an event is kept under it."""
        return hash(self.event_id)


def is_live(event: Event, *, now: datetime) -> bool:
    """Say whether the event still asks for something: not cancelled and not over at `now`."""
    return not event.is_cancelled and event.window.end > now


@lru_cache(maxsize=KEPT)
def asked_watts(event: Event) -> int | None:
    """Return what the event asks of all its meters together, in watts; `MAXIMUM` without a number.

    A missing number means the maximum, except where nothing beyond the nomination is paid and the
    nomination is known: then it is the nomination.
    Source: Leap, "Dispatch Event Processing", `energy_kw` and `performance_compensation_cap`.
    """
    if event.energy_kw is not None:
        return to_watts(event.energy_kw)
    if event.cap == UP_TO_NOMINATION and event.nomination_kw is not None:
        return to_watts(event.nomination_kw)
    return MAXIMUM


def to_watts(kw: Decimal) -> int:
    """Return whole watts of a kW number with at most three places.

    >>> to_watts(Decimal("8.5"))
    8500
    """
    return int(kw.scaleb(3).to_integral_value())


@lru_cache(maxsize=KEPT)
def to_kw(watts: int) -> Decimal:
    """Return kW with three places.

    >>> to_kw(8500)
    Decimal('8.500')
    """
    return Decimal(watts).scaleb(-3)


def permission(cap: str) -> tuple[int, str]:
    """Return how far a cap goes, comparable; a cap unknown to us is the least permissive.

    Source: Leap, "Dispatch Event Processing", `performance_compensation_cap`.
    """
    known = _CAPS_BY_PERMISSION.index(cap) + 1 if cap in _CAPS_BY_PERMISSION else 0
    return known, cap
