"""Drivers that tests put into settings.DEVICE_DRIVERS."""

from __future__ import annotations

import json
import socket
from threading import Barrier, Event

from django.utils import timezone

from devices.drivers.base import Answer, Capabilities, Driver, DriverError


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
        if device.name == "raw":
            return Answer(is_accepted=False, detail="No\0way,\ud800\n " + "never" * 1000)
        if device.name == "never":
            raise DriverError("Not\0now.", permanent=False, pause_seconds=float("nan"))
        return None if device.name == "nothing" else Answer(is_accepted=True)


class DyingDriver(Driver):
    """Stands for a process that is killed while it tries."""

    def deliver_all(self, deliveries):
        raise SystemExit

    def deliver(self, message, device):
        raise NotImplementedError


class StuckDriver(Driver):
    """Answers only once a device of another driver was served, or is let go."""

    timeout_seconds = 0.1
    let_go = Event()

    def deliver(self, message, device):
        self.let_go.wait(timeout=30)
        return Answer(is_accepted=True)


class PassingDriver(Driver):
    """Lets go who waits for it."""

    def deliver(self, message, device):
        StuckDriver.let_go.set()
        return Answer(is_accepted=True)


class HalfDriver(Driver):
    """Breaks down after its first answer."""

    def deliver_all(self, deliveries):
        yield [(0, Answer(is_accepted=True))]
        raise ZeroDivisionError


class SetPointDriver(Driver):
    """Speaks to `tests.devices.setpoint_devices`: reads where it renews, writes, and reads back."""

    capabilities = Capabilities(holds_schedule=False, reads_back=True, lease_seconds=180)
    timeout_seconds = 30

    def apply(self, set_point, device, *, not_after):
        wanted = "normal" if set_point.mode is None else f"{set_point.mode} {set_point.target_kw}"
        with socket.create_connection(("127.0.0.1", device.settings["port"]), self.timeout_seconds) as line:
            stream = line.makefile("rw")
            found = self._ask(stream, device, op="read")["value"] if set_point.is_renewal else wanted
            self.about_to_write(device, set_point)
            if self.is_too_late(not_after):
                raise DriverError("The worker was paused, so nothing was written.", permanent=False)
            said = self._ask(
                stream, device, op="write", value=wanted, lapses_at=set_point.lapses_at.isoformat()
            )
            if "refused" in said:
                return Answer(is_accepted=False, detail=said["refused"])
            self.has_written(device, set_point)
            held = self._ask(stream, device, op="read")["value"]
        return Answer(
            is_accepted=True,
            proof=f"It holds {held}." if held == wanted else "",
            found_changed="" if found == wanted else f"it held {found}.",
        )

    def _ask(self, stream, device, **asked):
        stream.write(json.dumps({"device": device.external_id, **asked}) + "\n")
        stream.flush()
        try:
            line = stream.readline()
        except OSError:
            line = ""
        if not line:
            raise DriverError("The device did not answer.", permanent=False)
        said = json.loads(line)
        if "busy" in said:
            raise DriverError("The device is busy.", permanent=False, is_heard=True)
        return said

    def is_too_late(self, not_after):
        return timezone.now() >= not_after

    def about_to_write(self, device, set_point):
        """Where a worker may be paused."""

    def has_written(self, device, set_point):
        """Where a worker may be killed."""


class CarelessDriver(SetPointDriver):
    """Stands for a pause between the look at the clock and the write."""

    def is_too_late(self, not_after):
        return False


class KilledDriver(SetPointDriver):
    """Stands for a process that is killed when it has written."""

    def has_written(self, device, set_point):
        raise SystemExit
