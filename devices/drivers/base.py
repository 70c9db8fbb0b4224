"""The contract between commands and the drivers that carry them to devices."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, ClassVar

from devices.domain.schedule import ScheduleMessage
from devices.models import Device

logger = logging.getLogger(__name__)


class DriverError(Exception):
    """The message did not reach the device, or no answer came back; the text is shown to operators.

    `permanent`: trying again cannot help.
    """

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What devices of a driver can do.

    `holds_schedule`: they keep the whole schedule and end by themselves; otherwise they take set-points.
    `reads_back`: what they do can be asked. `telemetry`: they say it unasked. `lease_seconds`: how long a
    set-point lasts unless it is renewed; None for as long as it says.
    """

    holds_schedule: bool = True
    reads_back: bool = False
    telemetry: bool = False
    lease_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device said. A rejection is an answer, not an error; `detail` says why."""

    is_accepted: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one device."""

    message: ScheduleMessage
    device: Device


Result = Answer | DriverError


class Driver(ABC):
    """Carries schedules to one kind of device.

    A driver makes one try within `timeout_seconds`, keeps no state between calls and never touches
    the database: `deliver` runs in a thread. The device keeps the whole schedule, goes back to
    normal when it ends and refuses a version older than the one it accepted last.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    timeout_seconds: float = 10
    concurrency: int = 32
    """How many devices are spoken to at once; a batch is never larger than this."""

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with a device's settings, a sentence each that shows no secret.

        Asked when a device is written, so it must not connect to anything.
        """
        return []

    @abstractmethod
    def deliver(self, message: ScheduleMessage, device: Device) -> Answer:
        """Carry one message and return the device's answer.

        Raises:
            DriverError: no answer (`permanent=False`), or none possible (`permanent=True`).
        """

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Yield the positions and results of the deliveries in groups, as they come in.

        One thread a delivery, so that a slow device delays nobody else. A driver that can carry
        many at once overrides this.
        """
        with ThreadPoolExecutor(max_workers=len(deliveries)) as pool:
            waiting: dict[Future[Result], int] = {
                pool.submit(self._try, delivery): position for position, delivery in enumerate(deliveries)
            }
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                yield [(waiting.pop(future), future.result()) for future in done]

    def _try(self, delivery: Delivery) -> Result:
        try:
            return self.deliver(delivery.message, delivery.device)
        except DriverError as error:
            return error
        except Exception as error:  # a driver's bug must not stop the other devices
            logger.exception("Driver failed for device %s", delivery.device.pk)
            return DriverError(f"The driver failed: {type(error).__name__}.", permanent=False)
