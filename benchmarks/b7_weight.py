"""B7: from a fresh clone to the first acknowledged dispatch, and the memory of all processes.

Clones this repository, runs `make run` with a warm package cache, posts a dispatch for a meter of the demo
and waits for its device's acknowledgement. Memory is PSS, so that pages shared between processes count once,
read at rest and again after 10,000 devices were added and told of a dispatch. Beside it: what a comparable
platform's fresh install was measured at (FlexMeasures), which this run does not repeat.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.harness import ROOT, report
from leapvpp.supervision.children import family

REFERENCE = {"seconds": 165, "rest_mb": 1500, "packages": 166}
KEY = "a-key-for-this-run-only"
PATIENCE_SECONDS = 300
ADD_DEVICES = """
from devices.models import Device, MeterDevice
from meters.models import Meter
rows = range(10000)
meters = Meter.objects.bulk_create([Meter(meter_id=f"77777777-0000-4000-8000-{n:012d}") for n in rows])
devices = Device.objects.bulk_create([Device(external_id=f"weight-{n}", rated_power_kw=10) for n in rows])
MeterDevice.objects.bulk_create([MeterDevice(meter=m, device=d) for m, d in zip(meters, devices)])
"""


def pss_mb(pids: frozenset[int]) -> float:
    """Return the proportional memory of processes in MB."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(kb) for kb in re.findall(r"^Pss:\s+(\d+)", text, re.M))
    return total / 1024


def wait_for(seen: Any, what: str) -> Any:
    """Return the first true value of `seen`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := seen()):
        if time.monotonic() > deadline:
            sys.exit(f"B7: {what} did not happen within {PATIENCE_SECONDS} s")
        time.sleep(0.2)
    return value


class Clone:
    """A fresh clone with its portal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "portal"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        kept = {name: os.environ[name] for name in ["PATH", "HOME", "LANG"] if name in os.environ}
        self.environment = kept | {"PORT": str(port), "LEAP_WEBHOOK_KEYS": KEY}
        if "DATABASE_URL" in os.environ:
            self.environment["DATABASE_URL"] = os.environ["DATABASE_URL"]
        self.log = folder / "run.log"

    def start(self) -> None:
        """Clone and run, as a newcomer does."""
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.folder)], check=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run", f"PORT={self.url.rpartition(':')[2]}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def manage(self, *command: str) -> str:
        """Run a command of the clone."""
        return subprocess.run(
            [".venv/bin/python", "manage.py", *command],
            cwd=self.folder,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def post(self, *, meters: list[str], event_id: str) -> None:
        """Post a group dispatch for the hour after the next."""
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        slot = {
            "market_group_event_id": event_id,
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(hours=1)).isoformat(),
            "cancelled": False,
            "performance_compensation_cap": "up-to-site-load",
            "priority": 1,
            "is_voluntary": False,
            "dispatch_event_types": ["day-ahead"],
            "programs": ["CCA"],
            "energy_kw": len(meters),
        }
        group = {"market_group_id": str(uuid4()), "meter_ids": meters, "timeslots": [slot]}
        httpx.post(
            f"{self.url}/webhooks/leap/dispatch/",
            json={"group_dispatches": [group]},
            headers={"x-api-key": KEY},
            timeout=60,
        ).raise_for_status()

    def acknowledged(self, *, event_id: str, external_id: str, key: str) -> bool:
        """Tell whether a device acknowledged a schedule that serves the event."""
        answer = httpx.get(
            f"{self.url}/api/v1/schedules/",
            params={"external_id": external_id},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )
        return any(
            row["state"] == "acknowledged"
            and any(event_id in segment["leap_event_ids"] for segment in row["segments"])
            for row in answer.json()["results"]
        )

    def stop(self) -> None:
        """Stop the portal, whatever became of it."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=60)


def measure(clone: Clone) -> dict[str, float]:
    """Return the figures of one clone."""
    began = time.monotonic()
    clone.start()
    wait_for(lambda: "Sign in: " in clone.log.read_text(), "the sign-in line")
    key = clone.manage("create_api_key", "b7", "--role", "viewer")
    devices = httpx.get(
        f"{clone.url}/api/v1/devices/", headers={"authorization": f"Bearer {key}"}, timeout=60
    ).json()["results"]
    device = next(row for row in devices if row["meter_ids"] and row["driver"] == "simulator")
    event_id = str(uuid4())
    clone.post(meters=device["meter_ids"][:1], event_id=event_id)
    wait_for(
        lambda: clone.acknowledged(event_id=event_id, external_id=device["external_id"], key=key),
        "the acknowledgement",
    )
    seconds = time.monotonic() - began
    time.sleep(5)
    rest = pss_mb(family(clone.process.pid))
    clone.manage("shell", "--no-imports", "--command", ADD_DEVICES)
    event_id = str(uuid4())
    clone.post(meters=[f"77777777-0000-4000-8000-{n:012d}" for n in range(10000)], event_id=event_id)
    wait_for(
        lambda: clone.acknowledged(event_id=event_id, external_id="weight-9999", key=key),
        "the acknowledgement of the last of 10,000",
    )
    return {
        "seconds": round(seconds, 1),
        "rest_mb": round(rest),
        "devices_10000_mb": round(pss_mb(family(clone.process.pid))),
        "packages": len(list(clone.folder.glob(".venv/lib/python3*/site-packages/*.dist-info"))),
    }


def main() -> None:
    """Measure, print one line, write JSON."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder))
        try:
            figures = measure(clone)
        except BaseException:
            print(clone.log.read_text()[-3000:] if clone.log.exists() else "")
            raise
        finally:
            clone.stop()
    report(
        "B7",
        portal=figures["seconds"],
        reference=REFERENCE["seconds"],
        unit="s",
        rest_mb=figures["rest_mb"],
        with_10000_devices_mb=figures["devices_10000_mb"],
        packages=figures["packages"],
        reference_rest_mb=REFERENCE["rest_mb"],
        reference_packages=REFERENCE["packages"],
    )


if __name__ == "__main__":
    main()
