"""The HTTP driver against a real server on this machine."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from email.utils import format_datetime

import pytest
from django.db import transaction
from django.utils import timezone

from devices.commanding import run_due_commands
from devices.drivers import driver_named
from devices.drivers.base import Answer, Delivery, DriverError
from devices.drivers.http import HttpDriver
from devices.models import Command, CommandAttempt, Device
from devices.scheduling import replace_schedules
from leapvpp.environment import device_networks
from tests.builders import NOW, device, segment
from tests.devices.conformance import DriverConformance, Peer, message
from tests.devices.http_device import (
    SECRET,
    TLS,
    babbling,
    dripping,
    hanging_up,
    http_device,
    huge,
    resetting,
    silent,
)


@pytest.fixture
def opened(settings, monkeypatch):
    """Open this machine's loopback, at the ports that are given."""
    monkeypatch.setenv("DEVICE_NETWORKS", "127.0.0.0/8")
    settings.DEVICE_NETWORKS = device_networks()

    def at_ports(*ports):
        settings.DEVICE_PORTS = ports

    return at_ports


@pytest.fixture
def server(opened):
    with http_device() as one:
        opened(one.port)
        yield one


@pytest.fixture
def make_driver():
    """Make drivers, and close them in the end."""
    made = []

    def make(**given):
        driver = HttpDriver(**given)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.close()


@pytest.fixture(scope="session")
def shared_driver():
    one = HttpDriver()
    yield one
    one.close()


@pytest.fixture
def driver(shared_driver):
    """The driver of a process, which goes on from test to test."""
    shared_driver.timeout_seconds = HttpDriver.timeout_seconds
    return shared_driver


def row(url, *, name="pack-1", secret=SECRET):
    return Device(pk=1, external_id=name, settings={"url": url, "secret": secret})


def deliver(driver, url, *, version=3, secret=SECRET):
    device = row(url, secret=secret)
    return driver.deliver(message(device, version), device)


class HttpPeer(Peer):
    wrong_settings = (
        {},
        {"url": "ftp://127.0.0.1/", "secret": SECRET},
        {"url": "http://192.168.7.7/", "secret": SECRET},
        {"url": "http://127.0.0.1/", "secret": "short"},
        {"url": "https://example.com/"},
        {"url": "https://example.com/", "secret": SECRET, "adress": ""},
    )

    def __init__(self, server, driver):
        self.server, self.driver = server, driver

    def device(self, name="one"):
        return row(self.server.url(f"/{name}"), name=name)

    def held(self, name="one"):
        held = self.server.held.get(f"/{name}")
        return held and (held["version"], held["segments"])

    def changes(self):
        return len(self.server.changes)

    def fall_silent(self, name="one"):
        self.server.faults[f"/{name}"] = silent

    def refuse(self, name="one"):
        self.server.faults[f"/{name}"] = (422, {"detail": "Not while the door is open."})


class TestHttpConforms(DriverConformance):
    @pytest.fixture
    def peer(self, server, driver):
        return HttpPeer(server, driver)


ANSWERS = {
    "the version": (200, {"version": 3}, Answer(is_accepted=True)),
    "the version, accepted, and more": (
        202,
        {"version": 3, "status": "accepted", "detail": None, "x": [1]},
        Answer(is_accepted=True),
    ),
    "rejected": (200, {"status": "rejected", "detail": "Door open."}, Answer(False, "Door open.")),
    "a conflict": (409, {"detail": "Version 9 is newer."}, Answer(False, "Version 9 is newer.")),
    "no words": (422, b"<html>", Answer(False, "The device refused and did not say why.")),
    "words with tricks": (
        409,
        {"detail": "a\r\nb\x00\u202ec " + "x" * 500},
        Answer(False, "a b c " + "x" * 294),
    ),
}


