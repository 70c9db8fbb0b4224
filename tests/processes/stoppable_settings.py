"""The portal's settings with drivers that can be stopped between claim and send."""

from __future__ import annotations

from leapvpp.settings import *  # noqa: F403 - all of them
from leapvpp.settings import DEVICE_DRIVERS

DEVICE_DRIVERS = DEVICE_DRIVERS | {
    "mqtt": "tests.processes.stoppable.StoppableMqttDriver",
    "values": "tests.processes.stoppable.StoppableSetPointDriver",
}
