"""Devices that announce themselves at the broker appear without a meter; nobody's work is overwritten."""

from __future__ import annotations

import json
import logging
import re
from decimal import Decimal

import aiomqtt
import pytest
import yaml
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import discovering
from devices.discovering import dismiss, record_announcements, waiting_devices
from devices.discovery_models import FoundConfig, FoundDevice
from devices.domain.discovery import Announcement, Found, read_announcement
from devices.models import Device
from leapvpp.announcing import Announcements
from tests.builders import NOW, at, device, meter
from tests.devices.mqtt_devices import MqttDevices, mosquitto
from tests.devices.test_mqtt import Listening
from tests.processes.running import ROOT, empty_database

WALL = Found("wall", "Wall battery", "Acme", "Store 13", "BATTERY", Decimal("5.2"))


def announce(*found, part="device", now=NOW):
    said = [Announcement(f"homeassistant/{part}/{each.external_id}/config", each) for each in found]
    return record_announcements(said, now=now)


def take_back(name, part="device"):
    return record_announcements([Announcement(f"homeassistant/{part}/{name}/config", None)], now=at(9))


@pytest.mark.django_db
def test_who_announces_itself_is_a_device_that_nothing_can_move():
    assert announce(WALL, Found("mute")) == 2

    wall = Device.objects.get(external_id="wall")
    assert (wall.name, wall.kind, wall.driver, wall.rated_power_kw) == (
        "Wall battery",
        "BATTERY",
        "mqtt",
        Decimal("5.2"),
    )
    assert not wall.is_online and not wall.meters.exists()
    assert (wall.found.manufacturer, wall.found.model, wall.found.found_at) == ("Acme", "Store 13", NOW)
    mute = Device.objects.get(external_id="mute")
    assert (mute.name, mute.kind, mute.rated_power_kw) == ("", "LOAD", 0)
    assert announce(WALL, Found("mute"), now=at(1)) == 0
    assert (Device.objects.count(), FoundConfig.objects.count()) == (2, 2)


@pytest.mark.django_db
def test_the_parts_of_a_device_make_one_device():
    announce(Found("wall", "Wall battery"), part="sensor")
    announce(Found("wall", rated_kw=Decimal(7)), Found("wall", kind="BATTERY"), part="number")

    wall = Device.objects.get()
    assert (wall.name, wall.kind, wall.rated_power_kw) == ("Wall battery", "BATTERY", 7)
    take_back("wall", "sensor")
    assert FoundDevice.objects.get().gone_at is None


@pytest.mark.django_db
def test_what_a_person_wrote_stays_and_the_rest_follows():
    announce(WALL)
    Device.objects.update(name="Cellar", is_online=True)
    changed = Found("wall", "Renamed", "Acme", "Store 26", "EV_CHARGER", Decimal(11))
    announce(changed)
    wall = Device.objects.get()
    assert (wall.name, wall.kind, wall.rated_power_kw) == ("Cellar", "EV_CHARGER", 11)
    assert wall.found.model == "Store 26" and wall.is_online

    wall.meters.add(meter())
    announce(WALL)
    wall.refresh_from_db()
    assert (wall.kind, wall.rated_power_kw) == ("EV_CHARGER", 11)
    assert not waiting_devices().exists()


@pytest.mark.django_db
@pytest.mark.parametrize("driver", ["mqtt", "simulator"])
def test_a_device_that_somebody_registered_is_left_alone(driver):
    device(external_id="wall", driver=driver, name="Mine")
    assert announce(WALL) == 0
    take_back("wall")

    mine = Device.objects.get()
    assert (mine.name, mine.driver, mine.rated_power_kw, mine.is_online) == ("Mine", driver, 10, True)
    assert not FoundDevice.objects.exists()


@pytest.mark.django_db
def test_who_takes_back_all_it_announced_is_offline_and_kept_until_it_comes_again():
    announce(WALL)
    announce(WALL, part="number")
    Device.objects.update(is_online=True)
    take_back("wall")
    assert Device.objects.get().is_online
    take_back("wall", "number")
    wall = Device.objects.get()
    assert (wall.is_online, wall.found.gone_at) == (False, at(9))

    assert announce(WALL, now=at(10)) == 0
    assert FoundDevice.objects.get().gone_at is None


@pytest.mark.django_db
def test_only_so_many_wait_and_dismissing_makes_room(monkeypatch, caplog):
    monkeypatch.setattr(discovering, "MOST_WAITING", 3)
    with caplog.at_level(logging.WARNING):
        assert announce(*[Found(f"device-{number}") for number in range(50)]) == 3
    assert "47 devices announced at the broker are left out" in caplog.text
    first = Device.objects.earliest("pk")

    assert dismiss(device_id=first.pk, now=NOW) and not dismiss(device_id=first.pk, now=NOW)
    assert announce(Found(first.external_id), Found("more"), Found("and more")) == 1
    assert (waiting_devices().count(), Device.objects.count()) == (3, 4)


