"""The MQTT driver and listener against a Mosquitto of their own, and devices that are real clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from devices.commanding import HEARD_LATE, run_due_commands
from devices.domain.reports import Acknowledgement, Reading, read_acknowledgement, read_reading, read_status
from devices.drivers.base import Answer, Delivery, DriverError
from devices.drivers.mqtt import MqttDriver
from devices.drivers.mqtt_broker import from_topic
from devices.models import Command, Device
from devices.reporting import Report, Status, read_report, record_reports
from devices.scheduling import replace_schedules
from leapvpp.listening import Inbox
from tests.builders import NOW, at, device, segment
from tests.devices.conformance import FIFTY_YEARS, DriverConformance, Peer, message
from tests.devices.mqtt_devices import HOSTILE, MqttDevices, free_port, mosquitto
from tests.processes.running import AS_INSTALLED, ROOT, empty_database, first_row, wait_until


class PatientDriver(MqttDriver):
    """Waits for an answer as long as a busy machine may need."""

    timeout_seconds = 60


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture(autouse=True)
def portal(port, settings):
    settings.MQTT_URL = f"mqtt://127.0.0.1:{port}"
    settings.DEVICE_DRIVERS = {"mqtt": "tests.devices.test_mqtt.PatientDriver"}
    return settings


def delivery(external_id, *, version=1):
    row = Device(external_id=external_id, driver="mqtt")
    return Delivery(message(row, version), row)


def deliver(*external_ids, version=1, seconds=60):
    """Every result by the device's id."""
    driver = PatientDriver()
    driver.timeout_seconds = seconds
    groups = driver.deliver_all([delivery(one, version=version) for one in external_ids])
    return {external_ids[position]: result for group in groups for position, result in group}


class MqttPeer(Peer):
    """Devices with topics of the test's own, as the broker keeps what is told."""

    def __init__(self, devices, prefix):
        self.devices, self.prefix, self.driver = devices, prefix, PatientDriver()

    def device(self, name="one"):
        return Device(external_id=self.prefix + name, driver="mqtt")

    def held(self, name="one"):
        held = self.devices.held.get(self.prefix + name)
        return held and (held["version"], held["segments"])

    def changes(self):
        return sum(self.devices.effects.values())

    def fall_silent(self, name="one"):
        self.devices.manners[self.prefix + name] = "silent"

    def refuse(self, name="one"):
        self.devices.manners[self.prefix + name] = "rejecting"


class TestMqttConforms(DriverConformance):
    @pytest.fixture
    def peer(self, port, request):
        prefix = f"{request.node.name}-"
        with MqttDevices(port, *(prefix + name for name in ("one", "two", "silent", "refusing"))) as devices:
            yield MqttPeer(devices, prefix)


def test_of_two_hundred_devices_five_give_no_answer_and_hold_up_nobody(tmp_path, settings):
    """There is a minute to answer in; the broker goes when all others were heard, so nobody waits for it."""
    names = [f"fleet-{number:03}" for number in range(200)]
    manners = ["silent", "silent", "silent", "lying", "hostile", "rejecting"]
    found = {}
    with ExitStack() as running:
        port = running.enter_context(mosquitto(tmp_path))
        settings.MQTT_URL = f"mqtt://127.0.0.1:{port}"
        devices = running.enter_context(MqttDevices(port, *names))
        devices.manners |= dict(zip(names, manners, strict=False))
        for group in PatientDriver().deliver_all([delivery(name) for name in names]):
            found |= dict(group)
            if len(found) == 195:
                answers = dict(found)
                running.close()
    assert answers.pop(5) == Answer(is_accepted=False, detail="Too hot.")
    assert answers == dict.fromkeys(range(6, 200), Answer(is_accepted=True))
    assert set(devices.held) == set(names[6:])
    assert [found[number].permanent for number in range(5)] == [False] * 5


