"""The OCPP driver and the real central system, against chargers that are real clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from django.db import transaction
from ocpp.v16 import call as call16
from ocpp.v201 import call as call201
from websockets.exceptions import InvalidStatus

from devices.commanding import run_due_commands
from devices.domain.metering import Metered
from devices.domain.schedule import Mode, as_message, as_z
from devices.drivers.base import Answer, Delivery, DriverError
from devices.drivers.ocpp import OcppDriver
from devices.models import Command, Device
from devices.reporting import Status
from devices.scheduling import replace_schedules
from leapvpp.charging.charger16 import Charger16
from leapvpp.charging.chargers import Pace
from leapvpp.charging.writing import Known, Outbox
from tests.builders import at, device, segment
from tests.devices.conformance import DriverConformance, Peer, send
from tests.devices.http_device import TLS
from tests.devices.mqtt_devices import free_port
from tests.devices.ocpp_chargers import PASSWORD, Chargers, Memory
from tests.processes.running import (
    AS_INSTALLED,
    PATIENCE_SECONDS,
    ROOT,
    empty_database,
    first_row,
    wait_until,
)

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
        self.environment = (
            os.environ
            | AS_INSTALLED
            | {
                "DATABASE_URL": database,
                "OCPP_LISTEN": f"127.0.0.1:{self.port}",
                "OCPP_CONTROL": str(self.socket),
                "NAMES": json.dumps(POOL),
                "PASSWORD": PASSWORD,
            }
        )
        shell = [sys.executable, "manage.py", "shell", "--no-imports", "--command", MAKE_ROWS]
        subprocess.run(shell, cwd=ROOT, env=self.environment, check=True)
        self.start()

    def start(self, **more):
        command, environment = [sys.executable, "manage.py", "ocpp_server"], self.environment | more
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
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
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def ask(self, question):
        return first_row(self.database, question)

    def tell(self, statement, *values):
        statement = statement.format(*values)
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

    timeout_seconds = 120


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


VERSIONS = pytest.mark.parametrize("version", ["1.6", "2.0.1"])


def around_now(device, version, *, kw="3", mode=Mode.CURTAIL):
    """A message whose one segment runs now."""
    now = datetime.now(UTC).replace(microsecond=0)
    running = segment(0, 1, kw, mode=mode)
    running = replace(running, start=now - timedelta(minutes=10), end=now + timedelta(hours=2))
    return as_message(
        device=device.external_id,
        version=version,
        issued_at=now,
        expires_at=running.end,
        segments=[running] if kw else [],
    )


@VERSIONS
def test_what_a_charger_says_it_holds_is_the_proof_and_a_lie_is_none(chargers, version):
    one, driver = row(next(unused)), PatientDriver()
    chargers.sign_in(one.external_id, version)
    memory = chargers.memories[one.external_id]
    answer = driver.deliver(around_now(one, 1), one)
    assert answer.is_accepted
    assert answer.proof.startswith("Asked, the charger said: at most 7 kW ")
    end = datetime.fromisoformat(memory.profile["valid_to"])
    assert memory.pieces()[-1][1] == end < datetime.now(UTC) + timedelta(hours=2, seconds=1)
    answer = driver.deliver(around_now(one, 2, kw=None), one)
    assert answer.proof.startswith("Asked, the charger named no limit until ")
    memory.manner = "absurd"
    answer = driver.deliver(around_now(one, 3), one)
    assert answer == Answer(is_accepted=True, detail="Accepted; the charger did not say what it holds.")
    memory.manner = "lying"
    answer = driver.deliver(around_now(one, 4, kw="4"), one)
    assert (answer.is_accepted, answer.proof) == (True, "")
    assert "and says 10 kW" in answer.detail


def test_a_charger_that_does_not_say_what_it_holds_has_accepted_without_proof(chargers):
    one = row(next(unused))
    chargers.sign_in(one.external_id)
    memory = chargers.memories[one.external_id]
    memory.manner = "deaf"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(PatientDriver().deliver, around_now(one, 1), one)
        wait_until(lambda: memory.told == ["set", "composite"], what="the question")
        chargers.hang_up(one.external_id)
    detail = "Accepted; the charger did not say what it holds."
    assert answer.result() == Answer(is_accepted=True, detail=detail)


@VERSIONS
def test_a_charger_that_counts_amperes_is_told_them(chargers, version):
    one = row(next(unused), unit="A", least_kw=1.4)
    chargers.sign_in(one.external_id, version)
    everything = around_now(one, 1, kw="9999")
    everything["segments"][0]["target_kw"] = None
    answer = PatientDriver().deliver(everything, one)
    assert answer.proof.startswith("Asked, the charger said: at most 1.4 kW ")
    [period] = chargers.memories[one.external_id].schedule["charging_schedule_period"]
    assert (float(period["limit"]), period["number_phases"]) == (2.0, 3)


def test_to_give_back_is_refused_without_a_word_to_the_charger():
    one = row("nobody")
    answer = PatientDriver().deliver(around_now(one, 1, mode=Mode.DISCHARGE), one)
    assert not answer.is_accepted
    assert answer.detail.startswith(
        "The schedule asks the charger to discharge; OCPP 1.6 and 2.0.1 know no way"
    )


def test_a_refusal_carries_the_stations_reason(chargers):
    one = row(next(unused))
    chargers.sign_in(one.external_id, "2.0.1")
    chargers.memories[one.external_id].manner = "refusing"
    answer = PatientDriver().deliver(around_now(one, 1), one)
    assert answer.detail == "The charger refused the charging profile (Rejected: TooHot: 80 °C)."


def refused(chargers, name, version="1.6", *, password=PASSWORD):
    """The status with which a charger is turned away."""
    with pytest.raises(InvalidStatus) as found:
        chargers.run(chargers.open(name, version, password=password))
    return found.value.response.status_code


def test_strangers_are_turned_away_and_noted_once(chargers, central):
    known = next(unused)
    assert [refused(chargers, "stranger-7") for _ in range(3)] == [404] * 3
    assert refused(chargers, known, password="wrong-but-long-enough") == 401
    assert refused(chargers, known, password="") == 401
    assert refused(chargers, "open", password="") == 401
    log = central.log.read_text()
    assert log.count("'stranger-7'") == 1
    assert PASSWORD not in log
    assert refused(chargers, known, "2.2") == 400


def test_who_is_no_longer_registered_is_sent_away(chargers, central):
    name = next(unused)
    client = chargers.sign_in(name)
    central.tell("UPDATE devices_device SET settings = '{}' WHERE external_id = '{}'", "{}", name)
    chargers.run(client._connection.wait_closed())
    assert client._connection.close_code == 1008
    assert refused(chargers, name) == 401


def result_of(driver, device, version=1):
    with pytest.raises(DriverError) as found:
        driver.deliver(around_now(device, version), device)
    return found.value


def test_without_charger_central_system_or_key_the_error_says_so_and_may_pass(tmp_path, settings):
    one, driver = row("nobody"), PatientDriver()
    assert str(result_of(driver, one)) == "The charger is not connected."
    settings.SECRET_KEY = "another"
    error = result_of(driver, one)
    assert "SECRET_KEY" in str(error)
    assert not error.permanent
    settings.OCPP_CONTROL = tmp_path / "none.sock"
    error = result_of(driver, one)
    assert "is ocpp_server running?" in str(error)
    assert not error.permanent
    settings.OCPP_LISTEN = ""
    assert result_of(driver, one).permanent


def test_a_newer_connection_of_a_charger_takes_the_place_of_the_older(chargers):
    one, driver = row(next(unused)), PatientDriver()
    first = chargers.sign_in(one.external_id)
    chargers.sign_in(one.external_id)
    chargers.run(first._connection.wait_closed())
    assert first._connection.close_code == 4000
    assert driver.deliver(around_now(one, 1), one).proof
    assert chargers.memories[one.external_id].told == ["set", "composite"]


@VERSIONS
def test_a_charger_that_started_anew_is_given_its_limits_again(chargers, version):
    one = row(next(unused))
    client = chargers.sign_in(one.external_id, version)
    memory = chargers.memories[one.external_id]
    assert PatientDriver().deliver(around_now(one, 1), one).is_accepted
    memory.profile = None
    chargers.run(client.boot())
    wait_until(lambda: memory.profile is not None and memory.version == 1, what="the limits again")


def test_of_a_fleet_the_silent_hold_up_nobody(chargers):
    """There is time to answer in; the silent go when all others were heard, so nobody waits for it."""
    names = [next(unused) for _ in range(30)]
    for number, name in enumerate(names):
        chargers.sign_in(name, "1.6" if number % 2 else "2.0.1")
    for name in names[:5]:
        chargers.memories[name].manner = "silent"
    found = {}
    deliveries = [Delivery(around_now(row(name), 1), row(name)) for name in names]
    for group in PatientDriver().deliver_all(deliveries):
        found |= dict(group)
        if len(found) == 25:
            answers = dict(found)
            for name in names[:5]:
                chargers.hang_up(name)
    assert set(answers) == set(range(5, 30))
    assert all(answer.proof for answer in answers.values())
    assert [str(found[number]) for number in range(5)] == ["The charger's connection broke."] * 5


HOSTILE = [
    "rubbish",
    "[]",
    "{}",
    "[2]",
    "[2, 1, 2, 3]",
    '[2, "1", ["Heartbeat"], {}]',
    '[2, "1", "Nonsense", {}]',
    '[2, "1", "MeterValues", {"connectorId": "all"}]',
    '[2, "1", "Authorize", {"idTag": "' + "x" * 60_000 + '"}]',
    '[2, "1", "Heartbeat", {"timestamp": NaN}]',
    '[3, "never-asked", {}]',
    '[4, "never-asked", 7, 7, 7]',
    "[" * 20_000,
    b"\xff\xfe\x00",
]


@VERSIONS
def test_a_hostile_charger_harms_nobody_else(chargers, central, version):
    one, driver = row(next(unused)), PatientDriver()
    chargers.sign_in(one.external_id, version)

    async def be_hostile(connection):
        for _ in range(40):  # more at once than its pace allows
            for text in HOSTILE:
                await connection.send(text)

    async def be_heard(connection):
        """Send rubbish once, and then what is answered."""
        for text in (*HOSTILE, '[2, "heard", "Heartbeat", {}]'):
            await connection.send(text)
        async for answer in connection:
            if json.loads(answer)[:2] == [3, "heard"]:
                return True

    async def be_huge(name):
        connection = await chargers.open(name, version)
        await connection.send("[" + " " * 100_000 + "]")
        await connection.wait_closed()
        return connection.close_code

    names = [next(unused), next(unused)]
    hostile = chargers.run(chargers.open(names[0], version))
    assert chargers.run(be_heard(hostile))
    flooding = asyncio.run_coroutine_threadsafe(be_hostile(hostile), chargers.loop)
    assert chargers.run(be_huge(names[1])) == 1009
    assert driver.deliver(around_now(one, 1), one).proof
    flooding.cancel()
    assert "Traceback" not in central.log.read_text()


def test_who_floods_is_heard_more_slowly():
    pace = Pace(now=0.0)
    assert [pace.seconds_to_wait(10, now=0.0) for _ in range(201)] == [0.0] * 200 + [0.05]
    assert pace.seconds_to_wait(60_000, now=0.05) == 0.75  # a long one counts as several
    assert pace.seconds_to_wait(10, now=60.0) == 0.0


def test_one_that_says_very_much_hides_no_other_and_nothing_is_lost_with_the_database():
    outbox = Outbox()
    loud, quiet = Known(1, "loud", 0, None), Known(2, "quiet", 0, None)
    said = [Metered(at(number / 60), Decimal(number), None, None) for number in range(1000)]
    for metered in said:
        outbox.note_reading(loud, metered)
    outbox.note_reading(quiet, said[0])
    outbox.note_presence("quiet", is_online=False)
    presence, readings = outbox.take()
    assert [heard.known.external_id for heard in readings] == ["loud"] * 5 + ["quiet"]
    assert outbox.dropped == 800
    outbox.note_presence("quiet", is_online=True, has_come=True)
    outbox.note_presence("quiet", is_online=True)
    outbox.put_back(presence, readings)
    assert outbox.take() == ({"quiet": Status(is_online=True, has_come=True)}, readings)


def test_answers_that_nobody_waits_for_are_not_kept():
    async def hear_answers():
        known = Known(1, "one", 0, None)
        charger = Charger16(known, None, Outbox())
        for number in range(1000):
            await charger._take(json.dumps([3, f"never-asked-{number}", {}]))
        return charger._response_queue.qsize()

    assert asyncio.run(hear_answers()) == 0


def test_an_answer_that_is_none_is_silence_and_is_not_taken_for_another(chargers):
    """It answers each call with rubbish, with an answer to another, and never with its own."""
    one, driver = row(next(unused)), PatientDriver()

    async def answer_wrongly():
        connection = await chargers.open(one.external_id)
        async for text in connection:
            number = json.loads(text)[1]
            await connection.send(json.dumps([3, "another", {"status": "Accepted"}]))
            await connection.send(json.dumps([3, number, {"status": ["Accepted"]}]))

    wrong = asyncio.run_coroutine_threadsafe(answer_wrongly(), chargers.loop)
    refusal = "The charger answered with an error, or with what is not OCPP."

    def said():
        result = result_of(driver, one)
        return str(result), result.is_heard

    wait_until(lambda: said() == (refusal, True), what="the sign-in and the answer")
    wrong.cancel()


def test_a_charger_that_goes_while_it_is_asked_is_no_wait(chargers):
    one = row(next(unused))
    chargers.sign_in(one.external_id)
    memory = chargers.memories[one.external_id]
    memory.manner = "silent"
    with ThreadPoolExecutor() as pool:
        error = pool.submit(result_of, PatientDriver(), one)
        wait_until(lambda: memory.told == ["set"], what="the profile")
        chargers.hang_up(one.external_id)
        assert str(error.result(60)) == "The charger's connection broke."


def test_a_restarted_central_system_refuses_what_is_older_and_writes_nothing_twice(chargers, central):
    rows = {version: row(next(unused)) for version in ("1.6", "2.0.1")}
    driver, told = PatientDriver(), {}
    for version, one in rows.items():
        chargers.sign_in(one.external_id, version)
        told[version] = around_now(one, 5)
        assert driver.deliver(told[version], one).proof
        central.tell(
            "UPDATE devices_device SET schedule_version = 5 WHERE external_id = '{}'", one.external_id
        )
    central.stop(signal.SIGKILL)
    central.start()
    for version, one in rows.items():
        chargers.sign_in(one.external_id, version)
        older = driver.deliver(around_now(one, 4), one)
        assert (older.is_accepted, older.detail) == (False, "Version 4 is older than version 5.")
        assert driver.deliver(told[version], one).proof
        memory = chargers.memories[one.external_id]
        assert memory.changes == 1
        assert memory.told.count("set") == (1 if version == "2.0.1" else 2)  # 1.6 cannot say what it holds


def test_a_charger_that_is_registered_anew_begins_anew(chargers, central):
    one, driver = row(next(unused)), PatientDriver()
    client = chargers.sign_in(one.external_id)
    assert driver.deliver(around_now(one, 7), one).is_accepted
    central.tell("UPDATE devices_device SET id = id + 100000 WHERE external_id = '{}'", one.external_id)
    chargers.run(client._connection.wait_closed())
    chargers.sign_in(one.external_id)
    said = driver.deliver(around_now(one, 1), one)
    assert (said.is_accepted, said.detail) == (True, "")


def test_what_waits_for_a_charger_is_due_when_it_signs_in(chargers, central):
    name = next(unused)
    central.tell(
        "INSERT INTO devices_deviceschedule (device_id, version, created_at, digest, policy, driver, state)"
        " SELECT id, 1, '2026-01-01', '', '', 'ocpp', 'SENT' FROM devices_device WHERE external_id = '{}'",
        name,
    )
    central.tell(
        "INSERT INTO devices_command (device_id, schedule_id, key, kind, created_at, due_at, expires_at,"
        " state, next_attempt_at, attempt_count, is_restoring, proof, detail)"
        " SELECT device_id, id, '{0}', 'SCHEDULE', '2026-01-01', '2026-01-01', '2199-01-01', 'SENT',"
        " '2199-01-01', 9, {1}, '', '' FROM devices_deviceschedule WHERE device_id ="
        " (SELECT id FROM devices_device WHERE external_id = '{0}')",
        name,
        "false",
    )
    chargers.sign_in(name)
    central.wait_for(
        "SELECT count(*) FROM devices_device AS d JOIN devices_command AS c ON c.device_id = d.id"
        " WHERE c.next_attempt_at < '2198-01-01'",
        1,
    )


def test_a_version_of_another_portal_is_not_taken_for_ours(chargers):
    one, other, driver = row(next(unused)), row(next(unused)), PatientDriver()
    chargers.sign_in(other.external_id, "2.0.1")
    assert driver.deliver(around_now(other, 1, kw="2"), other).proof
    memory = chargers.memories[one.external_id] = Memory()
    memory.profile = chargers.memories[other.external_id].profile
    chargers.sign_in(one.external_id, "2.0.1")
    assert "at most 5 kW" in driver.deliver(around_now(one, 1, kw="5"), one).proof


def test_who_is_there_and_what_meters_say_is_written(chargers, central):
    """1.6 says energy in text and no power, 2.0.1 power in numbers; when a charge ends nothing is taken."""
    yes, no = (True, False) if central.database.startswith("postgres") else (1, 0)
    old, new = next(unused), next(unused)
    there = "SELECT is_online FROM devices_device WHERE external_id = '{}'".format
    power = (
        "SELECT CAST(power_kw * 1000 AS integer), CAST(state_of_charge_percent AS integer)"
        " FROM devices_device WHERE external_id = '{}'"
    ).format
    now = datetime.now(UTC).replace(microsecond=0)
    ago = [as_z(now - timedelta(seconds=seconds)) for seconds in (60, 30, 10, 5)]

    def counted(at, watt_hours):
        return {"timestamp": at, "sampledValue": [{"value": str(watt_hours), "unit": "Wh"}]}

    first, second = chargers.sign_in(old), chargers.sign_in(new, "2.0.1")
    central.wait_for(there(old), yes)
    for each in (counted(ago[0], 1000), counted(ago[1], 1050)):  # 50 Wh in half a minute: 6 kW
        chargers.run(first.call(call16.MeterValues(1, [each])))
    central.wait_for(power(old), 6000, None)
    started = chargers.run(first.call(call16.StartTransaction(1, "tag", 1060, ago[2])))
    stop = call16.StopTransaction(meter_stop=1060, timestamp=ago[3], transaction_id=started.transaction_id)
    chargers.run(first.call(stop))
    central.wait_for(power(old), 0, None)
    sampled = [
        {"value": 7.4, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}},
        {"value": 62, "measurand": "SoC", "location": "EV"},
    ]
    values = [{"timestamp": ago[2], "sampledValue": sampled}]
    transaction = {"transactionId": "t-1"}
    event = call201.TransactionEvent(
        "Updated", ago[2], "MeterValuePeriodic", 1, transaction, meter_value=values, evse={"id": 1}
    )
    chargers.run(second.call(event))
    central.wait_for(power(new), 7400, 62)
    chargers.hang_up(old)
    central.wait_for(there(old), no)
    central.wait_for(there(new), yes)
    central.wait_for("SELECT count(*) FROM leapvpp_heartbeat WHERE name = 'ocpp server'", 1)


@pytest.mark.django_db
def test_a_schedule_reaches_a_charger_through_commands(chargers):
    one = device(external_id=next(unused), driver="ocpp", settings={"password": PASSWORD})
    chargers.sign_in(one.external_id, "2.0.1")
    now = datetime.now(UTC)
    wanted = replace(segment(0, 1), start=now, end=now + timedelta(hours=1))
    with transaction.atomic():
        replace_schedules(desired={one.pk: (wanted,)}, now=now)
    assert run_due_commands(now=now) == 1
    command = Command.objects.get()
    assert (command.state, command.proven_at is None) == ("ACKNOWLEDGED", False)
    assert command.proof.startswith("Asked, the charger said: at most 5 kW ")
    assert chargers.memories[one.external_id].version == 1


def test_it_ends_by_itself_when_told_and_a_second_one_has_no_place(central):
    second = [sys.executable, "manage.py", "ocpp_server"]
    done = subprocess.run(
        second,
        cwd=ROOT,
        env=central.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: The central system cannot listen at 127.0.0.1:")
    assert central.stop() == 0
    # Started again with a certificate it speaks TLS itself.
    central.start(OCPP_CERT_FILE=str(TLS / "certificate.pem"), OCPP_KEY_FILE=str(TLS / "key.pem"))
    trusting = ssl.create_default_context(cafile=TLS / "certificate.pem")
    with (
        socket.create_connection(("127.0.0.1", central.port), timeout=60) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as guarded,
    ):
        guarded.sendall(b"GET /nobody HTTP/1.1\r\nHost: portal\r\n\r\n")
        assert guarded.recv(100).startswith(b"HTTP/1.1 4")
    central.stop()
    central.start()
