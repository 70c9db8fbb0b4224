"""The contract between commands and the drivers that carry them to devices."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from queue import SimpleQueue
from threading import Thread
from typing import Any, ClassVar, Final

from devices.domain.schedule import Mode, ScheduleMessage
from devices.domain.wording import one_line
from devices.models import Device

logger = logging.getLogger(__name__)


class DriverError(Exception):
    """The message did not reach the device, or no answer came back; the text is shown to operators.

    `permanent`: trying again cannot help. `pause_seconds`: the device asked not to be tried sooner.
    `is_heard`: the device itself did answer, but not with what can count as done, as one that is busy; so it
    is there, and is tried again like one that is silent.
    """

    def __init__(
        self, message: str, *, permanent: bool, pause_seconds: float = 0, is_heard: bool = False
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.pause_seconds = pause_seconds
        self.is_heard = is_heard


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
class Measured:
    """What the device measured when it was asked; None where it does not say.

    `power_kw`: what it takes is positive, what it gives negative.
    """

    power_kw: Decimal | None = None
    state_of_charge_percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device said. A rejection is an answer, not an error; `detail` says why.

    `proof`: what the device was found to hold when it was asked after the write, in words; "" if it was not
    asked. `found_changed`: what somebody else had put in the place of what was written last; "" if nothing.
    `measured`: of a device that was asked what it does.
    """

    is_accepted: bool
    detail: str = ""
    proof: str = ""
    found_changed: str = ""
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class SetPoint:
    """What a device that holds no schedule does until it hears again; `mode` None: back to normal.

    `target_kw` as in a segment, None is the maximum. `lapses_at`: from then on the device is back to normal
    by itself, unless it was told again. `is_renewal`: the same was written before, so what is found there
    is compared. Times are UTC.
    """

    version: int
    mode: Mode | None
    target_kw: Decimal | None
    lapses_at: datetime
    is_renewal: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one device; a set-point, for a driver whose devices hold no schedule.

    `not_after`: whoever was paused longer than that has lost the device to another and must write nothing.
    """

    message: ScheduleMessage
    device: Device
    set_point: SetPoint | None = None
    not_after: datetime | None = None


Result = Answer | DriverError

LONGEST_WORDS: Final = 2_000


def as_stored(result: object, *, device: Device) -> Result:
    """Return what came of a try so that it can be stored, whatever a driver made of what a device said.

    One answer that no database takes must not keep those of all others from being written.
    """
    if isinstance(result, Answer):
        return replace(
            result,
            detail=_line(result.detail),
            proof=_line(result.proof),
            found_changed=_line(result.found_changed),
            measured=_finite(result.measured),
        )
    if isinstance(result, DriverError):
        pause = result.pause_seconds if math.isfinite(result.pause_seconds) else 0
        return DriverError(
            _line(str(result)), permanent=result.permanent, pause_seconds=pause, is_heard=result.is_heard
        )
    return failure(TypeError(type(result).__name__), device=device)


def _line(words: object) -> str:
    return one_line(str(words), longest=LONGEST_WORDS)


def _finite(measured: Measured | None) -> Measured | None:
    numbers = (measured.power_kw, measured.state_of_charge_percent) if measured else ()
    is_fine = all(each is None or (isinstance(each, Decimal) and each.is_finite()) for each in numbers)
    return measured if is_fine else None


class Driver:
    """Carries schedules to one kind of device.

    A driver makes one try within `timeout_seconds`, keeps no state between calls and never touches
    the database: `deliver` runs in a thread. The device keeps the whole schedule, goes back to
    normal when it ends and refuses a version older than the one it accepted last.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    secret_settings: ClassVar[frozenset[str]] = frozenset()
    """Names in a device's settings that are never shown once they are stored."""
    timeout_seconds: float = 10
    concurrency: int = 32
    """How many devices a worker speaks to at once; a batch is never larger than this."""
    works_in_database: ClassVar[bool] = False
    """It speaks to nobody outside, and runs in the worker's own thread."""

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with a device's settings, a sentence each that shows no secret.

        Asked when a device is written, so it must not connect to anything.
        """
        return []

    def settings_of(self, device: Device) -> dict[str, Any]:
        """Return a device's settings if the driver can work with them.

        Raises:
            DriverError: permanent, with the first thing that is wrong.
        """
        settings = device.settings if isinstance(device.settings, dict) else {}
        if wrong := self.check_settings(settings):
            raise DriverError(f"The device's settings are wrong: {wrong[0]}", permanent=True)
        return settings

    def deliver(self, message: ScheduleMessage, device: Device) -> Answer:
        """Carry one message and return the device's answer, for devices that hold a schedule.

        Raises:
            DriverError: no answer (`permanent=False`), or none possible (`permanent=True`).
        """
        raise NotImplementedError(f"{type(self).__name__} takes set-points.")

    def apply(self, set_point: SetPoint, device: Device, *, not_after: datetime) -> Answer:
        """Write one set-point and return what came of it, for devices that hold no schedule.

        Whatever is written lapses by itself at `set_point.lapses_at`. Looks at the clock as the last thing
        before it writes, and writes nothing from `not_after` on.

        Raises:
            DriverError: no answer (`permanent=False`), or none possible (`permanent=True`).
        """
        raise NotImplementedError(f"{type(self).__name__} takes schedules.")

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Yield the positions and results of the deliveries in groups, as they come in.

        One thread a delivery, so that a slow device delays nobody else; a daemon, so that one which never
        comes back does not keep the process. A driver that can carry many at once overrides this.
        """
        arrived: SimpleQueue[tuple[int, Result | _Ended]] = SimpleQueue()

        def carry(position: int, delivery: Delivery) -> None:
            try:
                arrived.put((position, self._try(delivery)))
            except BaseException as error:
                arrived.put((position, _Ended(error)))

        for numbered in enumerate(deliveries):
            Thread(target=carry, args=numbered, name=f"a try by {type(self).__name__}", daemon=True).start()
        missing = len(deliveries)
        while missing:
            group = [arrived.get()]
            while not arrived.empty():
                group.append(arrived.get())
            missing -= len(group)
            yield [(position, _still(result)) for position, result in group]

    def _try(self, delivery: Delivery) -> Result:
        try:
            if delivery.set_point is None or delivery.not_after is None:
                return self.deliver(delivery.message, delivery.device)
            return self.apply(delivery.set_point, delivery.device, not_after=delivery.not_after)
        except Exception as error:
            return failure(error, device=delivery.device)


class BatchDriver(Driver):
    """A driver whose devices hold schedules, and which carries many at once: `deliver_all` is its own."""

    def deliver(self, message: ScheduleMessage, device: Device) -> Answer:
        """Carry one message as a batch of one; see `Driver.deliver`."""
        [[(_, result)]] = self.deliver_all([Delivery(message, device)])
        if isinstance(result, DriverError):
            raise result
        return result


@dataclass(frozen=True, slots=True)
class _Ended:
    """What ended a thread and should end the process."""

    error: BaseException


def _still(result: Result | _Ended) -> Result:
    if isinstance(result, _Ended):
        raise result.error
    return result


def unknown_settings(settings: Mapping[str, Any], *, known: Collection[str]) -> list[str]:
    """Return a sentence for each name among a device's settings that a driver does not know."""
    return [f"“{name}” is not a setting of this driver." for name in sorted(settings.keys() - known)]


def failure(error: Exception, *, device: Device) -> DriverError:
    """Return what the operator is told of an exception: a driver's bug must not stop the other devices."""
    if isinstance(error, DriverError):
        return error
    logger.error("Driver failed for device %s", device.pk, exc_info=error)
    return DriverError(f"The driver failed: {type(error).__name__}.", permanent=False)
