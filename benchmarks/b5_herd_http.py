"""B5: 1,000 HTTP devices told in the same second, 50 ms each: at one vendor's cloud, then an address each.

Measured: `HttpDriver.deliver_all` in the batches that commanding would make, without the database. Reference:
a bare httpx loop with the same number at once that signs nothing, guards no address and takes any 200 for an
answer. The devices are a process of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network

import httpx
from django.conf import settings

import benchmarks.with_django  # noqa: F401 - sets Django up before what needs its models
from benchmarks.harness import report, seconds
from devices.domain.schedule import ScheduleMessage, as_message
from devices.drivers.base import Answer, Delivery
from devices.drivers.http import HttpDriver
from devices.models import Device
from tests.builders import segment
from tests.devices.http_device import SECRET

DEVICES = 1000
ROUNDS = 3
ANSWERS_AFTER = 0.05


def address(number: int, port: int, *, is_apart: bool) -> str:
    """Where a device is: a path at one address, or an address of its own on the loopback network."""
    host = f"127.0.{1 + number // 250}.{1 + number % 250}" if is_apart else "127.0.0.1"
    return f"http://{host}:{port}/{number}"


def deliveries(size: int, port: int, *, version: int, is_apart: bool) -> list[Delivery]:
    """A segment for each device."""
    now = datetime.now(UTC)
    found = []
    for number in range(size):
        device = Device(pk=number + 1, external_id=f"bench-{number:05}")
        device.settings = {"url": address(number, port, is_apart=is_apart), "secret": SECRET}
        message = as_message(
            device=device.external_id,
            version=version,
            issued_at=now,
            expires_at=now + timedelta(days=1),
            segments=[segment(60, 120)],
        )
        found.append(Delivery(message, device))
    return found


def deliver(driver: HttpDriver, wanted: Sequence[Delivery]) -> None:
    """Deliver as commanding does."""
    for first in range(0, len(wanted), driver.concurrency):
        batch = wanted[first : first + driver.concurrency]
        results = [result for group in driver.deliver_all(batch) for _, result in group]
        assert results == [Answer(is_accepted=True)] * len(batch), results[:3]


async def bare(wanted: Sequence[Delivery], *, at_once: int) -> None:
    """PUT as many at once and look at the status."""
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    places = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def put(message: ScheduleMessage, url: str) -> None:
            async with places:
                answer = await client.put(url, json=message)
            assert answer.status_code == 200

        await asyncio.gather(*(put(each.message, each.device.settings["url"]) for each in wanted))


@contextmanager
def fleet() -> Iterator[int]:
    """Devices in a process of their own; gives their port."""
    command = [sys.executable, "-m", "benchmarks.b5_herd_http", "--devices"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


async def be_devices() -> None:
    """Answer every request after its time, until standard input ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                body = await reader.readexactly(int(length.partition(b":")[2]))
                await asyncio.sleep(ANSWERS_AFTER)
                said = json.dumps({"version": json.loads(body)["version"]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0, backlog=4096)  # noqa: S104 - every address of loopback
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # whoever still waits for a request needs no goodbye


def measure(size: int, port: int, *, is_apart: bool) -> None:
    """Measure both in turns and print the line."""
    driver = HttpDriver()
    driver.timeout_seconds = 60  # a busy machine is slow, not silent
    ours, theirs = [], []
    for turn in range(ROUNDS):
        wanted = deliveries(size, port, version=turn + 1, is_apart=is_apart)
        ours.append(seconds(partial(deliver, driver, wanted))[0])
        loop = bare(wanted, at_once=driver.concurrency)
        theirs.append(seconds(partial(asyncio.run, loop))[0])
    driver.close()
    kind = "apart" if is_apart else "cloud"
    report(
        f"B5 http {kind}",
        portal=min(ours),
        reference=min(theirs),
        unit="s",
        size=size,
        at_once=driver.concurrency,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--devices"]:
        asyncio.run(be_devices())
    else:
        with fleet() as served_at:
            settings.DEVICE_NETWORKS = (ip_network("127.0.0.0/8"),)
            settings.DEVICE_PORTS = (served_at,)
            for apart in (False, True):
                measure(int(sys.argv[1]) if sys.argv[1:] else DEVICES, served_at, is_apart=apart)
