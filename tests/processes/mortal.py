"""A portal that is killed and started again, above devices and a broker that live on.

Under torture the PostgreSQL is one of the tests' own, and dies with it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from uuid import UUID, uuid4

from tests.bodies import meter_body, text, timeslot
from tests.devices.mqtt_devices import mosquitto
from tests.processes.fleet import KEY, MAKE_ROWS
from tests.processes.postgres import PrivatePostgres, private_postgres
from tests.processes.recorder import Recorded, recording_devices, takes_values
from tests.processes.running import AS_INSTALLED, Portal, empty_database, is_over, wait_until
from tests.processes.sizes import IS_FULL
from tests.processes.stoppable import FOLDER

AGREED_WITHIN_SECONDS = 60
SHOWN = {
    "dispatch.DispatchEvent": "leap_event_id energy_kw ends_at is_cancelled is_confirmed plan_requested_at",
    "devices.Command": "key kind state detail next_attempt_at claimed_until expires_at",
    "devices.Device": "external_id schedule_version plan_requested_at busy_until rests_until",
    "django_q.OrmQ": "key lock",
}
SHOW_ROWS = """
from django.apps import apps
from django.utils import timezone
print(timezone.now())
for model, fields in {shown}.items():
    for row in apps.get_model(model).objects.order_by("pk").values("pk", *fields.split()):
        print(model, *(f"{{name}}={{value}}" for name, value in row.items()))
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What Leap last said of a device's one event, and when."""

    event_id: str
    start: datetime
    end: datetime
    kw: float
    posted_at: float = 0

    @property
    def follows(self) -> tuple[tuple[float, str], ...]:
        """What the device is to take because of it; nothing once it is cancelled, which is 0 kW here."""
        return ((self.kw, text(self.end)),) if self.kw else ()