@pytest.mark.django_db
def test_commands_reach_devices_and_an_id_that_no_topic_can_have_costs_the_others_nothing(port):
    unfit = ("bat/1", "a+b", "#", "bell\x07")
    rows = [device(external_id=name, driver="mqtt") for name in ("commanded", *unfit)]
    now = timezone.now()
    with transaction.atomic():
        replace_schedules(desired={row.pk: (segment(0, FIFTY_YEARS),) for row in rows}, now=now)
    with MqttDevices(port, "commanded") as devices:
        assert run_due_commands(now=now) == 5
    states = dict(Command.objects.values_list("device__external_id", "state"))
    assert states == {"commanded": "ACKNOWLEDGED"} | dict.fromkeys(unfit, "FAILED")
    assert devices.held["commanded"]["version"] == 1


def test_a_device_that_comes_later_finds_its_schedule_kept(port):
    with ThreadPoolExecutor() as pool:
        with MqttDevices(port, "later", manner="silent") as witness:
            found = pool.submit(deliver, "later", version=7)
            witness.wait_told([("later", 7)])
        with MqttDevices(port, "later"):
            assert found.result() == {"later": Answer(is_accepted=True)}
            assert deliver("later", version=6)["later"].detail == "Version 6 is older than 7."


def test_what_is_claimed_by_somebody_else_by_now_is_not_published(port):
    told = delivery("paused", version=1)
    late = replace(told, not_after=timezone.now())
    driver = PatientDriver()
    driver.timeout_seconds = 1
    with MqttDevices(port, "paused") as devices:
        [[(_, result)]] = driver.deliver_all([late])
        assert isinstance(result, DriverError)
        assert deliver("paused", version=2) == {"paused": Answer(is_accepted=True)}
        assert devices.told == [("paused", 2)]


def test_an_acknowledgement_kept_from_before_is_no_answer(port):
    with MqttDevices(port, "kept", manner="silent") as devices:
        said = devices.say("kept", "ack", {"version": 1, "status": "accepted"}, retain=True)
        said.wait_for_publish(30)
        assert str(deliver("kept", seconds=2)["kept"]) == "The device sent no acknowledgement within 2 s."


def test_no_broker_named_and_a_broker_away_say_so_at_once(settings):
    settings.MQTT_URL = ""
    found = deliver("one", "two")
    assert {each.permanent for each in found.values()} == {True}
    assert "Set MQTT_URL" in str(found["one"])
    settings.MQTT_URL = f"mqtt://127.0.0.1:{free_port()}"
    found = deliver("one", "two")
    assert {each.permanent for each in found.values()} == {False}
    assert str(found["two"]).startswith(f"The MQTT broker at {settings.MQTT_URL[7:]} cannot be used:")


def test_a_broker_that_breaks_off_ends_the_wait(tmp_path, settings):
    with ThreadPoolExecutor() as pool:
        with mosquitto(tmp_path) as port, MqttDevices(port, "last", manner="silent") as devices:
            settings.MQTT_URL = f"mqtt://127.0.0.1:{port}"
            found = pool.submit(deliver, "last")
            devices.wait_told([("last", 1)])
        assert "cannot be used" in str(found.result()["last"])


def test_a_password_and_a_certificate_are_asked_for(tmp_path, settings):
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "people", "portal", "p@ss:w/rd"], check=True)
    certificate, guarded = certify(tmp_path), free_port()
    lines = f"allow_anonymous true\nlistener {guarded} 127.0.0.1\nallow_anonymous false\n"
    lines += f"password_file {tmp_path / 'people'}\n"
    lines += f"certfile {certificate}\nkeyfile {tmp_path / 'key.pem'}\n"
    with mosquitto(tmp_path, lines) as port, MqttDevices(port, "one"):
        settings.MQTT_URL = f"mqtts://portal:p%40ss%3Aw%2Frd@127.0.0.1:{guarded}"
        assert "certificate verify failed" in str(deliver("one")["one"])
        settings.MQTT_CA_FILE = str(certificate)
        assert deliver("one")["one"] == Answer(is_accepted=True)
        settings.MQTT_URL = f"mqtts://portal:wrong@127.0.0.1:{guarded}"
        assert "refuses the portal" in str(deliver("one")["one"])
        settings.MQTT_CA_FILE, settings.MQTT_VERIFY = "", False
        settings.MQTT_URL = f"mqtts://portal:p%40ss%3Aw%2Frd@127.0.0.1:{guarded}"
        assert deliver("one")["one"] == Answer(is_accepted=True)
    settings.MQTT_CA_FILE, settings.MQTT_VERIFY = str(tmp_path / "none.pem"), True
    assert deliver("one")["one"].permanent


