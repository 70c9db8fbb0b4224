"""A driver whose devices take a while: each answers after 50 ms, slow ones when all others were told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from threading import Event, Lock
from typing import ClassVar

import benchmarks.with_django  # noqa: F401 - sets Django up before what needs its models
from devices.drivers.base import Answer, Capabilities, Driver, DriverError, SetPoint
from devices.models import Device

ANSWERS_AFTER = 0.05
AT_ONCE = 128
SLOW = "slow"


class PatientDriver(Driver):
    """Waits as devices would have it wait, and notes when each was told."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        holds_schedule=False, reads_back=True, lease_seconds=180
    )
    concurrency = AT_ONCE
    told_at: ClassVar[list[float]] = []
    left: ClassVar[int] = 0
    others_told: ClassVar[Event] = Event()
    _lock: ClassVar[Lock] = Lock()

    @classmethod
    def expect(cls, fleet: Sequence[Device]) -> None:
        """Begin anew."""
        cls.told_at.clear()
        cls.left = sum(row.name != SLOW for row in fleet)
        cls.others_told.clear()

    def apply(self, set_point: SetPoint, device: Device, *, not_after: datetime) -> Answer:
        """Answer after a while."""
        if device.name == SLOW:
            self.others_told.wait(timeout=self.timeout_seconds)
            raise DriverError("The device did not answer.", permanent=False)
        time.sleep(ANSWERS_AFTER)
        with self._lock:
            self.told_at.append(time.perf_counter())
            PatientDriver.left -= 1
            if not self.left:
                self.others_told.set()
        return Answer(is_accepted=True, proof="It holds 5 kW.")
