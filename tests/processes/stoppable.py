"""The MQTT driver, which stops its own process where a pause hurts most: between claim and send."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from devices.drivers.base import Delivery, Result
from devices.drivers.mqtt import MqttDriver

FOLDER = "STOP_FOLDER"
"""The variable with the folder where a file of a device's name asks for a stop before the next send to it."""


class StoppableMqttDriver(MqttDriver):
    """Obeys a file `stop-DEVICE` once; leaves its process's id in `stopped-DEVICE`, at last `sent-DEVICE`."""

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Stop if asked to; then deliver as ever."""
        folder = Path(os.environ[FOLDER])
        stopped = [name for name in names_of(deliveries) if take(folder / f"stop-{name}")]
        for name in stopped:
            (folder / f"stopped-{name}").write_text(str(os.getpid()))
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        yield from super().deliver_all(deliveries)
        for name in stopped:
            (folder / f"sent-{name}").touch()


def names_of(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message["device"] for delivery in deliveries]


def take(file: Path) -> bool:
    """Remove a file; False if another process was faster or there is none."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True