class World:
    """Devices and a broker that outlive the portals above them, a database, and what Leap said so far."""

    def __init__(
        self,
        *,
        folder: Path,
        database: str,
        server: PrivatePostgres | None,
        broker: int,
        names: Sequence[str],
        log: Recorded,
    ) -> None:
        self.folder = folder
        self.database = database
        self.server = server
        self.names = names
        self.log = log
        self.meters = {name: str(UUID(int=number + 1)) for number, name in enumerate(names)}
        self.asked: dict[str, Asked] = {}
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.latencies: list[float] = []
        self.portals: list[Portal] = []
        self.environment = AS_INSTALLED | {
            "MQTT_URL": f"mqtt://127.0.0.1:{broker}",
            "DJANGO_SETTINGS_MODULE": "tests.processes.stoppable_settings",
            "WEB_WORKERS": "1",
            FOLDER: str(folder),
        }

    def start(self) -> Portal:
        """Start a portal beside those that run, and the database if it was killed."""
        if self.server and not self.portals:
            self.server.start()
        place = self.folder / f"portal-{uuid4().hex}"
        place.mkdir()
        portal = Portal(folder=place, database=self.database, environment=self.environment)
        self.portals.append(portal)
        return portal

    def kill(self) -> None:
        """End every process of every portal at once, none of which has a word in it."""
        for portal in self.portals:
            everything = portal.everything()
            os.kill(portal.process.pid, signal.SIGSTOP)  # so that it starts nothing anew meanwhile
            for pid in {*everything, *portal.everything()} - {portal.process.pid}:
                kill_9(pid)
            kill_9(portal.process.pid)
            portal.process.wait()
            wait_until(partial(is_over, everything), what="the end of all")
        self.portals.clear()
        if self.server:
            self.server.kill()

    def close(self) -> None:
        """Stop what runs."""
        for portal in self.portals:
            if portal.process.poll() is None:
                portal.process.terminate()
        for portal in self.portals:
            portal.process.wait(timeout=60)

    def make_rows(self) -> None:
        """Register a meter for each device."""
        rows = [
            {
                "meter_id": meter,
                "external_id": name,
                "fields": {
                    "driver": "values" if takes_values(name) else "mqtt",
                    "settings": {"port": self.log.port},
                    "rated_power_kw": 50,
                },
            }
            for name, meter in self.meters.items()
        ]
        file = self.folder / "rows.json"
        file.write_text(json.dumps(rows))
        assert self.portals[0].run(MAKE_ROWS.format(file=str(file))) == [len(rows), 0]

    def ask(self, name: str, *, kw: float, seconds: int | None = None, portal: int = 0) -> None:
        """Have Leap call the device, or change the power or end of its call; 0 kW: call it off.

        `seconds`: how long from now; else ten minutes from the call.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        before = self.asked.get(name)
        if before is None or not before.kw or before.end <= now:
            before = Asked(str(uuid4()), start=now, end=now + timedelta(minutes=10), kw=kw)
        end = before.end if seconds is None else now + timedelta(seconds=seconds)
        new = replace(before, end=end, kw=kw, posted_at=time.time())
        slot = timeslot(
            new.event_id,
            start_time=text(new.start),
            end_time=text(new.end),
            cancelled=not kw,
            energy_kw=kw or 1,
        )
        self._post(meter_body(slot, meter=self.meters[name], unique=uuid4().hex), portal=portal)
        self.asked[name] = new
        self.history[name].append(kw)

    def _post(self, body: dict, *, portal: int) -> None:
        answer = self.portals[portal].client.post("/webhooks/leap/dispatch/", json=body, headers=KEY)
        assert answer.status_code == 202, answer.text

    def agreed(self, *names: str) -> bool:
        """Tell whether these devices, else all that Leap spoke of, do what it last asked for."""
        return not self.differing(*names)

    def differing(self, *names: str) -> dict[str, tuple]:
        """Return what was asked and what is done where that differs."""
        taken, power, now = self.log.last_taken(), self.log.power(), datetime.now(UTC)
        found: dict[str, tuple] = {}
        for name in names or self.asked:
            asked = self.asked[name]
            if takes_values(name):
                pair: tuple = (asked.kw if now < asked.end else 0, power.get(name, 0))
            else:
                pair = (asked.follows, taken[name].follows if name in taken else ())
            if pair[0] != pair[1]:
                found[name] = pair
        return found

    def wait_agreed(self, *names: str, what: str) -> None:
        """Wait for that, and note how long the changes took from Leap's POST."""
        deadline = time.monotonic() + AGREED_WITHIN_SECONDS
        while differing := self.differing(*names):
            assert time.monotonic() < deadline, f"No agreement after {what}: {differing}\n{self.rows()}"
            time.sleep(0.1)
        taken = self.log.last_taken()
        self.latencies += [
            taken[name].at - self.asked[name].posted_at for name in names or self.asked if name in taken
        ]

    def rows(self) -> str:
        """Return what the portal knows, for whoever must find out what went wrong."""
        return self.portals[0].manage("shell", "--no-imports", "--command", SHOW_ROWS.format(shown=SHOWN))

    def check_effects(self) -> None:
        """No device took a version twice, or one older than it had, or went back to what was asked before."""
        for name, versions in self.log.versions().items():
            assert versions == sorted(set(versions)), (name, versions)
        for name in filter(takes_values, self.names):
            effects = without_repeats(
                entry.kw for entry in self.log.entries() if (entry.device, entry.what) == (name, "runs")
            )
            asked = iter(without_repeats(self.history[name]))
            assert all(kw in asked for kw in effects), (name, effects, self.history[name])


def without_repeats(powers: Iterable[float]) -> list[float]:
    """Return powers in order, without the normal in between and what was renewed after it."""
    return [kw for kw, _ in groupby(kw for kw in powers if kw)]


def kill_9(pid: int) -> None:
    """End a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def mortal_world(folder: Path, *, mqtt: int, values: int) -> Iterator[World]:
    """Devices, broker and database, with one portal above them."""
    names = [f"mqtt-{number:03}" for number in range(mqtt)] + [f"value-{n:03}" for n in range(values)]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        log = stack.enter_context(recording_devices(folder, broker, names))
        server = None
        if IS_FULL and os.environ.get("DATABASE_URL", "").startswith("postgres"):
            server = stack.enter_context(private_postgres())
        database = server.url if server else stack.enter_context(empty_database(folder))
        world = World(folder=folder, database=database, server=server, broker=broker, names=names, log=log)
        stack.callback(world.close)
        world.start()
        world.make_rows()
        yield world
