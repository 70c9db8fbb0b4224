"""B4: a dispatch, an update, a cancellation for 1,000 MQTT devices, from Leap's POST to the last note of it.

Measured: a whole portal as `manage.py up` runs it (webhook, parsing, planning, commands, driver), on the
database that DATABASE_URL names, else SQLite. Reference: the messages that the devices were told, published
once more by a bare aiomqtt loop over one connection, to the last device's note of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from uuid import uuid4

import aiomqtt

from benchmarks.harness import report, seconds
from tests.bodies import group_body, text, timeslot
from tests.devices.mqtt_devices import PROGRAM, WITHOUT_DELAY
from tests.processes.fleet import KEY, Fleet, fleet_portal, running_fleet
from tests.processes.running import Portal

DEVICES = 1000
ROUNDS = 3
PATIENCE_SECONDS = 120


def changes(fleet: Fleet) -> list[tuple[str, dict, dict]]:
    """The bodies of a new event's life, and what each device follows after each."""
    size = len(fleet.meter_ids)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    times = {"start_time": text(start), "end_time": text(start + timedelta(hours=1))}
    slot = timeslot(str(uuid4()), level="group", energy_kw=size, nomination_kw=None, **times)
    return [
        ("dispatch", slot, {"power_kw": 1, "until": slot["end_time"]}),
        ("update", slot | {"energy_kw": 2 * size}, {"power_kw": 2, "until": slot["end_time"]}),
        ("cancellation", slot | {"cancelled": True}, {"power_kw": None}),
    ]


def through_portal(portal: Portal, fleet: Fleet, slot: dict, wanted: dict) -> None:
    """Post a change and wait until every device follows it."""
    body = group_body(slot, meters=fleet.meter_ids)
    assert portal.client.post("/webhooks/leap/dispatch/", json=body, headers=KEY).status_code == 202
    wait_for(lambda: fleet.all_follow(**wanted))


async def bare(fleet: Fleet) -> None:
    """Publish what every device was told last, as a version of its own, and wait for the devices' notes."""
    held = fleet.mqtt.held
    newer = {name: message["version"] + 1 for name, message in held.items()}
    told = {name: message | {"version": newer[name]} for name, message in held.items()}
    bodies = [(f"leapvpp/devices/{name}/schedule", json.dumps(message)) for name, message in told.items()]
    async with aiomqtt.Client("127.0.0.1", fleet.broker, socket_options=[WITHOUT_DELAY]) as client:
        client.pending_calls_threshold = len(bodies)
        await asyncio.gather(*(client.publish(*body, qos=1, retain=True) for body in bodies))
    wait_for(lambda: all(held[name]["version"] >= version for name, version in newer.items()))


def wait_for(seen: Callable[[], bool]) -> None:
    """Look every hundredth of a second."""
    deadline = perf_counter() + PATIENCE_SECONDS
    while not seen():
        assert perf_counter() < deadline, "the devices did not all follow"
        sleep(0.01)


def measure(size: int) -> None:
    """Measure the steps of three events, and the bare loop, and print a line a step."""
    database = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    ours: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, running_fleet(Path(name), mqtt=size, http=0) as fleet:
        with fleet_portal(fleet, Path(name)) as portal:
            for _ in range(ROUNDS):
                for step, slot, wanted in changes(fleet):
                    took, _ = seconds(partial(through_portal, portal, fleet, slot, wanted))
                    ours.setdefault(step, []).append(took)
        theirs = min(seconds(lambda: asyncio.run(bare(fleet)))[0] for _ in range(ROUNDS))
    for step, times in ours.items():
        more = {"database": database, "size": size, "longest": round(max(times), 2)}
        report(f"B4 {step}", portal=min(times), reference=theirs, unit="s", **more)


if __name__ == "__main__":
    if Path(PROGRAM).exists():
        measure(int(sys.argv[1]) if sys.argv[1:] else DEVICES)
    else:
        print("b4_change: no mosquitto, left out")