@pytest.mark.django_db
def test_many_announcements_cost_as_many_statements_as_few():
    def statements(count):
        mine = [Found(f"{count}-{number}", kind="LOAD") for number in range(count)]
        with CaptureQueriesContext(connection) as caught:
            announce(*mine)
            announce(*[Found(each.external_id, "New", kind="HVAC") for each in mine])
            record_announcements(
                [Announcement(f"homeassistant/device/{each.external_id}/config", None) for each in mine],
                now=at(1),
            )
        return len(caught)

    assert statements(2) == statements(20)


def test_what_the_documentation_announces_is_taken_up():
    text = (ROOT / "docs" / "devices-home-assistant.md").read_text()
    [shown] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    [package] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    first = yaml.safe_load(package)["automation"][0]["actions"][0]["data"]
    for topic, payload in (
        ("homeassistant/device/wall-4711/config", shown),
        (first["topic"], first["payload"]),
    ):
        prefixes = settings.MQTT_DISCOVERY
        found = read_announcement(topic, payload.encode(), prefixes=prefixes).found
        assert (found.kind, found.rated_kw, found.capacity_kwh) == (
            "BATTERY",
            Decimal("5.2"),
            Decimal("13.5"),
        )
        assert found.external_id in topic


def test_of_too_many_announcements_the_first_are_kept_and_the_rest_is_logged(caplog):
    def message(topic, content):
        return aiomqtt.Message(f"homeassistant/device/{topic}/config", content, 1, True, 0, None)

    inbox = Announcements(["homeassistant"], limit=2)
    for name in ("a", "b", "c", "a"):
        inbox.take(message(name, json.dumps({"stat_t": f"leapvpp/devices/{name}/status"}).encode()))
    batch = inbox.first()
    assert [each.found.external_id for each in batch] == ["a", "b"]
    assert "left out: 1, the last from 'homeassistant/device/c/config': 2 wait" in caplog.text
    inbox.take(message("b", b""))
    inbox.done(batch)
    assert inbox.first() == [Announcement("homeassistant/device/b/config", None)]


def test_the_real_listener_finds_devices_at_a_real_broker(tmp_path):
    ours = "leapvpp/devices/wall"
    config = {
        "dev": {"ids": ["SN1"], "name": "Wall battery", "mf": "Acme"},
        "cmps": {"limit": {"p": "number", "unit_of_meas": "W", "max": 5200}},
        "avty": [{"t": f"{ours}/status"}],
    }
    single = {"~": "leapvpp/devices/pump", "dev": {"name": "Pump"}, "stat_t": "~/telemetry"}
    with mosquitto(tmp_path) as port, MqttDevices(port, "will", with_will=True) as devices:

        def publish(topic, content):
            payload = content if isinstance(content, bytes) else json.dumps(content)
            devices.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(30)

        devices.say("wall", "status", b"online", retain=True).wait_for_publish(30)
        with empty_database(tmp_path) as database:
            listening = Listening(database, port)
            try:
                is_online = "SELECT CAST(is_online AS integer) FROM devices_device WHERE external_id = 'will'"
                listening.wait_for(is_online, 1)
                publish("homeassistant/device/plug/config", {**config, "avty": [{"t": "zigbee2mqtt/state"}]})
                publish("homeassistant/device/two/config", {**config, "stat_t": "leapvpp/devices/two/ack"})
                publish("homeassistant/device/wild/config", {**config, "avty": [{"t": "leapvpp/devices/#"}]})
                publish("homeassistant/device/rubbish/config", b"[" * 9000)
                publish("homeassistant/device/huge/config", json.dumps(config).encode() + b" " * 10**6)
                publish("homeassistant/status", b"online")
                publish("homeassistant/device/wall/config", config)
                publish("homeassistant/sensor/pump/power/config", single)
                said = (
                    "SELECT min(external_id), max(external_id), count(*),"
                    " max(CAST(rated_power_kw AS integer)), sum(CAST(is_online AS integer))"
                    " FROM devices_device WHERE id IN (SELECT device_id FROM devices_founddevice)"
                )
                listening.wait_for(said, "pump", "wall", 2, 5, 1)
                devices.say("pump", "telemetry", {"at": "2026-07-14T20:00:00Z", "power_kw": 3})
                listening.wait_for(said, "pump", "wall", 2, 5, 2)
                publish("homeassistant/device/wall/config", b"")
                listening.wait_for(said, "pump", "wall", 2, 5, 1)
            finally:
                listening.process.terminate()
                assert listening.process.wait(timeout=60) == 0
