"""Is a coming event ready: which of its devices will run, and what stands in the way of the others?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise


class Standing(StrEnum):
    """Where one device stands before a run."""

    CONFIRMED = "CONFIRMED"
    REACHABLE = "REACHABLE"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    FAILING = "FAILING"
    OFFLINE = "OFFLINE"


READY = (Standing.CONFIRMED, Standing.REACHABLE)


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """What is known of one device.

    `has_taken`: it acknowledged the schedule in effect, or holds the set-point of this very run.
    `holds_schedule`: false for one that takes set-points, which goes out when the run begins.
    """

    has_taken: bool
    is_failing: bool
    is_online: bool
    holds_schedule: bool


def standing_of(device: DeviceNow) -> Standing:
    """Return where a device stands.

    One that refuses or does not answer is failing, whatever it took before. One that took the schedule runs
    it also where nobody hears it. A set-point cannot be confirmed ahead: who is online counts as ready.
    """
    if device.is_failing:
        return Standing.FAILING
    if device.has_taken:
        return Standing.CONFIRMED
    if not device.is_online:
        return Standing.OFFLINE
    return Standing.UNACKNOWLEDGED if device.holds_schedule else Standing.REACHABLE


@dataclass(frozen=True, slots=True)
class Part:
    """Devices that stand alike and run in `[start, end)`; `kw` counts a maximum as rated power.

    `is_heard`: whether they are online.
    """

    start: datetime
    end: datetime
    standing: Standing
    is_heard: bool
    devices: int
    kw: Decimal


@dataclass(frozen=True, slots=True)
class Readiness:
    """The devices of a run by where they stand. `unheard`: confirmed ones that are offline now.

    `asked_kw` None is the maximum. `meters_without_device` are named and can deliver nothing.
    """

    counts: dict[Standing, int]
    unheard: int
    planned_kw: Decimal
    ready_kw: Decimal
    asked_kw: Decimal | None
    meters_without_device: int = 0

    @property
    def devices(self) -> int:
        """Count the devices that are to run."""
        return sum(self.counts.values())

    @property
    def ready(self) -> int:
        """Count the devices that will run as far as is known."""
        return sum(self.counts[each] for each in READY)

    @property
    def is_ready(self) -> bool:
        """Say whether nothing stands in the way of any of them."""
        return self.devices > 0 and self.ready == self.devices and not self.meters_without_device


def readiness_of(
    parts: Iterable[Part], *, asked_kw: Decimal | None, meters_without_device: int = 0
) -> Readiness:
    """Sum up the stretch in which most devices run, the least ready of equals, then the earliest.

    A power confirmed beyond what is asked, as where a segment serves a larger event too, counts up to it.
    """
    fullest = _fullest(list(parts))
    counts = {
        standing: sum(part.devices for part in fullest if part.standing is standing) for standing in Standing
    }
    ready_kw = sum((part.kw for part in fullest if part.standing in READY), Decimal(0))
    return Readiness(
        counts=counts,
        unheard=sum(
            part.devices for part in fullest if part.standing is Standing.CONFIRMED and not part.is_heard
        ),
        planned_kw=sum((part.kw for part in fullest), Decimal(0)),
        ready_kw=ready_kw if asked_kw is None else min(ready_kw, asked_kw),
        asked_kw=asked_kw,
        meters_without_device=meters_without_device,
    )


def _fullest(parts: Sequence[Part]) -> list[Part]:
    cuts = sorted({at for part in parts for at in (part.start, part.end)})
    stretches = [
        [part for part in parts if part.start <= start and part.end >= end] for start, end in pairwise(cuts)
    ]
    return max(stretches, key=_weight, default=[])


def _weight(stretch: Sequence[Part]) -> tuple[int, int]:
    ready = sum(part.devices for part in stretch if part.standing in READY)
    return sum(part.devices for part in stretch), -ready