@pytest.mark.parametrize(("status", "said", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_what_the_device_says_is_its_answer(server, driver, status, said, answer):
    server.faults["/1"] = (status, said)
    assert deliver(driver, server.url()) == answer


ERRORS = {
    "another version": ((200, {"version": 4}), "acknowledged version 4, not version 3", False),
    "no version": ((200, {"ok": True}), "acknowledged no version, not version 3", False),
    "a version that is true": ((200, {"version": True}), "not with JSON", False),
    "no JSON": ((200, b"OK"), "not with JSON", False),
    "nothing": ((204, b""), "not with JSON", False),
    "a list": ((200, [3]), "not with JSON", False),
    "brackets without an end": ((200, b'{"x":' + b"[" * 60_000), "not with JSON", False),
    "a status of its own": ((200, {"version": 3, "status": "queued"}), "neither accepted nor", False),
    "401": ((401, b""), "does not accept the signature (401)", True),
    "403": ((403, b""), "does not let the portal in (403)", True),
    "404": ((404, b""), "knows no such device (404)", True),
    "410": ((410, b""), "the device is gone (410)", True),
    "400": ((400, b""), "does not take the request (400)", True),
    "408": ((408, b""), "answered 408", False),
    "425": ((425, b""), "answered 425", False),
    "429": ((429, b""), "answered 429", False),
    "500": ((500, b""), "answered 500", False),
    "503": ((503, b""), "answered 503", False),
    "silence": (silent, "did not answer within 0.3 s", False),
    "an answer that drips": (dripping, "did not answer within 0.3 s", False),
    "an answer without an end": (huge, "answered with more than 64 KB", False),
    "a reset": (resetting, "broke the connection", False),
    "hanging up": (hanging_up, "hung up, or answered with something that is not HTTP", False),
    "another protocol": (babbling, "hung up, or answered with something that is not HTTP", False),
}


@pytest.mark.parametrize(("fault", "words", "permanent"), ERRORS.values(), ids=ERRORS.keys())
def test_what_acknowledges_nothing_is_an_error_that_says_why(server, driver, fault, words, permanent):
    server.faults["/1"] = fault
    if fault in (silent, dripping):
        driver.timeout_seconds = 0.3
    with pytest.raises(DriverError, match=re.escape(words)) as error:
        deliver(driver, server.url())
    assert error.value.permanent is permanent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server, driver, status):
    server.faults["/1"] = (status, b"", {"location": server.url("/elsewhere")})
    with pytest.raises(DriverError, match="a redirect; none is followed") as error:
        deliver(driver, server.url())
    assert error.value.permanent
    assert [path for path, _, _ in server.requests] == ["/1"]


PAUSES = {
    "seconds": ("120", 120),
    "a date": (lambda: format_datetime(timezone.now() + timedelta(hours=1), usegmt=True), 3600),
    "a date that is past": ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    "nonsense": ("soon", 0),
    "less than nothing": ("-5", 0),
    "a date of nowhere": ("Wed, 21 Oct 2099 07:28:00", 0),
}


@pytest.mark.parametrize(("text", "seconds"), PAUSES.values(), ids=PAUSES.keys())
def test_a_server_may_ask_for_a_pause(server, driver, text, seconds):
    server.faults["/1"] = (503, b"", {"retry-after": text() if callable(text) else text})
    with pytest.raises(DriverError) as error:
        deliver(driver, server.url())
    assert error.value.pause_seconds == pytest.approx(seconds, abs=60)


def test_a_repeat_is_known_by_its_id_and_another_version_or_device_is_not_it(server, driver):
    for path, version in [("/1", 1), ("/1", 1), ("/1", 2)]:
        deliver(driver, server.url(path), version=version)
    other = Device(pk=2, external_id="pack-2", settings={"url": server.url("/2"), "secret": SECRET})
    driver.deliver(message(other, 1), other)
    first, repeat, newer, others = (headers["webhook-id"] for _, headers, _ in server.requests)
    assert first == repeat
    assert len({first, newer, others}) == 3
    _, headers, body = server.requests[0]
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert json.loads(body) == message(row(""), 1)


def test_while_a_secret_of_all_is_replaced_devices_know_either(server, driver, settings):
    settings.DEVICE_HTTP_SECRETS = ["whsec_" + "QUJD" * 8, SECRET]
    assert deliver(driver, server.url(), secret="").is_accepted
    assert server.requests[0][1]["webhook-signature"].count("v1,") == 2
    settings.DEVICE_HTTP_SECRETS = ["whsec_" + "QUJD" * 8]
    with pytest.raises(DriverError, match="the secrets differ"):
        deliver(driver, server.url(), secret="")


def test_connections_are_used_again(server, driver):
    for version in range(1, 6):
        deliver(driver, server.url(), version=version)
    assert len(server.requests) == 5
    assert server.connections == 1


def test_a_whole_batch_is_on_its_way_at_once_and_the_quick_do_not_wait_for_the_silent(server, driver):
    """All are silent until the last has come: one after the other they would all be too late."""
    together = 60
    driver.timeout_seconds = 30

    def after_all(handler, message):
        if len(server.requests) == together:
            server.over.set()
        server.over.wait()
        handler.answer(200, {"version": message["version"]})

    rows = [row(server.url(f"/{n}"), name=f"pack-{n}") for n in range(together)]
    server.faults = {f"/{n}": after_all for n in range(together)}
    groups = driver.deliver_all([Delivery(message(one, 1), one) for one in rows])
    assert [result for group in groups for _, result in group] == [Answer(is_accepted=True)] * together


def test_certificates_are_verified(opened, make_driver, monkeypatch):
    with http_device(is_tls=True) as server:
        opened(server.port)
        with pytest.raises(DriverError, match="no certificate that can be trusted") as error:
            deliver(make_driver(), server.url())
        assert not error.value.permanent
        assert not server.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        trusting = make_driver()
        assert deliver(trusting, server.url()).is_accepted
        with pytest.raises(DriverError, match="no certificate that can be trusted for its name"):
            deliver(make_driver(look_up=lambda host, port: ["127.0.0.1"]), server.url(host="another.test"))
        named = make_driver(look_up=lambda host, port: ["127.0.0.1"])
        assert deliver(named, server.url(host="device.test")).is_accepted


def test_a_secret_is_in_no_error_and_no_log(server, driver, caplog):
    caplog.set_level(logging.DEBUG)
    server.faults["/1"] = lambda handler, message: handler.answer(500, SECRET.encode())
    server.faults["/2"] = resetting
    errors = []
    for url, secret in [
        (server.url("/1"), SECRET),
        (server.url("/2"), SECRET),
        ("http://10.0.0.1/", SECRET),
        (server.url("/3"), SECRET + "x"),
        (server.url("/3"), SECRET),
    ]:
        try:
            deliver(driver, url, secret=secret)
        except DriverError as error:
            errors.append(repr(error) + str(error.__cause__))
    assert len(errors) == 4
    canary = SECRET.removeprefix("whsec_")
    assert canary not in caplog.text + "".join(errors)


@pytest.mark.django_db
def test_a_command_reaches_the_device_and_a_pause_it_asks_for_is_kept(server, settings):
    one = device(external_id="pack-1", driver="http", settings=row(server.url()).settings)
    server.faults["/1"] = (503, b"", {"retry-after": "90"})
    with transaction.atomic():
        replace_schedules(desired={one.pk: (segment(0, 60),)}, now=NOW)
    run_due_commands(now=NOW)
    command = Command.objects.get()
    assert (command.state, command.detail) == ("SENT", "The device's server answered 503.")
    assert command.next_attempt_at >= NOW + timedelta(seconds=90)
    del server.faults["/1"]
    run_due_commands(now=command.next_attempt_at)
    command.refresh_from_db()
    assert command.state == "ACKNOWLEDGED"
    assert server.held["/1"]["version"] == command.schedule.version
    assert len({headers["webhook-id"] for _, headers, _ in server.requests}) == 1
    assert SECRET not in str(list(CommandAttempt.objects.values()))
    driver_named("http").close()
