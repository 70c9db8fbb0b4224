"""Alerts as rows: raised, cleared and acknowledged; and the messages about them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.alert_models import Alert, AlertMessage
from devices.alerting import acknowledge, watch_alerts
from devices.models import Command, Device
from devices.proof_models import Proof
from devices.proving import prove
from devices.scheduling import replace_schedules
from tests.builders import at, device, segment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _told_by_mail(settings):
    settings.ALERT_EMAILS = ["desk@example.com"]


def told(*devices: Device, start: float = 0, end: float = 60) -> None:
    """Give devices a run."""
    replace_schedules(desired={one.pk: (segment(start, end),) for one in devices}, now=at(-120))


def looked(minute: float) -> list[tuple[str, bool]]:
    """Look at a minute; return kind and whether it is open of every alert, oldest first."""
    watch_alerts(now=at(minute))
    return [(alert.kind, alert.cleared_at is None) for alert in Alert.objects.order_by("pk")]


def doubted(one: Device, **fields) -> Proof:
    """A proof that deviates since minute 0."""
    values = {"kind": "RUN", "version": 1, "mode": "CURTAIL", "since": at(0), "settles_at": at(2)}
    values |= {"state": "DEVIATES", "detail": "Takes 3.1 kW."} | fields
    return Proof.objects.create(device=one, **values)


def test_offline_before_a_run_is_raised_in_time_and_clears_itself():
    one = device(is_online=False)
    told(one)
    assert looked(-16) == []
    assert looked(-14) == [("OFFLINE_BEFORE_EVENT", True)]
    assert looked(-13) == [("OFFLINE_BEFORE_EVENT", True)]
    Device.objects.update(is_online=True)
    assert looked(-12) == [("OFFLINE_BEFORE_EVENT", False)]
    Device.objects.update(is_online=False)
    assert looked(-3) == [("OFFLINE_BEFORE_EVENT", True)]  # the same again
    Device.objects.update(is_online=True)
    looked(-2)
    Device.objects.update(is_online=False)
    assert looked(9) == [("OFFLINE_BEFORE_EVENT", False), ("OFFLINE_BEFORE_EVENT", True)]
    assert looked(61)[-1] == ("OFFLINE_BEFORE_EVENT", False)
    assert AlertMessage.objects.count() == 2


def test_a_failing_device_is_an_alert_only_with_something_to_do():
    one, idle = device(failing_since=at(-10)), device(failing_since=at(-10))
    told(one)
    Command.objects.update(state="FAILED", detail="The device refused.")
    looked(0)
    alert = Alert.objects.get()
    assert (alert.device, alert.kind, alert.text) == (one, "FAILED", "The device refused.")
    assert idle.alerts.count() == 0


def test_a_run_and_a_return_that_are_not_proven_are_alerts_until_they_are():
    proof = doubted(device())
    assert looked(3) == [("UNVERIFIED", True)]
    Proof.objects.update(state="PROVEN", proven_at=at(4))
    assert looked(4) == [("UNVERIFIED", False)]
    Proof.objects.update(kind="NORMAL", state="DEVIATES", proven_at=None, since=at(60))
    assert looked(64) == [("UNVERIFIED", False)]
    assert looked(65)[1:] == [("NOT_RESTORED", True)]
    assert Alert.objects.last().text == "Takes 3.1 kW. It was to be as usual from 21:00 UTC on."
    Proof.objects.filter(pk=proof.pk).update(state="PROVEN", is_open=False)
    assert looked(66)[1:] == [("NOT_RESTORED", False)]


def test_a_stop_that_nobody_accepts_is_an_alert():
    one = device()
    told(one)
    Command.objects.update(state="ACKNOWLEDGED", next_attempt_at=None)
    replace_schedules(desired={one.pk: ()}, now=at(10))
    assert looked(14) == []
    assert looked(15) == [("NOT_RESTORED", True)]
    Command.objects.update(state="ACKNOWLEDGED", next_attempt_at=None)
    assert looked(16) == [("NOT_RESTORED", False)]


def test_a_person_acknowledges_what_is_open_once_and_the_note_stays():
    doubted(device())
    looked(3)
    assert acknowledge(Alert.objects.all(), by="ada", note="On my way.", now=at(4)) == 1
    assert acknowledge(Alert.objects.all(), by="bob", note="Me too.", now=at(5)) == 0
    looked(6)
    Proof.objects.all().delete()
    looked(7)
    alert = Alert.objects.get()
    assert (alert.acknowledged_by, alert.note, alert.cleared_at) == ("ada", "On my way.", at(7))


def test_a_herd_makes_one_message_and_its_stragglers_one_more_a_minute_later():
    herd = [device() for _ in range(40)]
    for one in herd[:30]:
        doubted(one)
    looked(3)
    for one in herd[30:]:
        doubted(one)
    looked(3.5)
    assert [message.subject for message in AlertMessage.objects.all()] == ["Not verified: 30 devices"]
    looked(4.1)
    assert AlertMessage.objects.last().subject == "Not verified: 10 devices"
    looked(6)
    assert AlertMessage.objects.count() == 2


def test_without_a_channel_alerts_are_rows_and_nothing_is_sent_later(settings):
    settings.ALERT_EMAILS = []
    doubted(device())
    looked(3)
    settings.ALERT_EMAILS = ["desk@example.com"]
    looked(10)
    assert Alert.objects.count() == 1
    assert not AlertMessage.objects.exists()


def test_a_herd_costs_as_many_statements_as_one_device():
    def cost(count: int, minute: float) -> int:
        some = [device(failing_since=at(0), is_online=False, rated_power_kw=Decimal(5)) for _ in range(count)]
        told(*some, end=500)
        for one in some:
            doubted(one)
        with CaptureQueriesContext(connection) as queries:
            watch_alerts(now=at(minute))
        assert Alert.objects.filter(raised_at=at(minute)).count() == count
        return len(queries)

    watch_alerts(now=at(-1))
    assert cost(1, 10) == cost(50, 30)


def test_what_somebody_else_changed_is_an_alert_though_it_was_put_right():
    one = device(power_at=at(-1), power_kw=0)
    told(one)
    now = {"state": "ACKNOWLEDGED", "due_at": at(0), "expires_at": at(60)}
    Command.objects.update(proven_at=at(1), proof="Holds 5 kW.", **now)
    prove(now=at(1.5))
    assert looked(1.5) == []
    Command.objects.update(detail="Changed by someone else: held 1 kW.")
    prove(now=at(3))
    assert looked(3) == [("CHANGED_BY_OTHERS", True)]
    assert Alert.objects.get().text == "Changed by someone else: held 1 kW. Holds 5 kW."
