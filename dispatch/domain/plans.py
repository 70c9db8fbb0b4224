"""What a plan of one device is made of: traits that bear on it, what it does, what it leaves undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devices.domain.schedule import Segment
from dispatch.domain.events import Event, Window


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a device bears on its plan. Two devices with equal traits and requests plan alike."""

    rated_watts: int
    is_storage: bool = False
    may_export: bool = False


@dataclass(frozen=True, slots=True)
class UnservedSlice:
    """A window in which the device does not serve an event, with the reason.

    `is_shaded`: the event's twin at the other level is acted upon instead, so nothing is lost.
    """

    event_id: int
    window: Window
    reason: str
    is_shaded: bool = False


@dataclass(frozen=True, slots=True)
class OverlapSlice:
    """Two or more live events on the device in one window, best first: what was chosen, and why."""

    window: Window
    events: tuple[Event, ...]
    served: tuple[str, ...]
    not_served: tuple[tuple[str, str], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ReducedSlice:
    """A window in which the device serves an event with less than the event's number asks of it."""

    event_id: int
    window: Window
    asked_watts: int
    watts: int


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The result: what the device does, where events met, and what it leaves undone."""

    segments: tuple[Segment, ...] = ()
    overlaps: tuple[OverlapSlice, ...] = ()
    unserved: tuple[UnservedSlice, ...] = ()
    reduced: tuple[ReducedSlice, ...] = ()


def still_to_come(plan: DevicePlan, *, now: datetime) -> DevicePlan:
    """Leave out what is over at `now`, recovery included; what runs keeps its beginning."""
    return DevicePlan(
        segments=tuple(each for each in plan.segments if each.over_at > now),
        overlaps=tuple(each for each in plan.overlaps if each.window.end > now),
        unserved=tuple(each for each in plan.unserved if each.window.end > now),
        reduced=tuple(each for each in plan.reduced if each.window.end > now),
    )
