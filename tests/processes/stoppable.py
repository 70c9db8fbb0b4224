"""Drivers that stop their own process where a pause hurts most: between claim and send."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from devices.drivers.base import Answer, Capabilities, Delivery, Result, SetPoint
from devices.drivers.mqtt import MqttDriver
from devices.lanes import Traffic
from devices.models import Device
from tests.devices.drivers import SetPointDriver

LEASE_SECONDS = 6
PATIENCE_SECONDS = 2
FOLDER = "STOP_FOLDER"
"""The variable with the folder where a file of a device's name asks for a stop before the next send to it."""


class StoppableMqttDriver(MqttDriver):
    """Obeys a file `stop-DEVICE` once; leaves its process's id in `stopped-DEVICE`, at last `sent-DEVICE`."""

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Stop if asked to; then deliver as ever."""
        stopped = stop_if_asked([delivery.message["device"] for delivery in deliveries])
        yield from super().deliver_all(deliveries)
        note_sent(stopped)


class StoppableSetPointDriver(SetPointDriver):
    """As above, just before its last look at the clock. Its devices go back to normal soon."""

    capabilities = Capabilities(holds_schedule=False, reads_back=True, lease_seconds=LEASE_SECONDS)
    timeout_seconds = 3

    def apply(self, set_point: SetPoint, device: Device, *, not_after: datetime) -> Answer:
        """Stop if asked to; then write, or not, as ever."""
        stopped = stop_if_asked([device.external_id])
        try:
            return super().apply(set_point, device, not_after=not_after)
        finally:
            note_sent(stopped)


def stop_if_asked(names: Sequence[str]) -> list[str]:
    """Stop this process if that is asked for before a send to one of these; return for which."""
    folder = Path(os.environ[FOLDER])
    stopped = [name for name in names if take(folder / f"stop-{name}")]
    for name in stopped:
        (folder / f"stopped-{name}").write_text(str(os.getpid()))
    if stopped:
        wait_until_nothing_is_written()
        os.kill(os.getpid(), signal.SIGSTOP)
    return stopped


def wait_until_nothing_is_written() -> None:
    """Wait until this process's main thread waits for answers.

    Stopped within a transaction on SQLite it would keep everybody from writing for as long as it sleeps.
    """
    main = threading.main_thread().ident
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        frame = sys._current_frames().get(main) if main else None
        while frame and frame.f_code.co_name != Traffic._drained.__name__:
            frame = frame.f_back
        if frame:
            return
        time.sleep(0.002)


def note_sent(names: Sequence[str]) -> None:
    """Say that a send after a stop has come to its end."""
    for name in names:
        (Path(os.environ[FOLDER]) / f"sent-{name}").touch()


def take(file: Path) -> bool:
    """Remove a file; False if another process was faster or there is none."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True
