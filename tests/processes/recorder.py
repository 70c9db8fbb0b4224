"""Devices in a process of their own, with a clock of their own and a log of what they really did.

Run as `python -m tests.processes.recorder PORT FILE NAME...`; lives until its standard input ends. Those
that hold a schedule listen at the broker on that port; those named `value-…` take values on a socket, whose
port is printed at the start. They follow what they hold whatever becomes of the portal, and write a line of
JSON for each thing that happens.
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
from tests.devices.setpoint_devices import NORMAL, SetPointDevices

LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """What a device did: it `took` a schedule, was told it again (`repeat`), `refused` it; or it `runs`.

    `follows`: power and end of each segment of what it took. `runs`: went to `kw` by its clock; 0 is normal.
    `write`: was told a value, which lapses; the same again renews it.
    """

    at: float
    device: str
    what: str
    version: int = 0
    follows: tuple[tuple[float | None, str], ...] = ()
    kw: float = 0


class Log:
    """Written line by line, so that it outlives whoever writes."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.running: dict[str, float] = {}
        self.writing = threading.Lock()

    def note(self, device: str, what: str, **more: Any) -> None:
        """Write what happened."""
        with self.writing:
            self.file.write(json.dumps({"at": time.time(), "device": device, "what": what, **more}) + "\n")
            self.file.flush()

    def note_power(self, device: str, kw: float) -> None:
        """Write a power that is another than before."""
        if kw != self.running.get(device, 0):
            self.running[device] = kw
            self.note(device, "runs", kw=kw)


class RecordingDevices(MqttDevices):
    """Honest devices with a schedule that write down what they do."""

    def __init__(self, port: int, log: Log, names: Sequence[str]) -> None:
        super().__init__(port, *names)
        self.log = log

    def _take(self, message: ScheduleMessage) -> dict[str, Any]:
        taken = len(self.taken)
        answer = super()._take(message)
        is_new = len(self.taken) > taken
        what = "refused" if answer["status"] == "rejected" else "took" if is_new else "repeat"
        follows = [(each["target_kw"], each["end"]) for each in message["segments"]]
        self.log.note(message["device"], what, version=message["version"], follows=follows)
        return answer

    def look_at_the_clock(self) -> None:
        """Go to the power that is to be now, each device by what it holds."""
        now = datetime.now(UTC)
        for name, message in list(self.held.items()):
            self.log.note_power(name, power_at(message, now=now))


class RecordingValues(SetPointDevices):
    """Devices that take values and write down what they do."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.file = log

    def _note(self, what: str, name: str, value: str) -> None:
        super()._note(what, name, value)
        self.file.note(name, what, kw=power_of(value))

    def look_at_the_clock(self) -> None:
        """Go to the power that is to be now, which is none once the value has lapsed."""
        for name in list(self.values):
            self.file.note_power(name, power_of(self.holds(name)))


def power_of(value: str) -> float:
    """Return the power of a value as the tests' driver writes it."""
    return 0 if value == NORMAL else float(value.split()[-1])


def power_at(message: ScheduleMessage, *, now: datetime) -> float:
    """Return what a schedule says for now; 0: normal."""
    for segment in message["segments"]:
        if datetime.fromisoformat(segment["start"]) <= now < datetime.fromisoformat(segment["end"]):
            return segment["target_kw"] or 0
    return 0


class Recorded:
    """The log of devices in another process, and where those that take values listen."""

    def __init__(self, file: Path, *, port: int) -> None:
        self.file = file
        self.port = port
        self.read_to = 0
        self.read: list[Entry] = []

    def entries(self) -> list[Entry]:
        """Return everything so far, in order; a line that is being written is left for the next time."""
        with self.file.open("rb") as file:
            file.seek(self.read_to)
            new = file.read().rpartition(b"\n")[0].splitlines(keepends=True)
        self.read_to += sum(map(len, new)) + bool(new)
        self.read += [as_entry(json.loads(line)) for line in new]
        return self.read

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


def takes_values(name: str) -> bool:
    """Say whether a device of that name holds no schedule."""
    return name.startswith("value-")


@contextmanager
def recording_devices(folder: Path, port: int, names: Sequence[str]) -> Iterator[Recorded]:
    """Run the devices until the end."""
    file = folder / "devices.log"
    file.touch()
    command = [sys.executable, "-m", "tests.processes.recorder", str(port), str(file), *names]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        started = process.stdout.readline()
        assert started, "the devices did not start"
        yield Recorded(file, port=int(started))
        process.communicate()


def main(port: str, path: str, *names: str) -> None:
    """Be the devices until standard input ends."""
    listening = threading.Thread(target=sys.stdin.read, daemon=True)
    listening.start()
    with Path(path).open("a") as file:
        log = Log(file)
        values = RecordingValues(log)
        devices = RecordingDevices(int(port), log, [name for name in names if not takes_values(name)])
        with devices:
            sys.stdout.write(f"{values.port}\n")
            sys.stdout.flush()
            while listening.is_alive():
                devices.look_at_the_clock()
                values.look_at_the_clock()
                time.sleep(LOOK_EVERY_SECONDS)
        values.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
