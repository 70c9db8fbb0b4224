"""The OCPP driver and the real central system, against chargers that are real clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import psycopg
import pytest

from devices.domain.schedule import as_message
from devices.drivers.base import Answer, Delivery, DriverError
from devices.drivers.ocpp import OcppDriver
from devices.models import Device
from tests.builders import segment
from tests.devices.conformance import DriverConformance, Peer, message, send
from tests.devices.mqtt_devices import free_port
from tests.devices.ocpp_chargers import PASSWORD, Chargers
from tests.processes.running import ROOT, empty_database, wait_until

POOL = [f"charger-{number:03}" for number in range(120)]
MAKE_ROWS = """
import json, os
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from devices.models import Device
settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}  # tables alone, at once
call_command("migrate", verbosity=0, skip_checks=True, run_syncdb=True)
names = json.loads(os.environ["NAMES"])
secret = {"password": os.environ["PASSWORD"]}
rows = [Device(external_id=name, driver="ocpp", settings=secret, rated_power_kw=10) for name in names]
rows.append(Device(external_id="open", driver="ocpp", settings={}, rated_power_kw=10))
Device.objects.bulk_create(rows)
"""


class CentralSystem:
    """`manage.py ocpp_server` in a process of its own, with a database of its own."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.socket = folder / "control.sock"
        self.log = folder / "central.log"
        self.environment = os.environ | {
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "leapvpp.settings",  # the tests' own would name no central system
            "ENV_FILE": "none",
            "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789",
            "LEAP_WEBHOOK_KEYS": "key-one",
            "OCPP_LISTEN": f"127.0.0.1:{self.port}",
            "OCPP_CONTROL": str(self.socket),
            "NAMES": json.dumps(POOL),
            "PASSWORD": PASSWORD,
        }
        shell = [sys.executable, "manage.py", "shell", "--no-imports", "--command", MAKE_ROWS]
        subprocess.run(shell, cwd=ROOT, env=self.environment, check=True)
        self.start()

    def start(self):
        command = [sys.executable, "manage.py", "ocpp_server"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stderr=log)
        wait_until(self.is_listening, what="the start of the central system")

    def is_listening(self):
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self.socket))
            except OSError:
                return False
            return True

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def ask(self, question):
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database) as asked:
                return asked.execute(question).fetchone()
        with sqlite3.connect(self.database.removeprefix("sqlite:///"), timeout=30) as asked:
            return asked.execute(question).fetchone()

    def tell(self, statement):
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database) as told:
                told.execute(statement)
                return
        with sqlite3.connect(self.database.removeprefix("sqlite:///"), timeout=30) as told:
            told.execute(statement)

    def wait_for(self, question, *answer):
        wait_until(lambda: self.ask(question) == answer, what=f"{question} {answer}")


@pytest.fixture(scope="module")
def central(tmp_path_factory) -> Iterator[CentralSystem]:
    folder = tmp_path_factory.mktemp("ocpp")
    with empty_database(folder) as database:
        running = CentralSystem(folder, database)
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(autouse=True)
def portal(central, settings):
    settings.OCPP_LISTEN = f"127.0.0.1:{central.port}"
    settings.OCPP_CONTROL = central.socket
    return settings


@pytest.fixture
def chargers(central) -> Iterator[Chargers]:
    with Chargers(central.port) as site:
        yield site


class PatientDriver(OcppDriver):
    """Waits for an answer as long as a busy machine may need."""

    timeout_seconds = 60


unused = iter(POOL)


def row(name, **settings):
    return Device(
        external_id=name,
        driver="ocpp",
        settings={"password": PASSWORD, **settings},
        rated_power_kw=Decimal(10),
    )


class OcppPeer(Peer):
    """Chargers of one version, each with a name that no other test has used."""

    wrong_settings = (
        {},
        {"password": "short"},
        {"password": PASSWORD, "volt": 1},
        {"password": PASSWORD, "unit": "V"},
    )

    def __init__(self, chargers, version):
        self.chargers, self.version, self.driver = chargers, version, PatientDriver()
        self.names = {}

    def memory(self, name="one"):
        if name not in self.names:
            self.names[name] = next(unused)
            self.chargers.sign_in(self.names[name], self.version)
        return self.chargers.memories[self.names[name]]

    def device(self, name="one"):
        self.memory(name)
        return row(self.names[name])

    def held(self, name="one"):
        memory = self.memory(name)
        return memory.profile and (memory.version, memory.segments())

    def changes(self):
        return sum(self.memory(name).changes for name in self.names)

    def fall_silent(self, name="one"):
        self.memory(name).manner = "silent"

    def refuse(self, name="one"):
        self.memory(name).manner = "refusing"


class OcppConforms(DriverConformance):
    version = ""

    @pytest.fixture
    def peer(self, chargers):
        return OcppPeer(chargers, self.version)

    def test_no_segments_mean_back_to_normal(self, peer):
        """OCPP takes a profile away without a version; what is older is refused all the same."""
        send(peer, 1)
        assert send(peer, 3, segments=0).is_accepted
        assert peer.held() is None
        assert not send(peer, 2).is_accepted
        assert peer.held() is None
        assert send(peer, 3, segments=0).is_accepted
        assert peer.changes() == 2


class TestOcpp16Conforms(OcppConforms):
    version = "1.6"


class TestOcpp201Conforms(OcppConforms):
    version = "2.0.1"
