"""B5: 1,000 set-point devices over Modbus TCP due in one second, each written with its timer and read back.

Measured: `ModbusDriver.deliver_all` in the batches that commanding would make, without the database.
Reference: a bare pymodbus loop with as many at once that connects, writes the same registers and reads them
back, without looking what models there are, whose control it is or what the device does. The devices are a
process of their own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from ipaddress import ip_network

from django.conf import settings
from pymodbus.client import AsyncModbusTcpClient

import benchmarks.with_django  # noqa: F401 - sets Django up before what needs its models
from benchmarks.harness import report, seconds
from devices.domain.schedule import Mode, as_message
from devices.drivers.base import Answer, Delivery, SetPoint
from devices.drivers.modbus import ModbusDriver
from devices.models import Device
from tests.devices.sunspec_device import NEW_STORAGE, sunspec_map, sunspec_server

DEVICES = 1000
UNITS = 200
"""Devices at one address: Modbus knows no more than 247."""
ROUNDS = 3
MODEL_704 = 40000 + 2 + 68 + 155 + 52
"""Where the model begins in the map, after SunSpec's mark and models 1, 701 and 702."""


def deliveries(ports: Sequence[int], *, size: int, kw: int) -> list[Delivery]:
    """A set-point for each device."""
    now = datetime.now(UTC)
    found = []
    for number in range(size):
        device = Device(pk=number + 1, external_id=f"bench-{number:05}", rated_power_kw=Decimal(10))
        place = {"host": "127.0.0.1", "port": ports[number // UNITS], "unit_id": number % UNITS + 1}
        device.settings = place | {"timeout_seconds": 5}
        told = SetPoint(1, Mode.DISCHARGE, Decimal(kw), now + timedelta(seconds=180))
        message = as_message(
            device=device.external_id,
            version=1,
            issued_at=now,
            expires_at=now + timedelta(hours=1),
            segments=[],
        )
        found.append(Delivery(message, device, set_point=told, not_after=now + timedelta(hours=1)))
    return found


def deliver(driver: ModbusDriver, wanted: Sequence[Delivery]) -> None:
    """Deliver as commanding does."""
    for first in range(0, len(wanted), driver.concurrency):
        batch = wanted[first : first + driver.concurrency]
        results = [result for group in driver.deliver_all(batch) for _, result in group]
        refused = [each for each in results if not isinstance(each, Answer) or not each.proof]
        assert not refused, refused[:3]


async def bare(wanted: Sequence[Delivery], *, at_once: int) -> None:
    """Write timer, power and switch of model 704, and read the model back."""
    places = asyncio.Semaphore(at_once)

    async def write(port: int, unit: int) -> None:
        async with places:
            client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=60)
            assert await client.connect()
            for offset, values in ((31, [0, 180]), (23, [0]), (24, [0, 3000]), (22, [1])):
                answer = await client.write_registers(MODEL_704 + offset, values, device_id=unit)
                assert not answer.isError(), answer
            read = await client.read_holding_registers(MODEL_704, count=67, device_id=unit)
            assert read.registers[22] == 1
            client.close()

    settings_of = [each.device.settings for each in wanted]
    await asyncio.gather(*(write(each["port"], each["unit_id"]) for each in settings_of))


@contextmanager
def fleet(size: int) -> Iterator[list[int]]:
    """Devices in a process of their own; gives the ports."""
    command = [sys.executable, "-m", "benchmarks.b5_herd_modbus", "--devices", str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
        process.communicate()


def be_devices(size: int) -> None:
    """Answer until standard input ends."""
    with ExitStack() as stack:
        servers = [stack.enter_context(sunspec_server()) for _ in range(-(-size // UNITS))]
        for number in range(size):
            servers[number // UNITS].add(sunspec_map(NEW_STORAGE))
        print(*(server.port for server in servers), flush=True)
        sys.stdin.read()


def measure(size: int) -> None:
    """Measure the first time, when maps are walked through, later ones, and the bare loop."""
    driver = ModbusDriver()
    driver.timeout_seconds = 60  # a busy machine is slow, not silent
    with fleet(size) as ports:
        settings.DEVICE_NETWORKS = (ip_network("127.0.0.0/8"),)
        settings.DEVICE_MODBUS_PORTS = ports
        first, _ = seconds(partial(deliver, driver, deliveries(ports, size=size, kw=2)))
        ours, theirs = [], []
        for turn in range(ROUNDS):
            wanted = deliveries(ports, size=size, kw=3 + turn)
            ours.append(seconds(partial(deliver, driver, wanted))[0])
            loop = bare(wanted, at_once=driver.concurrency)
            theirs.append(seconds(partial(asyncio.run, loop))[0])
    more = {"size": size, "at_once": driver.concurrency, "first_time": round(first, 2)}
    report("B5 modbus", portal=min(ours), reference=min(theirs), unit="s", **more)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--devices"]:
        be_devices(int(sys.argv[2]))
    else:
        measure(int(sys.argv[1]) if sys.argv[1:] else DEVICES)
