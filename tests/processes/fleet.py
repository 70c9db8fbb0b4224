"""Devices over every protocol on this machine, and a portal that is told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from tests.devices.http_device import SECRET, HttpDevice, http_device
from tests.devices.mqtt_devices import MqttDevices, mosquitto
from tests.processes.running import Portal, running_portal

KEY = {"x-api-key": "key-one", "authorization": ""}

MAKE_ROWS = """
import json
from pathlib import Path
from devices.registering import register_devices
from django.utils import timezone
from meters.models import Meter
fleet = json.loads(Path({file!r}).read_text())
meters = Meter.objects.bulk_create(Meter(meter_id=each["meter_id"]) for each in fleet)
wanted = {{
    each["external_id"]: {{**each["fields"], "meters": [meter]}}
    for each, meter in zip(fleet, meters, strict=True)
}}
print(json.dumps(register_devices(wanted=wanted, now=timezone.now())))
"""


class Fleet:
    """The devices, each kind with its own notes."""

    def __init__(self, *, broker: int, mqtt: MqttDevices, http: HttpDevice, http_count: int) -> None:
        self.broker = broker
        self.mqtt = mqtt
        self.http = http
        self.http_count = http_count
        self.meter_ids = [str(UUID(int=number + 1)) for number in range(len(mqtt.manners) + http_count)]

    def rows(self) -> list[dict]:
        """What the portal is told of the fleet."""
        given: dict[str, dict] = {name: {"driver": "mqtt"} for name in self.mqtt.manners}
        given |= {
            f"http-{number}": {
                "driver": "http",
                "settings": {"url": self.http.url(f"/{number}"), "secret": SECRET},
            }
            for number in range(self.http_count)
        }
        return [
            {"meter_id": meter_id, "external_id": name, "fields": fields | {"rated_power_kw": 5}}
            for meter_id, (name, fields) in zip(self.meter_ids, given.items(), strict=True)
        ]

    def followed(self) -> list[tuple]:
        """What each device follows by its own notes: version, power and end of every segment."""
        held = [*self.mqtt.held.values(), *self.http.held.values()]
        return [tuple((each["target_kw"], each["end"]) for each in message["segments"]) for message in held]

    def effects(self) -> dict[str, list[int]]:
        """The versions that each device took up, in the order in which it did."""
        found: dict[str, list[int]] = {}
        for name, version in [*self.mqtt.taken, *self.http.changes]:
            found.setdefault(name, []).append(version)
        return found


@contextmanager
def running_fleet(folder: Path, *, mqtt: int, http: int) -> Iterator[Fleet]:
    """Run so many honest devices of each kind."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        names = [f"mqtt-{number:05}" for number in range(mqtt)]
        devices = stack.enter_context(MqttDevices(broker, *names))
        server = stack.enter_context(http_device())
        yield Fleet(broker=broker, mqtt=devices, http=server, http_count=http)


@contextmanager
def fleet_portal(fleet: Fleet, folder: Path) -> Iterator[Portal]:
    """Run a portal that may reach the fleet and has a meter for each device."""
    environment = {
        "MQTT_URL": f"mqtt://127.0.0.1:{fleet.broker}",
        "DEVICE_NETWORKS": "127.0.0.1/32",
        "DEVICE_PORTS": str(fleet.http.port),
        "DJANGO_SETTINGS_MODULE": "leapvpp.settings",  # the tests' own would open no port to devices
        "ENV_FILE": "none",
        "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789",
        "LEAP_WEBHOOK_KEYS": "key-one",
        "LEAP_API_KEY": "",
    }
    with running_portal(folder, **environment) as portal:
        portal.sign_in()
        file = folder / "fleet.json"
        file.write_text(json.dumps(fleet.rows()))
        made = portal.run(MAKE_ROWS.format(file=str(file)))
        assert made == [len(fleet.meter_ids), 0]
        yield portal