def certify(folder):
    """A certificate for 127.0.0.1 that nobody knows."""
    request = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run([*request, *files], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    return folder / "certificate.pem"


READINGS = {
    "whole": (b'{"at": "2026-07-14T20:00:00Z", "power_kw": -1.5, "soc_percent": 40.125}', Decimal("40.12")),
    "another zone, unknown fields": (
        b'{"at": "2026-07-14T22:00:00+02:00", "power_kw": 0, "soc_percent": 40, "firmware": [1]}',
        Decimal(40),
    ),
    "no battery": (b'{"at": "2026-07-14T20:00:00Z", "power_kw": 2}', None),
    "a mode of its own": (b'{"at": "2026-07-14T20:00:00Z", "power_kw": 2, "mode": "boost"}', None),
    "a counter and a mode": (
        b'{"at": "2026-07-14T20:00:00Z", "power_kw": 2, "energy_kwh": 812.4, "mode": "normal"}',
        None,
    ),
}
NO_READINGS = [
    b'{"at": "2026-07-14T20:00:00", "power_kw": 1}',
    b'{"at": "0001-01-01T00:00:00+14:00", "power_kw": 1}',
    b'{"at": 5, "power_kw": 1}',
    b'{"at": "2026-07-14T20:00:00Z"}',
    b'{"at": "2026-07-14T20:00:00Z", "power_kw": "1"}',
    b'{"at": "2026-07-14T20:00:00Z", "power_kw": NaN}',
    b'{"at": "2026-07-14T20:00:00Z", "power_kw": 1, "energy_kwh": "much"}',
    b'{"at": "2026-07-14T20:00:00Z", "power_kw": 1, "soc_percent": 100.1}',
    b'{"at": "2026-07-14T20:00:00Z", "power_kw": 1, "soc_percent": null, "online": "no"}',
]


@pytest.mark.parametrize(("payload", "percent"), READINGS.values(), ids=READINGS)
def test_a_reading_says_when_and_how_full(payload, percent):
    reading = read_reading(payload)
    assert (reading.at, reading.state_of_charge_percent, reading.is_online) == (NOW, percent, True)


def test_what_is_not_as_agreed_is_nothing():
    for payload in HOSTILE:
        assert read_acknowledgement(payload) is None, payload[:60]
    for payload in (*NO_READINGS, *HOSTILE):
        assert read_reading(payload) is None, payload[:60]
    for payload in (b"Online", b"offline!", b"", b'"online"'):
        assert read_status(payload) is None, payload
    detail = read_acknowledgement(b'{"version": 1, "status": "rejected", "detail": "a\\u0000b\\nc"}').detail
    assert detail == "a b c"
    for name in ("devices/a/b/ack", "devices//ack", "devices/a", "devices", "x/leapvpp/devices/a/ack"):
        assert from_topic(f"leapvpp/{name}") is None, name


def reading(minutes, percent=None, *, is_online=True):
    said = Reading(at(minutes), Decimal(1), None if percent is None else Decimal(percent), is_online)
    return Report("one", said)


KEPT_ONLINE = read_report(external_id="one", part="status", payload=b"online", is_kept=True)
YES, NO = Status(is_online=True), Status(is_online=False)
PRESENCE = {
    "telemetry": ([reading(0)], True, True),
    "telemetry of a gateway": ([reading(0, is_online=False)], False, True),
    "last will": ([Report("one", NO)], False, False),
    "last will, then back": ([Report("one", NO), Report("one", YES)], True, True),
    "kept status": ([Report("one", YES, is_kept=True)], True, False),
    "kept telemetry": ([Report("one", reading(0).said, is_kept=True)], None, False),
    "any acknowledgement": ([Report("one", Acknowledgement(9, is_accepted=False))], True, True),
    "a stranger": ([Report("two", YES)], None, False),
}


@pytest.mark.django_db
@pytest.mark.parametrize("was_online", [True, False])
@pytest.mark.parametrize(("reports", "is_online", "is_seen"), PRESENCE.values(), ids=PRESENCE)
def test_what_is_heard_says_who_is_there(reports, is_online, is_seen, was_online):
    one = device(external_id="one", driver="mqtt", is_online=was_online)
    device(external_id="two", is_online=was_online)
    record_reports(reports, driver_name="mqtt", now=at(1))
    one.refresh_from_db()
    assert one.is_online is (was_online if is_online is None else is_online)
    assert one.last_seen_at == (at(1) if is_seen else None)
    assert Device.objects.get(external_id="two").last_seen_at is None


CHARGES = {
    "newer": ([reading(1, 50)], 50),
    "older than known": ([reading(-1, 50)], 30),
    "as old as known": ([reading(0, 50)], 30),
    "the newest counts, not the latest": ([reading(2, 60), reading(1, 50)], 60),
    "none": ([reading(1)], 30),
    "of the far future": ([reading(30, 50)], 30),
    "a clock a little ahead": ([reading(5.5, 50)], 50),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("reports", "percent"), CHARGES.values(), ids=CHARGES)
def test_the_newest_state_of_charge_is_kept_and_weighed(reports, percent):
    one = device(external_id="one", driver="mqtt", state_of_charge_percent=30, state_of_charge_at=NOW)
    record_reports(reports, driver_name="mqtt", now=at(5))
    one.refresh_from_db()
    assert one.state_of_charge_percent == percent
    assert (one.weigh_requested_at is None) is (percent == 30)
    assert one.plan_requested_at is None


ANSWERS = {  # what stood, what is heard, what stands then
    "accepted after the try": ("SENT", 2, True, ("ACKNOWLEDGED", HEARD_LATE)),
    "accepted after a minute's silence": ("FAILED", 2, True, ("ACKNOWLEDGED", HEARD_LATE)),
    "refused after the try": ("SENT", 2, False, ("FAILED", "Too hot.")),
    "of an older version": ("SENT", 1, True, ("SENT", "")),
    "of one that is yet to come": ("SENT", 3, True, ("SENT", "")),
    "of one that was never sent": ("PENDING", 2, True, ("PENDING", "")),
    "refused after it was accepted": ("ACKNOWLEDGED", 2, False, ("ACKNOWLEDGED", "")),
    "past its end": ("EXPIRED", 2, True, ("EXPIRED", "")),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("state", "version", "accepts", "then"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_comes_by_itself_counts_for_the_version_that_was_sent(state, version, accepts, then):
    one = device(external_id="one", driver="mqtt")
    for end in (30, 60):
        with transaction.atomic():
            replace_schedules(desired={one.pk: (segment(0, end),)}, now=NOW)
    newest = Command.objects.filter(schedule__version=2)
    newest.update(state=state, attempt_count=0 if state == "PENDING" else 1, next_attempt_at=at(1))
    said = Acknowledgement(version, is_accepted=accepts, detail="" if accepts else "Too hot.")
    record_reports([Report("one", said)], driver_name="mqtt", now=at(1))
    command = newest.get()
    assert (command.state, command.detail) == then
    if then[0] != state:
        assert (command.next_attempt_at, command.finished_at) == (None, at(1))
        assert command.schedule.state == then[0]
        assert command.device.failing_since == (at(1) if then[0] == "FAILED" else None)
    assert Command.objects.get(schedule__version=1).state == "SUPERSEDED"


STALE = {  # what is heard after version 2 was taken, how often that was sent, in how many seconds it is again
    "the device took an older one": ([(1, True)], 1, 0),
    "time and again": ([(1, True)], 9, 30),
    "as it should": ([(1, True), (2, True)], 1, None),
    "the device refused an older one": ([(1, False)], 1, None),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("heard", "sent", "seconds"), STALE.values(), ids=STALE)
def test_a_device_that_takes_an_older_version_than_it_had_is_told_the_newest_again(heard, sent, seconds):
    one = device(external_id="one", driver="mqtt")
    for wanted in ((segment(0, 60),), ()):
        with transaction.atomic():
            replace_schedules(desired={one.pk: wanted}, now=NOW)
    newest = Command.objects.filter(schedule__version=2)
    newest.update(state="ACKNOWLEDGED", attempt_count=sent, next_attempt_at=None, finished_at=NOW)
    reports = [Report("one", Acknowledgement(version, is_accepted=accepts)) for version, accepts in heard]
    record_reports(reports, driver_name="mqtt", now=at(1))
    stop = newest.get()
    if seconds is None:
        assert (stop.state, stop.next_attempt_at) == ("ACKNOWLEDGED", None)
    else:
        assert (stop.state, stop.next_attempt_at) == ("PENDING", at(1) + timedelta(seconds=seconds))


WAITING = {  # what is said, how long ago it was tried, in how many seconds it is tried then
    "it has come": ([Report("one", Status(is_online=True, has_come=True))], 30, 0),
    "it has come, and was tried just before": ([Report("one", Status(is_online=True, has_come=True))], 1, 5),
    "it is still there": ([Report("one", Status(is_online=True))], 30, 240),
    "it was there when the listener was not": ([KEPT_ONLINE], 30, 240),
    "it has gone again": ([Report("one", Status(is_online=True, has_come=True)), Report("one", NO)], 30, 240),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("reports", "tried_ago", "seconds"), WAITING.values(), ids=WAITING)
def test_what_waits_for_a_device_is_due_when_it_comes_back(reports, tried_ago, seconds):
    one = device(external_id="one", driver="mqtt", rests_until=at(5), silent_tries=9)
    with transaction.atomic():
        replace_schedules(desired={one.pk: (segment(0, 60), segment(70, 80))}, now=NOW)
    later = device(external_id="two", driver="mqtt")
    with transaction.atomic():
        replace_schedules(desired={later.pk: (segment(0, 60),)}, now=NOW)
    Command.objects.update(state="SENT", attempt_count=9, next_attempt_at=at(5))
    command = one.commands.get()
    command.attempts.create(started_at=at(1) - timedelta(seconds=tried_ago))
    record_reports(reports, driver_name="mqtt", now=at(1))
    assert one.commands.get().next_attempt_at == at(1) + timedelta(seconds=seconds)
    assert later.commands.get().next_attempt_at == at(5)
    assert (Device.objects.get(pk=one.pk).rests_until is None) is (seconds < 240)
    assert OrmQ.objects.filter(key="commands").count() == 2 + (seconds < 240)


@pytest.mark.django_db
def test_a_batch_takes_the_same_statements_whatever_its_size():
    def statements(size):
        names = [f"batch-{size}-{number}" for number in range(size)]
        rows = [device(external_id=name, driver="mqtt").pk for name in names]
        with transaction.atomic():
            replace_schedules(desired={pk: (segment(0, 60),) for pk in rows}, now=NOW)
        Command.objects.update(state="SENT", attempt_count=1)
        said = [Acknowledgement(1, number % 3 > 0, "No.") for number in range(size)]
        reports = [Report(name, each) for name, each in zip(names, said, strict=True)]
        reports += [Report(name, reading(1, 50).said) for name in names]
        reports += [Report(name, Status(number % 2 > 0)) for number, name in enumerate(names)]
        with CaptureQueriesContext(connection) as seen:
            assert record_reports(reports, driver_name="mqtt", now=at(1)) == 3 * size
        return len(seen)

    assert statements(3) == statements(60)


def test_the_inbox_keeps_the_newest_of_each_kind_and_no_more_than_its_limit():
    inbox = Inbox(limit=3)
    first, full = reading(1), reading(1, 50)
    for report in (first, Report("one", YES), full, Report("one", NO)):
        inbox.add(report)
    assert (inbox.first(), inbox.dropped) == ([first, full, Report("one", NO)], 0)
    inbox.add(reading(2))
    assert (inbox.first(), inbox.dropped) == ([full, Report("one", NO), reading(2)], 1)
    inbox.add(Report("two", NO))
    assert (inbox.first(), inbox.dropped) == ([Report("one", NO), reading(2), Report("two", NO)], 2)
    batch = inbox.first()
    again = Report("one", YES)
    inbox.add(again)
    inbox.done(batch)
    assert inbox.first() == [again]
    for name in "abcd":
        inbox.add(Report(name, YES))
    assert (len(inbox), inbox.dropped) == (3, 4)


def test_an_acknowledgement_kept_at_the_broker_is_not_heard():
    said = {"external_id": "one", "part": "ack", "payload": b'{"version": 1, "status": "accepted"}'}
    assert read_report(**said, is_kept=True) is None
    assert read_report(**said, is_kept=False) == Report("one", Acknowledgement(1, is_accepted=True))


MAKE_ROWS = """
from datetime import timedelta
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from devices.models import Command, Device
from devices.scheduling import replace_schedules
from tests.builders import NOW, segment
settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}  # tables alone, at once
call_command("migrate", verbosity=0, skip_checks=True, run_syncdb=True)
now = timezone.now()
rows = [Device.objects.create(external_id=name, driver="mqtt", rated_power_kw=5) for name in ("late", "will")]
with transaction.atomic():
    replace_schedules(desired={row.pk: (segment(0, 60),) for row in rows}, now=NOW)
Command.objects.update(state="SENT", attempt_count=1, expires_at=now + timedelta(hours=1))
"""


class Listening:
    """`manage.py mqtt_listener` in a process of its own, with a database of its own."""

    def __init__(self, database, port):
        self.database = database
        self.environment = (
            os.environ
            | AS_INSTALLED
            | {
                "DATABASE_URL": database,
                "MQTT_URL": f"mqtt://127.0.0.1:{port}",
            }
        )
        shell = [sys.executable, "manage.py", "shell", "--no-imports", "--command", MAKE_ROWS]
        subprocess.run(shell, cwd=ROOT, env=self.environment, check=True)
        self.start()

    def start(self):
        command = [sys.executable, "manage.py", "mqtt_listener"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=60)

    def ask(self, question):
        return first_row(self.database, question)

    def wait_for(self, question, *answer):
        wait_until(lambda: self.ask(question) == answer, what=f"{question} {answer}")


@pytest.fixture
def listener(port, tmp_path) -> Iterator[Listening]:
    with empty_database(tmp_path) as database:
        running = Listening(database, port)
        try:
            yield running
        finally:
            running.process.terminate()
            running.process.wait(timeout=60)


ONLINE = "SELECT is_online FROM devices_device WHERE external_id = 'will'"
STATES = "SELECT min(state), max(state) FROM devices_command"


def test_the_listener_hears_wills_late_answers_and_charges_also_after_it_was_killed(listener, port):
    yes, no = (True, False) if listener.database.startswith("postgres") else (1, 0)
    with MqttDevices(port, "will", manner="silent", with_will=True) as devices:
        listener.wait_for(ONLINE, yes)
        devices.vanish()
        listener.wait_for(ONLINE, no)
    with MqttDevices(port, "late", manner="late") as devices:
        listener.kill()
        listener.start()
        # The status kept at the broker is what tells that it listens again.
        devices.say("will", "status", b"online", retain=True)
        listener.wait_for(ONLINE, yes)
        for payload in HOSTILE:
            devices.say("late", "ack", payload)
        devices.say("late", "ack", {"version": 2, "status": "accepted"})
        devices.say("late", "ack", {"version": 1, "status": "accepted"})
        listener.wait_for(STATES, "ACKNOWLEDGED", "SENT")
        devices.say("will", "telemetry", {"at": "2026-07-14T20:00:00Z", "power_kw": 3, "soc_percent": 62})
        charge = (
            "SELECT CAST(state_of_charge_percent AS integer) FROM devices_device WHERE external_id = 'will'"
        )
        listener.wait_for(charge, 62)
        now = datetime.now(UTC)
        for seconds, mode in ((60, "normal"), (0, "discharge")):
            said = {"at": (now - timedelta(seconds=seconds)).isoformat(), "power_kw": -1.5, "energy_kwh": 9}
            devices.say("will", "telemetry", said | {"mode": mode})
        listener.wait_for(
            "SELECT count(*), min(mode), max(mode) FROM devices_reading", 2, "discharge", "normal"
        )
        covered = "SELECT CAST(sum(covered_milliseconds) AS integer) FROM devices_powerinterval"
        listener.wait_for(f"{covered} WHERE minutes = 15", 60_000)
        devices.say("will", "ack", {"version": 1, "status": "rejected", "detail": "Too hot."})
        listener.wait_for("SELECT detail FROM devices_command WHERE state = 'FAILED'", "Too hot.")
    listener.process.terminate()
    assert listener.process.wait(timeout=60) == 0
