"""Drivers that tests put into settings.DEVICE_DRIVERS."""

from __future__ import annotations

from threading import Barrier

from devices.drivers.base import Answer, Driver, DriverError


class SlowDriver(Driver):
    """Answers only once three devices are being spoken to at the same time."""

    barrier = Barrier(3)

    def deliver(self, message, device):
        self.barrier.wait(timeout=60)
        return Answer(is_accepted=True)


class BuggyDriver(Driver):
    """Fails in every way a driver can, by the device's name."""

    def deliver(self, message, device):
        if device.name == "bug":
            raise ZeroDivisionError
        if device.name == "permanent":
            raise DriverError("The address is not allowed.", permanent=True)
        return Answer(is_accepted=True)


class DyingDriver(Driver):
    """Stands for a process that is killed while it tries."""

    def deliver_all(self, deliveries):
        raise SystemExit

    def deliver(self, message, device):
        raise NotImplementedError
