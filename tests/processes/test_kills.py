"""Seeded kill -9 of every kind of process while dispatches arrive: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from leapvpp.supervision.children import family
from tests.bodies import as_bytes, meter_body, text, timeslot
from tests.processes.running import Portal, command_line, parent_of, running_portal, wait_until

SEED = 20261128
METERS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(6)]
MAKE_ROWS = """
import json
from devices.models import Device
from meters.models import Meter
for number, meter_id in enumerate({meters}):
    meter = Meter.objects.create(meter_id=meter_id, **{fields})
    device = Device.objects.create(external_id=f"device-{{number}}", rated_power_kw=50)
    device.meter_devices.create(meter=meter)
print(json.dumps("made"))
"""
SHOW_ROWS = """
import json
from devices.models import Command, Device, DeviceSchedule
from dispatch.models import DispatchEvent, DispatchNotification, EventRevision
print(json.dumps({
    "notifications": list(DispatchNotification.objects.values_list("sha256", "status")),
    "events": list(DispatchEvent.objects.values_list("leap_event_id", "revision")),
    "revisions": EventRevision.objects.count(),
    "devices": {
        device.external_id: {
            "version": device.schedule_version,
            "accepted": device.simulated.accepted_version if hasattr(device, "simulated") else 0,
            "told": device.simulated.message if hasattr(device, "simulated") else {},
        }
        for device in Device.objects.select_related("simulated")
    },
    "versions": list(DeviceSchedule.objects.values_list("device__external_id", "version")),
    "open": Command.objects.filter(state__in=["PENDING", "SENT", "FAILED"]).count(),
}))
"""


class Leap(threading.Thread):
    """Posts a new dispatch every moment and, like Leap, repeats each until it is acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.is_over = threading.Event()
        self.acknowledged: dict[str, int] = {}

    def run(self) -> None:
        """Post until told that it is over."""
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
        number = 0
        while not self.is_over.wait(0.1):
            event_id = f"11111111-0000-4000-8000-{number:012d}"
            # Each meter's events follow each other with a gap, so that every event is a segment of its own.
            begin = start + timedelta(minutes=10 * (number // len(METERS)))
            slot = timeslot(
                event_id, start_time=text(begin), end_time=text(begin + timedelta(minutes=5)), energy_kw=10
            )
            meter = number % len(METERS)
            self._post_until_acknowledged(as_bytes(meter_body(slot, meter=METERS[meter])))
            self.acknowledged[event_id] = meter
            number += 1

    def _post_until_acknowledged(self, body: bytes) -> None:
        while True:
            try:
                answer = httpx.post(
                    f"{self.url}/webhooks/leap/dispatch/",
                    content=body,
                    headers={"x-api-key": "key-one"},
                    timeout=30,
                )
            except httpx.TransportError:
                continue
            if answer.status_code in {200, 202}:
                return
            assert answer.status_code == 503, answer.text


def child_of(pid: int, *, index: int) -> int:
    """Return one of a process's children, the oldest first; 0 if it has none just now."""
    children = sorted(child for child in family(pid) if parent_of(child) == pid)
    return children[index % len(children)] if children else 0


TARGETS: dict[str, Callable[[dict[str, int]], int]] = {
    "web process": lambda programs: child_of(programs["web"], index=0),
    "web server": lambda programs: programs["web"],
    "worker": lambda programs: child_of(child_of(programs["worker"], index=0), index=0),
    "other worker": lambda programs: child_of(child_of(programs["worker"], index=0), index=1),
    "worker's monitor": lambda programs: child_of(child_of(programs["worker"], index=0), index=2),
    "sentinel": lambda programs: child_of(programs["worker"], index=0),
    "cluster": lambda programs: programs["worker"],
    "command worker": lambda programs: child_of(child_of(programs["command worker"], index=0), index=0),
    "command cluster": lambda programs: programs["command worker"],
    "dispatcher": lambda programs: programs["dispatcher"],
}


def kill_one(portal: Portal, name: str) -> None:
    """Kill -9 the process of that name, as soon as there is one."""

    def strike() -> bool:
        programs = portal.programs()
        if not {"web", "worker", "command worker", "dispatcher"} <= set(programs):
            return False
        pid = TARGETS[name](programs)
        if not pid or not command_line(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    wait_until(strike, what=f"the kill of the {name}")


def make_rows(portal: Portal) -> None:
    """Put a meter with a simulated device behind each of the meters."""
    fields = {"enrollment_status": "ACTIVE"}
    assert portal.run(MAKE_ROWS.format(meters=METERS, fields=fields)) == "made"


def test_kill_9_of_any_process_loses_and_doubles_nothing(tmp_path):
    chance = random.Random(SEED)  # noqa: S311 - a seed is the point
    names = chance.sample(list(TARGETS), len(TARGETS))
    with running_portal(tmp_path) as portal:
        make_rows(portal)
        leap = Leap(portal.url)
        leap.start()
        for name in names:
            time.sleep(chance.uniform(0.5, 1.5))
            kill_one(portal, name)
        leap.is_over.set()
        leap.join(timeout=120)
        assert not leap.is_alive()
        acknowledged = leap.acknowledged
        expected = {f"device-{meter}": 0 for meter in range(len(METERS))}
        for meter in acknowledged.values():
            expected[f"device-{meter}"] += 1

        def settled() -> dict:
            rows = portal.run(SHOW_ROWS)
            told = {name: len(device["told"].get("segments", [])) for name, device in rows["devices"].items()}
            is_settled = (
                rows["open"] == 0
                and told == expected
                and all(device["accepted"] == device["version"] for device in rows["devices"].values())
                and all(status == "RECORDED" for _, status in rows["notifications"])
            )
            return rows if is_settled else {}

        rows = wait_until(settled, what="agreement of rows and devices")
        assert sorted(event_id for event_id, _ in rows["events"]) == sorted(acknowledged)
        assert {revision for _, revision in rows["events"]} == {1}
        assert rows["revisions"] == len(acknowledged)
        assert len(rows["notifications"]) == len(acknowledged)
        assert len(rows["versions"]) == len({tuple(version) for version in rows["versions"]})
