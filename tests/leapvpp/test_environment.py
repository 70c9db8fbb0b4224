"""Nonsense in the environment is refused at start with a sentence that says what to set."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from leapvpp.environment import database
from tests.settings import BASE_DIR

GOOD = {
    "SECRET_KEY": "a-secret-of-some-length-0123456789-0123456789-01234",
    "LEAP_WEBHOOK_KEYS": "a-key-for-leap,another-key",
}


@pytest.fixture
def read_settings(monkeypatch):
    """Read the settings file as a process does that starts with some changes to a good environment."""

    def read(changes: dict[str, str | None]) -> dict:
        for name in os.environ:
            monkeypatch.delenv(name)
        for name, value in ({"ENV_FILE": "none"} | GOOD | changes).items():
            if value is not None:
                monkeypatch.setenv(name, value)
        return runpy.run_path(str(BASE_DIR / "leapvpp" / "settings.py"))

    return read


REFUSED = {
    "no secret": ({"SECRET_KEY": None}, "SECRET_KEY is missing. Set it"),
    "blank secret": ({"SECRET_KEY": "  "}, "SECRET_KEY is missing. Set it"),
    "no webhook key": ({"LEAP_WEBHOOK_KEYS": None}, "LEAP_WEBHOOK_KEYS is missing. Set it"),
    "only commas": ({"LEAP_WEBHOOK_KEYS": " , ,"}, "LEAP_WEBHOOK_KEYS is missing. Set it"),
    "short second key": ({"LEAP_WEBHOOK_KEYS": "long-enough,abc"}, "Key 2 of LEAP_WEBHOOK_KEYS is too short"),
    "key beyond ASCII": ({"LEAP_WEBHOOK_KEYS": "schlüssel-eins"}, "Key 1 of LEAP_WEBHOOK_KEYS cannot travel"),
    "key with a blank": ({"LEAP_WEBHOOK_KEYS": "two words"}, "Key 1 of LEAP_WEBHOOK_KEYS cannot travel"),
    "header with a blank": ({"LEAP_WEBHOOK_HEADER": "x api key"}, "LEAP_WEBHOOK_HEADER is 'x api key'"),
    "header that is taken": ({"LEAP_WEBHOOK_HEADER": "Cookie"}, "LEAP_WEBHOOK_HEADER is 'Cookie'"),
    "debug maybe": ({"DEBUG": "maybe"}, "DEBUG is 'maybe'. Set it to true or false."),
    "another level": (
        {"LEAP_DISPATCH_LEVEL": "both"},
        "LEAP_DISPATCH_LEVEL is 'both'. Set it to first, meter or group.",
    ),
    "base with the version": ({"LEAP_API_BASE_URL": "https://api.leap.energy/v2"}, "Set it to the host only"),
    "base without a scheme": ({"LEAP_API_BASE_URL": "api.leap.energy"}, "Set it to scheme and host"),
    "base that shows the key": ({"LEAP_API_BASE_URL": "http://api.leap.energy"}, "Set it to https://."),
    "API key beyond ASCII": ({"LEAP_API_KEY": "schlüssel"}, "LEAP_API_KEY cannot travel in a header. Set it"),
    "Connect over http": (
        {"LEAP_CONNECT_URL": "http://connect.leap.energy"},
        "LEAP_CONNECT_URL is not understood",
    ),
    "Connect in words": ({"LEAP_CONNECT_URL": "leap connect"}, "LEAP_CONNECT_URL is not understood. Set it"),
    "patience in words": (
        {"DATABASE_URL": "postgres://me@localhost/x", "DATABASE_PATIENCE_MS": "5 s"},
        "DATABASE_PATIENCE_MS is '5 s'. Set it to a whole number of milliseconds",
    ),
    "unknown database": ({"DATABASE_URL": "mysql://root@localhost/x"}, "DATABASE_URL is not understood"),
    "no database at all": ({"DATABASE_URL": "nonsense"}, "DATABASE_URL is not understood"),
    "database without a name": (
        {"DATABASE_URL": "postgres://me@localhost"},
        "DATABASE_URL names no database",
    ),
    "database in memory": ({"DATABASE_URL": "sqlite://:memory:"}, "cannot share"),
    "no web worker": ({"WEB_WORKERS": "0"}, "WEB_WORKERS is '0'. Set it to a whole number such as 2."),
    "queue of another kind": ({"REDIS_URL": "http://localhost"}, "REDIS_URL is not understood"),
    "broker of another kind": ({"MQTT_URL": "tcp://localhost"}, "MQTT_URL is not understood"),
    "broker at no port": ({"MQTT_URL": "mqtt://localhost:many"}, "MQTT_URL is not understood"),
    "chargers at no port": ({"OCPP_LISTEN": "::1:9000"}, "OCPP_LISTEN is '::1:9000'. Set it to host:port"),
    "a network that is none": (
        {"DEVICE_NETWORKS": "10.0.0.0/33"},
        "DEVICE_NETWORKS names '10.0.0.0/33'. Set it",
    ),
    "the whole Internet": (
        {"DEVICE_NETWORKS": "0.0.0.0/0"},
        "DEVICE_NETWORKS names 0.0.0.0/0. Public addresses",
    ),
    "a network of clouds": ({"DEVICE_NETWORKS": "10.0.0.0/8,169.254.0.0/16"}, "names 169.254.0.0/16. Public"),
    "a port of no kind": ({"DEVICE_PORTS": "443,65536"}, "DEVICE_PORTS names '65536'. Set it"),
    "a Modbus port of no kind": ({"DEVICE_MODBUS_PORTS": "0"}, "DEVICE_MODBUS_PORTS names '0'. Set it"),
    "a secret in the clear": (
        {"DEVICE_HTTP_SECRETS": "sesame"},
        "DEVICE_HTTP_SECRETS cannot be used",
    ),
    "mail to nobody": (
        {"ALERT_EMAILS": "desk@example.com, me"},
        "ALERT_EMAILS names 'me'. Set it to addresses",
    ),
    "a webhook that can be read": ({"ALERT_WEBHOOK_URL": "http://hook.example.com/x"}, "Set it to https://."),
    "a webhook that is none": ({"ALERT_WEBHOOK_URL": "hook.example.com"}, "ALERT_WEBHOOK_URL is not underst"),
    "an open secret of alerts": ({"ALERT_WEBHOOK_SECRET": "x"}, "ALERT_WEBHOOK_SECRET cannot be used"),
    "mail of another kind": ({"EMAIL_URL": "pigeon://coop"}, "EMAIL_URL is not understood"),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_nonsense_is_refused_with_a_sentence(changes, sentence, read_settings):
    with pytest.raises(ImproperlyConfigured, match=re.escape(sentence)):
        read_settings(changes)


ACCEPTED = {
    "the least": {},
    "development without anything": {"DEBUG": "true", "SECRET_KEY": None, "LEAP_WEBHOOK_KEYS": None},
    "helping servers": {
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "MQTT_URL": "mqtt://127.0.0.1:1883",
        "OCPP_LISTEN": "[::1]:9000",
        "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
    },
    "PostgreSQL": {"DATABASE_URL": "postgres://me@127.0.0.1:5432/portal"},
    "empty means not set": {"DATABASE_URL": "", "LEAP_WEBHOOK_HEADER": " ", "DEBUG": "", "EMAIL_URL": ""},
    "devices on site": {
        "DEVICE_NETWORKS": "10.20.0.0/16, fc00::/7, 127.0.0.1/32",
        "DEVICE_PORTS": "443,9000",
        "DEVICE_MODBUS_PORTS": "502,1502",
        "DEVICE_HTTP_SECRETS": "whsec_" + "QUJD" * 8,
    },
    "alerts": {
        "ALERT_EMAILS": "desk@example.com, night@example.com",
        "ALERT_WEBHOOK_URL": "https://hook.example.com/x",
        "ALERT_WEBHOOK_SECRET": "whsec_" + "QUJD" * 8,
    },
    "a header of ours": {"LEAP_WEBHOOK_HEADER": "X-Leap-Key"},
    "a host with a port": {"LEAP_API_BASE_URL": "http://127.0.0.1:4010/"},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_sense_is_accepted(changes, read_settings):
    assert read_settings(changes)["LEAP_WEBHOOK_KEYS"]


def test_the_ports_of_the_database_and_the_helpers_are_closed_to_drivers(read_settings):
    helpers = {
        "REDIS_URL": "redis://cache",
        "MQTT_URL": "mqtts://broker:9883",
        "OCPP_LISTEN": "10.0.0.5:9100",
    }
    read = read_settings(helpers | {"DATABASE_URL": "postgres://me@10.0.0.5/portal"})
    assert read["DEVICE_CLOSED_PORTS"] == (5432, 6379, 9100, 9883)


def test_the_command_line_says_the_sentence_without_a_traceback():
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": "none"}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("The portal does not start: SECRET_KEY is missing.")


@pytest.mark.parametrize(("module", "limit"), [("leapvpp.wsgi", 3000), ("leapvpp.settings", None)])
def test_only_the_web_is_impatient_with_the_database(module, limit):
    show = (
        f"import {module}; from django.conf import settings;"
        " print(settings.DATABASES['default']['OPTIONS'].get('options'))"
    )
    environment = GOOD | {
        "PATH": os.environ["PATH"],
        "ENV_FILE": "none",
        "DJANGO_SETTINGS_MODULE": "leapvpp.settings",
        "DATABASE_URL": "postgres://me@127.0.0.1:5432/portal",
    }
    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    patience = f" -c statement_timeout={limit} -c lock_timeout={limit}" if limit else ""
    assert done.stdout.strip() == f"-c jit=off{patience}", done.stderr


def test_a_relative_database_file_is_the_same_for_every_process(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db.sqlite3")
    assert database(tmp_path)["NAME"] == str(tmp_path / "db.sqlite3")
