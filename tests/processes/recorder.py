"""MQTT devices in a process of their own, with a clock of their own and a log of what they really did.

Run as `python -m tests.processes.recorder PORT FILE NAME...`; lives until its standard input ends. They
follow what they hold whatever becomes of the portal, and write a line of JSON for each thing that happens.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from devices.domain.schedule import ScheduleMessage
from tests.devices.mqtt_devices import MqttDevices

LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """What a device did: it `took` a schedule, was told it again (`repeat`), `refused` it; or it `runs`.

    `follows`: power and end of each segment of what it took. `runs`: went to `kw` by its clock; 0 is normal.
    """

    at: float
    device: str
    what: str
    version: int
    follows: tuple[tuple[float | None, str], ...] = ()
    kw: float = 0


class RecordingDevices(MqttDevices):
    """Honest devices that write down what they do."""

    def __init__(self, port: int, file: TextIO, names: Sequence[str]) -> None:
        super().__init__(port, *names)
        self.file = file
        self.running: dict[str, float] = dict.fromkeys(names, 0)
        self.writing = threading.Lock()

    def _take(self, message: ScheduleMessage) -> dict[str, Any]:
        taken = len(self.taken)
        answer = super()._take(message)
        is_new = len(self.taken) > taken
        what = "refused" if answer["status"] == "rejected" else "took" if is_new else "repeat"
        follows = [(each["target_kw"], each["end"]) for each in message["segments"]]
        self.note(message["device"], what, version=message["version"], follows=follows)
        return answer

    def look_at_the_clock(self) -> None:
        """Go to the power that is to be now, each device by what it holds."""
        now = datetime.now(UTC)
        for name, message in list(self.held.items()):
            kw = power_at(message, now=now)
            if kw != self.running[name]:
                self.running[name] = kw
                self.note(name, "runs", version=message["version"], kw=kw)

    def note(self, device: str, what: str, **more: Any) -> None:
        """Write a line that outlives this process."""
        with self.writing:
            self.file.write(json.dumps({"at": time.time(), "device": device, "what": what, **more}) + "\n")
            self.file.flush()


def power_at(message: ScheduleMessage, *, now: datetime) -> float:
    """Return what a schedule says for now; 0: normal."""
    for segment in message["segments"]:
        if datetime.fromisoformat(segment["start"]) <= now < datetime.fromisoformat(segment["end"]):
            return segment["target_kw"] or 0
    return 0


class Recorded:
    """The log of devices in another process."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def entries(self) -> list[Entry]:
        """Return everything so far, in order; a line that is being written is left for the next time."""
        lines = self.file.read_text().split("\n")[:-1]
        return [as_entry(json.loads(line)) for line in lines]

    def last_taken(self) -> dict[str, Entry]:
        """Return what each device took last."""
        return {entry.device: entry for entry in self.entries() if entry.what == "took"}

    def power(self) -> dict[str, float]:
        """Return the power of each device that ever left the normal."""
        return {entry.device: entry.kw for entry in self.entries() if entry.what == "runs"}

    def versions(self) -> dict[str, list[int]]:
        """Return the versions that had an effect, device by device, in order."""
        found: dict[str, list[int]] = {}
        for entry in self.entries():
            if entry.what == "took":
                found.setdefault(entry.device, []).append(entry.version)
        return found


def as_entry(line: dict[str, Any]) -> Entry:
    """Return a line of the log."""
    follows = tuple((kw, end) for kw, end in line.pop("follows", ()))
    return Entry(**line, follows=follows)


@contextmanager
def recording_devices(folder: Path, port: int, names: Sequence[str]) -> Iterator[Recorded]:
    """Run the devices until the end."""
    file = folder / "devices.log"
    file.touch()
    command = [sys.executable, "-m", "tests.processes.recorder", str(port), str(file), *names]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "the devices did not start"
        yield Recorded(file)
        process.communicate()


def main(port: str, path: str, *names: str) -> None:
    """Be the devices until standard input ends."""
    listening = threading.Thread(target=sys.stdin.read, daemon=True)
    listening.start()
    with Path(path).open("a") as file:
        devices = RecordingDevices(int(port), file, names)
        with devices:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            while listening.is_alive():
                devices.look_at_the_clock()
                time.sleep(LOOK_EVERY_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
