"""A fleet over every protocol takes a dispatch, an update and a cancellation under load.

What counts is what the devices noted themselves: what each was told, in what order, and what it follows.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.bodies import group_body, text, timeslot
from tests.devices.http_device import SECRET, HttpDevice, http_device
from tests.devices.mqtt_devices import MqttDevices, mosquitto
from tests.processes.running import PATIENCE_SECONDS, Portal, running_portal, wait_until

IS_WHOLE = bool(os.environ.get("TORTURE"))
MQTT_DEVICES = 1000 if IS_WHOLE else 100
HTTP_DEVICES = 20 if IS_WHOLE else 10
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

    def __init__(self, *, broker: int, mqtt: MqttDevices, http: HttpDevice) -> None:
        self.broker = broker
        self.mqtt = mqtt
        self.http = http
        self.meter_ids = [str(UUID(int=number + 1)) for number in range(MQTT_DEVICES + HTTP_DEVICES)]

    def rows(self) -> list[dict]:
        """What the portal is told of the fleet."""
        fields = [(name, {"driver": "mqtt", "rated_power_kw": 5}) for name in self.mqtt.manners]
        fields += [
            (
                f"http-{number}",
                {
                    "driver": "http",
                    "rated_power_kw": 5,
                    "settings": {"url": self.http.url(f"/{number}"), "secret": SECRET},
                },
            )
            for number in range(HTTP_DEVICES)
        ]
        return [
            {"meter_id": meter_id, "external_id": name, "fields": given}
            for meter_id, (name, given) in zip(self.meter_ids, fields, strict=True)
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


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    names = [f"mqtt-{number:04}" for number in range(MQTT_DEVICES)]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path_factory.mktemp("broker")))
        devices = stack.enter_context(MqttDevices(broker, *names))
        yield Fleet(broker=broker, mqtt=devices, http=stack.enter_context(http_device()))


@pytest.fixture(scope="module")
def portal(fleet, tmp_path_factory) -> Iterator[Portal]:
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
    folder = tmp_path_factory.mktemp("portal")
    with running_portal(folder, **environment) as running:
        running.sign_in()
        file = folder / "fleet.json"
        file.write_text(json.dumps(fleet.rows()))
        made = running.run(MAKE_ROWS.format(file=str(file)))
        assert made == [len(fleet.meter_ids), 0]
        yield running


def test_a_fleet_takes_a_dispatch_an_update_and_a_cancellation_under_load(fleet, portal, capsys):
    size = len(fleet.meter_ids)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    slot = timeslot(
        str(uuid4()),
        level="group",
        energy_kw=size,
        nomination_kw=None,
        start_time=text(start),
        end_time=text(start + timedelta(hours=1)),
    )
    later = text(start + timedelta(hours=2))
    steps = [
        ("dispatch", slot, ((1.0, slot["end_time"]),)),
        ("update", slot | {"energy_kw": 2 * size, "end_time": later}, ((2.0, later),)),
        ("cancellation", slot | {"cancelled": True}, ()),
    ]
    with load(portal):
        for what, changed, wanted in steps:
            body = group_body(changed, meters=fleet.meter_ids)
            began = time.monotonic()
            answer = portal.client.post("/webhooks/leap/dispatch/", json=body, headers=KEY)
            assert answer.status_code == 202
            wait_until(lambda wanted=wanted: fleet.followed() == [wanted] * size, what=f"the {what}")
            with capsys.disabled():
                print(f"\n{what}: {size} devices follow after {time.monotonic() - began:.2f} s")  # noqa: T201
    wait_until(lambda: all_acknowledged(portal), what="the acknowledgement of all")
    effects = fleet.effects()
    assert len(effects) == size
    assert all(versions == [1, 2, 3] for versions in effects.values()), effects


def all_acknowledged(portal: Portal) -> bool:
    states = {row["state"] for row in portal.get("schedules/")}
    return states == {"acknowledged"}


@contextmanager
def load(portal: Portal) -> Iterator[None]:
    """Other notifications, ten a second, for meters nobody has."""
    is_over = threading.Event()

    def post() -> None:
        start = datetime.now(UTC) + timedelta(days=1)
        while not is_over.wait(0.1):
            slot = timeslot(
                str(uuid4()), level="group", start_time=text(start), end_time=text(start + timedelta(hours=1))
            )
            body = group_body(slot, group=str(uuid4()), meters=[str(uuid4())])
            portal.client.post("/webhooks/leap/dispatch/", json=body, headers=KEY)

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(timeout=PATIENCE_SECONDS)
