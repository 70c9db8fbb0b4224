"""Reminders of required actions as rows: written before they are sent, once, one a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devices import reminding
from devices.alert_models import AlertMessage, ReminderSent
from devices.alert_sending import send_alerts
from devices.reminding import remind
from devices.watching import waiting
from meters.enrollment_models import RequiredAction
from tests.builders import meter
from tests.devices.mail_server import mail_server
from tests.people import person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
REMIND = "devices.tasks.remind"


@pytest.fixture(autouse=True)
def _told_both_ways(settings):
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = ["desk@example.com"], "https://hook.example.com/x"


def action(days: float, kind: str = "IS_AUTHORIZED", **fields) -> RequiredAction:
    """An open action of a new meter, due so many days after NOW."""
    values = {"party": "PARTNER", "program": "CCA", "delivery_period": "DEC", "appeared_at": NOW}
    values |= {"deadline_at": NOW + timedelta(days=days)} | fields
    return RequiredAction.objects.create(meter=meter(nomination_kw=5), action_type=kind, **values)


def at(days: float) -> int:
    """Look for reminders so many days after NOW; return of how many groups."""
    return remind(now=NOW + timedelta(days=days))


def test_a_herd_is_one_message_a_channel_with_who_has_it():
    ada = person("operator", name="ada")
    for owner in (ada, ada, None):
        action(3, owner=owner)
    action(3, "HAS_AMI", party="LEAP")
    action(3, "ADDRESS", resolved_at=NOW)
    action(15, "GENERATOR")
    assert waiting(now=NOW) == (REMIND,)
    assert at(0) == 1
    mail, hook = AlertMessage.objects.order_by("channel")
    assert (mail.kind, mail.subject) == (
        "REQUIRED_ACTIONS",
        "Required action due by Tue 1 Dec: Have the customer authorize Leap, 3 meters",
    )
    assert "3 meters, 15.0 kW. Owners: ada 2, nobody 1." in mail.text
    assert (hook.payload["type"], hook.payload["data"]["count"]) == ("required_actions.due", 1)
    [told] = hook.payload["data"]["actions"]
    assert (told["meters"], told["total_kw"], told["owners"], told["within_days"]) == (3, 15.0, {"ada": 2}, 7)


def test_the_same_is_never_written_twice_and_one_message_leaves_a_day():
    action(3)
    assert (at(0), at(0), at(0.02), at(0.3)) == (1, 0, 0, 0)
    action(3)  # one more meter of the same group
    action(3, "ADDRESS")  # another, but today's message is written
    assert at(0.35) == 0
    assert at(1) == 2  # the new one, and the first, now within 2 days
    assert at(2) == 0
    assert AlertMessage.objects.filter(channel="EMAIL").count() == 2
    assert at(6) == 0
    assert ReminderSent.objects.count() == 3  # all are kept until the next message
    action(12, "GENERATOR")
    assert at(7) == 1
    assert ReminderSent.objects.count() == 1


def test_where_messages_go_nowhere_nothing_is_written_and_a_later_channel_is_told(settings):
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = [], ""
    action(3)
    assert REMIND not in waiting(now=NOW)
    assert at(0) == 0
    settings.ALERT_EMAILS = ["desk@example.com"]
    assert at(0.1) == 1


def test_who_dies_while_writing_leaves_nothing_half_done(monkeypatch):
    action(3)

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(reminding, "_message", die)
        at(0)
    assert not AlertMessage.objects.exists()
    assert not ReminderSent.objects.exists()
    assert at(0.02) == 1


def test_the_message_is_mailed(settings):
    settings.ALERT_WEBHOOK_URL = ""
    action(3)
    at(0)
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        assert send_alerts(now=NOW) == 1
        assert "See Required actions in the portal." in server.taken[0].get_content()
    assert AlertMessage.objects.get().sent_at >= NOW
