"""Devices over every protocol on this machine, and a portal that is told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from tests.devices.http_device import SECRET, HttpDevice, http_device
from tests.devices.mqtt_devices import MqttDevices, free_port, mosquitto
from tests.devices.ocpp_chargers import PASSWORD, RATED_KW, Chargers
from tests.devices.sunspec_device import NEW_STORAGE, SunSpecServer, sunspec_map, sunspec_server
from tests.processes.running import AS_INSTALLED, Portal, running_portal

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

    def __init__(
        self,
        *,
        broker: int,
        mqtt: MqttDevices,
        http: HttpDevice,
        http_count: int,
        sunspec: SunSpecServer,
        chargers: Chargers,
        charger_count: int,
    ) -> None:
        self.broker = broker
        self.mqtt = mqtt
        self.http = http
        self.http_count = http_count
        self.sunspec = sunspec
        self.chargers = chargers
        self.charger_count = charger_count
        self.meter_ids = [str(UUID(int=number + 1)) for number in range(len(self.told()))]

    def told(self) -> dict[str, dict]:
        """What the portal is told of each device: its driver and where it is."""
        given: dict[str, dict] = {name: {"driver": "mqtt"} for name in self.mqtt.manners}
        given |= {
            f"http-{number}": {
                "driver": "http",
                "settings": {"url": self.http.url(f"/{number}"), "secret": SECRET},
            }
            for number in range(self.http_count)
        }
        given |= {
            f"modbus-{unit}": {
                "driver": "modbus",
                "kind": "BATTERY",
                "settings": {"host": "127.0.0.1", "port": self.sunspec.port, "unit_id": unit},
            }
            for unit in self.sunspec.devices
        }
        given |= {
            f"ocpp-{number}": {"driver": "ocpp", "kind": "EV_CHARGER", "settings": {"password": PASSWORD}}
            for number in range(self.charger_count)
        }
        return given

    def sign_in(self) -> None:
        """Have the chargers connect, those of both versions in turns."""
        for number in range(self.charger_count):
            self.chargers.sign_in(f"ocpp-{number}", ("1.6", "2.0.1")[number % 2])

    def rows(self) -> list[dict]:
        """What the portal is told of the fleet, a meter for each device."""
        return [
            {"meter_id": meter_id, "external_id": name, "fields": fields | {"rated_power_kw": RATED_KW}}
            for meter_id, (name, fields) in zip(self.meter_ids, self.told().items(), strict=True)
        ]

    def all_follow(self, power_kw: float | None, *, until: str = "") -> bool:
        """Say whether every device by its own notes gives this power, until then; None: as usual.

        Devices that hold no schedule know no end but that of their lease.
        """
        wanted = [] if power_kw is None else [(power_kw, until)]
        messages = [*self.mqtt.held.values(), *self.http.held.values()]
        held = [message["segments"] for message in messages]
        held += [memory.segments() for memory in self.chargers.memories.values()]
        schedules = [[(each["target_kw"], each["end"]) for each in segments] for segments in held]
        return (
            len(messages) == len(self.mqtt.manners) + self.http_count
            and all(segments == wanted for segments in schedules)
            and all(device.held_kw() == power_kw for device in self.sunspec.devices.values())
        )

    def effects(self) -> dict[str, list[int]]:
        """The versions that each device which holds schedules took up, in the order in which it did."""
        found: dict[str, list[int]] = {}
        for name, version in [*self.mqtt.taken, *self.http.changes]:
            found.setdefault(name, []).append(version)
        return found

    def written(self) -> list[list[str]]:
        """What each device that holds none was switched to, in order: on and off."""
        return [
            [what for what, _ in device.log if what in {"on", "off"}]
            for device in self.sunspec.devices.values()
        ]


@contextmanager
def running_fleet(
    folder: Path, *, mqtt: int = 0, http: int = 0, modbus: int = 0, ocpp: int = 0
) -> Iterator[Fleet]:
    """Run so many honest devices of each kind."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        names = [f"mqtt-{number:05}" for number in range(mqtt)]
        devices = stack.enter_context(MqttDevices(broker, *names))
        server = stack.enter_context(http_device())
        sunspec = stack.enter_context(sunspec_server())
        for _ in range(modbus):
            sunspec.add(sunspec_map(NEW_STORAGE))
        yield Fleet(
            broker=broker,
            mqtt=devices,
            http=server,
            http_count=http,
            sunspec=sunspec,
            chargers=stack.enter_context(Chargers(free_port())),
            charger_count=ocpp,
        )


@contextmanager
def fleet_portal(fleet: Fleet, folder: Path) -> Iterator[Portal]:
    """Run a portal that may reach the fleet and has a meter for each device."""
    environment = AS_INSTALLED | {
        "MQTT_URL": f"mqtt://127.0.0.1:{fleet.broker}",
        "DEVICE_NETWORKS": "127.0.0.1/32",
        "DEVICE_PORTS": str(fleet.http.port),
        "DEVICE_MODBUS_PORTS": str(fleet.sunspec.port),
        "OCPP_LISTEN": f"127.0.0.1:{fleet.chargers.port}" if fleet.charger_count else "",
        "OCPP_CONTROL": str(folder / "control.sock"),
    }
    with running_portal(folder, **environment) as portal:
        portal.sign_in()
        file = folder / "fleet.json"
        file.write_text(json.dumps(fleet.rows()))
        made = portal.run(MAKE_ROWS.format(file=str(file)))
        assert made == [len(fleet.meter_ids), 0]
        fleet.sign_in()
        yield portal
