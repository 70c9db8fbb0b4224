"""B4: a schedule for each of 1,000 MQTT devices out and acknowledged, on a Mosquitto of its own.

Measured: `MqttDriver.deliver_all` in the batches that commanding would make, without the database. Reference:
a bare aiomqtt loop that publishes the same bodies over one connection and waits for the same
acknowledgements, without telling one version from another. The devices are one connection in a process of
their own. Both ends and the broker have TCP_NODELAY.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiomqtt
from django.conf import settings

import benchmarks.with_django  # noqa: F401 - sets Django up before what needs its models
from benchmarks.harness import best_of, report, seconds
from devices.domain.schedule import ScheduleMessage, as_message
from devices.drivers.base import Answer, Delivery
from devices.drivers.mqtt import MqttDriver
from devices.models import Device
from tests.builders import segment
from tests.devices.mqtt_devices import PROGRAM, WITHOUT_DELAY, MqttDevices, mosquitto

DEVICES = 1000
ROUNDS = 3


def names(size: int) -> list[str]:
    """The devices' ids."""
    return [f"bench-{number:05}" for number in range(size)]


def messages(size: int, *, version: int) -> list[ScheduleMessage]:
    """A day of hourly segments for each device."""
    now = datetime.now(UTC)
    segments = [segment(60 * hour, 60 * hour + 60) for hour in range(24)]
    return [
        as_message(
            device=name, version=version, issued_at=now, expires_at=now + timedelta(days=1), segments=segments
        )
        for name in names(size)
    ]


def deliver(driver: MqttDriver, wanted: Sequence[ScheduleMessage]) -> None:
    """Deliver as commanding does, a batch after another."""
    deliveries = [Delivery(each, Device(external_id=each["device"])) for each in wanted]
    for first in range(0, len(deliveries), driver.concurrency):
        batch = deliveries[first : first + driver.concurrency]
        results = [result for group in driver.deliver_all(batch) for _, result in group]
        assert results == [Answer(is_accepted=True)] * len(batch), "not every device accepted"


async def bare(port: int, wanted: Sequence[ScheduleMessage]) -> None:
    """Publish and wait for as many acknowledgements as there are devices."""
    bodies = [(f"leapvpp/devices/{each['device']}/schedule", json.dumps(each)) for each in wanted]
    async with aiomqtt.Client("127.0.0.1", port, socket_options=[WITHOUT_DELAY]) as client:
        client.pending_calls_threshold = len(bodies)
        await client.subscribe("leapvpp/devices/+/ack", qos=1)
        publishing = asyncio.gather(*(client.publish(*body, qos=1, retain=True) for body in bodies))
        left = len(bodies)
        async for _ in client.messages:
            left -= 1
            if not left:
                break
        await publishing


@contextmanager
def fleet(port: int, size: int) -> Iterator[None]:
    """Honest devices in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.b4_mqtt", "--devices", str(port), str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "the devices did not start"
        yield
        process.communicate()


def be_devices(port: int, size: int) -> None:
    """Answer until standard input ends."""
    with MqttDevices(port, *names(size)):
        print("ready", flush=True)
        sys.stdin.read()


def measure(size: int) -> None:
    """Measure both in turns and print the line."""
    driver = MqttDriver()
    driver.timeout_seconds = 60  # a busy machine is slow, not silent
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port, fleet(port, size):
        settings.MQTT_URL = f"mqtt://127.0.0.1:{port}"
        ours, theirs = [], []
        for turn in range(ROUNDS):
            wanted = messages(size, version=2 * turn + 1)
            ours.append(seconds(partial(deliver, driver, wanted))[0])
            wanted = messages(size, version=2 * turn + 2)
            theirs.append(seconds(partial(asyncio.run, bare(port, wanted)))[0])
        one = messages(1, version=100)
        single = best_of(5, lambda: deliver(driver, one))
    report(
        "B4 mqtt",
        portal=min(ours),
        reference=min(theirs),
        unit="s",
        size=size,
        per_second=round(size / min(ours)),
        single_ms=round(single * 1000, 1),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--devices"]:
        be_devices(int(sys.argv[2]), int(sys.argv[3]))
    elif not Path(PROGRAM).exists():
        print("b4_mqtt: no mosquitto, left out")
    else:
        measure(int(sys.argv[1]) if sys.argv[1:] else DEVICES)
