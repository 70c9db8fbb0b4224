"""Announcements at the broker are read in both forms and spellings; nothing in them can do harm."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.domain.discovery import Announcement, Found, Refused, platform_of, read_announcement

PREFIXES = ("homeassistant", "leapvpp/discovery")
TOPIC = "homeassistant/device/bat-1/config"
OURS = "leapvpp/devices/bat-1"
DEVICE = {"ids": ["SN1"], "name": "Garage battery", "mf": "Acme", "mdl": "Store 13"}
SHORT = {
    "dev": DEVICE,
    "o": {"name": "acme-fw"},
    "cmps": {
        "power": {
            "p": "sensor",
            "dev_cla": "power",
            "unit_of_meas": "kW",
            "val_tpl": "{{ value_json.power_kw }}",
        },
        "limit": {"p": "number", "unit_of_meas": "W", "max": 5200, "cmd_t": "acme/bat-1/limit"},
    },
    "stat_t": f"{OURS}/telemetry",
    "avty": [{"t": f"{OURS}/status"}],
}
LONG = {
    "device": {"identifiers": "SN1", "name": "Garage battery", "manufacturer": "Acme", "model": "Store 13"},
    "origin": {"name": "acme-fw"},
    "components": {
        "power": {"platform": "sensor", "device_class": "power", "unit_of_measurement": "kW"},
        "limit": {"platform": "number", "unit_of_measurement": "kW", "max": 5.2},
    },
    "state_topic": f"{OURS}/telemetry",
    "availability": [{"topic": f"{OURS}/status"}],
}
FOUND = Found("bat-1", "Garage battery", "Acme", "Store 13", "BATTERY", Decimal("5.2"))


def read(config, topic=TOPIC):
    payload = config if isinstance(config, bytes) else json.dumps(config).encode()
    announcement = read_announcement(topic, payload, prefixes=PREFIXES)
    return announcement and announcement.found


@pytest.mark.parametrize("config", [SHORT, LONG], ids=["abbreviated", "in full"])
def test_a_device_is_read_in_both_spellings(config):
    assert read(config) == FOUND
    assert read(config, "leapvpp/discovery/device/bat-1/config") == FOUND


@pytest.mark.parametrize(
    "topic", ["homeassistant/number/bat-1/limit/config", "homeassistant/number/bat-1_limit/config"]
)
def test_a_single_component_is_read_with_its_base_topic(topic):
    config = {
        "~": OURS,
        "dev": DEVICE,
        "unit_of_meas": "kW",
        "max": 5.2,
        "stat_t": "~/telemetry",
        "name": "Limit",
    }
    assert read(config, topic) == FOUND
    assert read({"~": "telemetry", "dev": DEVICE, "stat_t": f"{OURS}/~"}, topic).external_id == "bat-1"


def test_our_own_key_says_what_no_other_can():
    own = {"kind": "ev_charger", "rated_power_kw": 11, "energy_capacity_kwh": 40, "may_export": True}
    found = read({**SHORT, "leapvpp": own})
    assert (found.kind, found.rated_kw, found.capacity_kwh, found.may_export) == ("EV_CHARGER", 11, 40, True)
    wrong = {"kind": "rocket", "rated_power_kw": "11", "energy_capacity_kwh": -1, "may_export": "yes"}
    assert read({**SHORT, "leapvpp": wrong}) == FOUND


@pytest.mark.parametrize(
    ("name", "platform", "kind"),
    [
        ("Hall", "climate", "THERMOSTAT"),
        ("Cellar", "water_heater", "WATER_HEATER"),
        ("Heat-pump roof", "sensor", "HVAC"),
        ("Wallbox", "sensor", "EV_CHARGER"),
        ("Standby generator", "sensor", "GENERATOR"),
        ("Press 4", "sensor", ""),
    ],
)
def test_the_kind_is_told_by_its_parts_or_its_name(name, platform, kind):
    config = {"dev": {"name": name}, "cmps": {"one": {"p": platform}}, "stat_t": f"{OURS}/telemetry"}
    assert read(config).kind == kind


def test_what_is_taken_away_and_what_is_not_ours():
    assert read_announcement(TOPIC, b"", prefixes=PREFIXES) == Announcement(TOPIC, None)
    others = {**SHORT, "stat_t": "zigbee2mqtt/plug", "avty": [{"t": "zigbee2mqtt/bridge/state"}]}
    assert read(others) is None
    assert read({**SHORT, "stat_t": f"{OURS}/telemetry/more", "avty": []}) is None
    for topic in ("homeassistant/status", "homeassistant/a/b/c/d/config", "homeassistant/device/a b/config"):
        assert platform_of(topic, prefixes=PREFIXES) is None
        assert read(SHORT, topic) is None


@pytest.mark.parametrize(
    "config",
    [
        {**SHORT, "avty_t": "leapvpp/devices/bat-2/status"},
        {**SHORT, "stat_t": "leapvpp/devices/bat\n1/telemetry", "avty": []},
        {**SHORT, "stat_t": "leapvpp/devices/ bat/telemetry", "avty": []},
    ],
)
def test_what_names_our_topics_and_cannot_be_a_device_is_refused(config):
    with pytest.raises(Refused):
        read(config)


def test_wild_ids_name_no_device():
    for wild in ("+", "#", "a/b", "a+", ""):
        assert read({**SHORT, "stat_t": f"leapvpp/devices/{wild}/telemetry", "avty": []}) is None


@pytest.mark.parametrize(
    "config",
    [b"\xff", b"nonsense", b"[]", b"[" * 9000, b'"x"', b"1e999", b'{"dev": 1}', b"{" + b" " * 17_000 + b"}"],
)
def test_rubbish_is_nothing(config):
    assert read(config) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from([f"{OURS}/status", "~", "x~", "kW"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SHORT, *LONG, "~", "leapvpp", "max", "p", "unit_of_meas", "name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_the_reader(config):
    found = read({"stat_t": f"{OURS}/telemetry", **config} if isinstance(config, dict) else config)
    assert found is None or found.external_id == "bat-1"
