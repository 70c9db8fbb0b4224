"""Under what a device is planned: what its response policy says, in four parts, and facts about the device.

Without any part a device answers everything (strategy A). Limits are strategy B, storage is C,
flexibility is D.
Source: Leap, "Dispatch Event Processing", strategies A to D.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from dispatch.domain.events import Window


@dataclass(frozen=True, slots=True)
class Hours:
    """A local time of day, on the weekdays on which it begins (0 is Monday; none is every day)."""

    start: time
    end: time
    weekdays: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """Strategy B. `label` names the policy and its version, for reasons.

    `a_day`: time of running in a local day. `events_a_day`: runs that begin in it; touching dispatches are
    one run. `rest`: between two runs. `notice`: from hearing of an event to serving it.
    """

    label: str
    longest_run: timedelta | None = None
    a_day: timedelta | None = None
    events_a_day: int | None = None
    rest: timedelta = timedelta()
    notice: timedelta = timedelta()
    ignore_below_watts: int = 0
    blackouts: tuple[Hours, ...] = ()

    @property
    def counts_runs(self) -> bool:
        """Say whether what ran earlier bears on what may run."""
        return bool(self.longest_run or self.a_day or self.events_a_day or self.rest)


class Discharge(StrEnum):
    """How storage discharges where it may go as far as the site's load."""

    FOLLOW_LOAD = "FOLLOW_LOAD"
    FIXED = "FIXED"


class Beyond(StrEnum):
    """What is done beyond the kW that are asked."""

    NOTHING = "NOTHING"
    UP_TO_CAP = "UP_TO_CAP"


class WhenShort(StrEnum):
    """Where the energy does not last: the power that is asked until it is used up, or less throughout."""

    STOP = "STOP"
    SPREAD = "SPREAD"


@dataclass(frozen=True, slots=True)
class Storage:
    """Strategy C. Percents are of the energy capacity.

    `reserve_percent`: kept for the site, only a person's force goes into it, down to `lowest_percent`.
    `recharge`: how long it takes from the lowest to the highest while nothing is asked, or nothing but
    voluntary events that are not served; None: it does not.
    `expected_percent`: what is taken for stored where the device has not said. `expected_load_watts`: the
    site's load where the device follows it, None when unknown.
    """

    label: str
    reserve_percent: int = 0
    lowest_percent: int = 0
    highest_percent: int = 100
    expected_percent: int = 100
    recharge: timedelta | None = None
    may_export: bool = True
    discharge: Discharge = Discharge.FOLLOW_LOAD
    expected_load_watts: int | None = None
    beyond: Beyond = Beyond.NOTHING
    when_short: WhenShort = WhenShort.STOP


class Voluntary(StrEnum):
    """What is done about voluntary events where a condition holds."""

    SERVE = "SERVE"
    REDUCE = "REDUCE"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Flexibility:
    """Strategy D: when voluntary events are skipped, or served with `keep_percent` of the power.

    It counts while any of the conditions holds, always where there is none: the state of charge is below
    `below_percent`; it is one of `hours`; the event pays less than `comfort_price`, in cents per kWh.
    """

    label: str
    action: Voluntary
    keep_percent: int = 0
    below_percent: int | None = None
    hours: tuple[Hours, ...] = ()
    comfort_price: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """How a run begins and ends: `precondition` before it, `ramp` to its power, `recovery` after it."""

    label: str
    ramp: timedelta = timedelta()
    precondition: timedelta = timedelta()
    recovery: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a device was to deliver in a window; `watts` None is the maximum."""

    window: Window
    watts: int | None


@dataclass(frozen=True, slots=True)
class Battery:
    """What a storage device holds: `percent` as it said `at` a time, both None where it never did.

    `delivered`: what it was to do until now, in order; touching deliveries of equal power are one.
    """

    capacity_watt_hours: int
    percent: Decimal | None = None
    at: datetime | None = None
    delivered: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What schedules in effect had a device do until now, merged.

    `prepared`: when it prepared. `moved`: since when it runs or recovers without a rest, where it does.
    """

    prepared: tuple[Window, ...] = ()
    moved: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what one device is planned; a part that is None leaves everything as it is asked.

    `zone`: its site's. `ran`: when it ran until now, `past`: what runs are shaped by. `prices`: what
    programs pay, in cents per kWh. `commitments_only`: the customer's standing wish. `charge_percent`: the
    state of charge as last said, where flexibility weighs it.
    """

    zone: str
    limits: Limits | None = None
    storage: Storage | None = None
    flexibility: Flexibility | None = None
    shape: Shape | None = None
    battery: Battery | None = None
    commitments_only: bool = False
    charge_percent: Decimal | None = None
    prices: tuple[tuple[str, int], ...] = ()
    ran: tuple[Window, ...] = ()
    past: Past = Past()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a response policy says, by part."""

    limits: Limits | None = None
    storage: Storage | None = None
    flexibility: Flexibility | None = None
    shape: Shape | None = None

    @property
    def strategies(self) -> tuple[str, ...]:
        """Return Leap's letters of the strategies it follows; A where it says nothing."""
        parts = (("B", self.limits), ("C", self.storage), ("D", self.flexibility))
        return tuple(letter for letter, part in parts if part) or ("A",)
