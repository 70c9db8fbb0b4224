"""Messages about alerts reach a mail server and a webhook, once, whatever is away meanwhile."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread

import pytest
from django.utils.module_loading import import_string
from standardwebhooks import Webhook

from devices import alert_sending
from devices.alert_models import AlertMessage
from devices.alert_sending import send_alerts
from devices.alerting import watch_alerts
from devices.proof_models import Proof
from devices.watching import waiting
from tests.builders import at, device
from tests.devices.mail_server import mail_server

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "QUJD" * 8


class Killed(BaseException):
    """Whoever sends dies here."""


def raise_one(minute: float, **fields) -> None:
    """Raise an alert about a device, and write its messages."""
    values = {"kind": "RUN", "version": 1, "mode": "CURTAIL", "since": at(0), "settles_at": at(2)}
    Proof.objects.create(device=device(**fields), state="DEVIATES", detail="Takes 3.1 kW & <more>.", **values)
    watch_alerts(now=at(minute))


@pytest.fixture
def mail(settings):
    """Mail goes to a server of our own, which is handed over."""
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.ALERT_EMAILS = ["desk@example.com", "night@example.com"]
        settings.ALERT_EMAIL_FROM = "portal@example.com"
        yield server


def test_an_alert_is_mailed_once_to_everybody(mail):
    raise_one(3, name="Battery 7")
    names = waiting(now=at(3.5))
    assert {"devices.tasks.prove", "devices.tasks.watch_alerts", "devices.tasks.send_alerts"} <= {*names}
    assert all(callable(import_string(name)) for name in names)
    assert send_alerts(now=at(3)) == 1
    assert send_alerts(now=at(4)) == 0
    assert "devices.tasks.send_alerts" not in waiting(now=at(4))
    [taken] = mail.taken
    assert taken["Subject"] == "Not verified: Battery 7"
    assert taken["To"] == "desk@example.com, night@example.com"
    assert "Battery 7: Takes 3.1 kW" in taken.get_content()


def test_nothing_is_lost_while_the_mail_server_refuses_and_one_try_speaks_for_all(mail):
    mail.refusing = True
    raise_one(3)
    raise_one(5)
    for minute in (6, 6.1):
        assert send_alerts(now=at(minute)) == 0
        assert list(AlertMessage.objects.order_by("pk").values_list("attempt_count", flat=True)) == [1, 0]
    assert "refused" in AlertMessage.objects.first().detail
    mail.refusing = False
    assert send_alerts(now=at(10)) == 2
    assert len(mail.taken) == 2


def test_a_mail_server_that_is_away_for_days_is_given_up_and_the_row_says_so(settings):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and nobody listens
        settings.EMAIL_PORT = unheard.getsockname()[1]
        look_for_days(settings)


def look_for_days(settings) -> None:
    """Send when it is due first, and when it is due for the last time."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.ALERT_EMAILS = "127.0.0.1", ["desk@example.com"]
    raise_one(3)
    send_alerts(now=at(4))
    assert AlertMessage.objects.get().next_attempt_at
    send_alerts(now=at(3 * 24 * 60 + 4))
    message = AlertMessage.objects.get()
    assert (message.next_attempt_at, message.sent_at) == (None, None)
    assert message.detail == "The mail server cannot be reached: ConnectionRefusedError."


def test_whoever_dies_after_sending_repeats_that_message_alone_under_its_own_id(mail, monkeypatch):
    raise_one(3)
    raise_one(5)

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(alert_sending, "_note_sent", die)
        send_alerts(now=at(5))
    assert send_alerts(now=at(5.5)) == 0  # the lease of the dead
    assert send_alerts(now=at(10)) == 2
    ids = [taken["Message-ID"] for taken in mail.taken]
    assert (len(ids), len(set(ids))) == (3, 2)


class HookServer(ThreadingHTTPServer):
    """A webhook's server on loopback: keeps what is posted, answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.posted: list[tuple[dict[str, str], bytes]] = []
        self.status = 200


class Hook(BaseHTTPRequestHandler):
    """One request to it."""

    server: HookServer

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hook_server():
    """A server that listens until the end of the block."""
    with HookServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def hook(settings):
    """Alerts are posted to a server of our own, which is handed over."""
    with hook_server() as server:
        settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{server.server_port}/desk"
        settings.ALERT_WEBHOOK_SECRET = [SECRET]
        settings.DEVICE_NETWORKS = (ip_network("127.0.0.0/8"),)
        yield server


def test_a_webhook_is_signed_and_slack_can_read_it(hook):
    raise_one(3, name="Battery <!channel>")
    assert send_alerts(now=at(3)) == 1
    [(headers, body)] = hook.posted
    said = Webhook(SECRET).verify(body, headers)
    assert said["text"].splitlines()[1] == "Battery &lt;!channel&gt;: Takes 3.1 kW &amp; &lt;more&gt;."
    assert said["type"] == "alerts.raised"
    assert said["data"]["kind"] == "unverified"
    assert said["data"]["alerts"][0]["device"] == "Battery <!channel>"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_other_answer_is_tried_again_under_the_same_id(hook, status):
    raise_one(3)
    hook.status = status
    assert send_alerts(now=at(3)) == 0
    assert AlertMessage.objects.get().detail == f"The webhook's server answered {status}."
    hook.status = 204
    assert send_alerts(now=at(10)) == 1
    assert len({headers["webhook-id"] for headers, _ in hook.posted}) == 1
    assert len(hook.posted) == 2


@pytest.mark.parametrize("url", ["https://169.254.169.254/hook", "https://10.0.0.7/hook"])
def test_a_webhook_where_the_portal_must_not_connect_is_not_connected_to(settings, url):
    settings.ALERT_WEBHOOK_URL = url
    raise_one(3)
    assert send_alerts(now=at(3)) == 0
    assert json.dumps(AlertMessage.objects.get().detail).startswith('"ALERT_WEBHOOK_URL leads to')


def test_one_channel_that_is_away_holds_up_no_other(mail, hook):
    mail.refusing = True
    raise_one(3)
    assert send_alerts(now=at(3)) == 1
    assert len(hook.posted) == 1
