"""Devices that hold no schedule are told each value when it is due, renewed, and brought back to normal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from devices import queries
from devices.commanding import run_due_commands
from devices.models import Command, CommandAttempt, Device
from devices.scheduling import replace_schedules
from tests.builders import NOW, device, segment
from tests.devices.setpoint_devices import NORMAL, SetPointDevices

pytestmark = pytest.mark.django_db

WAKES = ("devices.tasks.run_due_commands",)
ALL = "tests.devices.drivers."


@pytest.fixture
def peers(settings):
    settings.DEVICE_DRIVERS = {"values": f"{ALL}SetPointDriver"}
    peers = SetPointDevices()
    yield peers
    peers.close()


@pytest.fixture
def began():
    """The real time: drivers look at the clock before they write."""
    return timezone.now()


def one_of(peers, name="one", fault="", **fields) -> Device:
    peers.faults[name] = fault
    return device(external_id=name, driver="values", settings={"port": peers.port}, **fields)


def plan(*rows: Device, now, segments=((0, 60, "5"),), since=None):
    """Give devices a schedule, in minutes from `since`."""
    start = (since or now) - NOW
    wanted = tuple(_shifted(segment(*each), start) for each in segments)
    with transaction.atomic():
        replace_schedules(desired={row.pk: wanted for row in rows}, now=now)


def _shifted(each, by):
    return replace(each, start=each.start + by, end=each.end + by)


def told(row: Device) -> list[tuple[str, str]]:
    return list(row.commands.order_by("pk").values_list("kind", "state"))


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_a_value_is_sent_when_it_is_due_renewed_each_minute_and_ended_by_normal(peers, began):
    row = one_of(peers)
    plan(row, now=began, segments=((10, 20, "5"),))
    assert run_due_commands(now=began) == 0
    assert queries.waiting(now=began + minutes(9.9)) == ()
    assert row.schedules.get().state == "PENDING"

    assert queries.waiting(now=began + minutes(10)) == WAKES
    assert run_due_commands(now=began + minutes(10)) == 1
    value, normal = row.commands.order_by("pk")
    assert (value.state, row.schedules.get().state) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
    assert (value.proof, value.renewed_at) == ("It holds CURTAIL 5.000.", None)
    assert normal.state == "PENDING"
    assert peers.holds("one", at=began + minutes(12.9)) == "CURTAIL 5.000"
    assert peers.holds("one", at=began + minutes(13.1)) == NORMAL

    for minute in range(11, 18):
        due = Command.objects.get(pk=value.pk).next_attempt_at
        assert due - began < minutes(minute) + seconds(30)
        assert run_due_commands(now=due) == 1
    assert CommandAttempt.objects.count() == 1
    assert Command.objects.get(pk=value.pk).renewed_at == pytest.approx(due, abs=seconds(20))
    run_due_commands(now=began + minutes(18.5))
    assert peers.holds("one", at=began + minutes(19.9)) == "CURTAIL 5.000"
    assert peers.holds("one", at=began + minutes(20)) == NORMAL  # also without the portal

    assert run_due_commands(now=began + minutes(20)) == 1
    assert told(row) == [("SETPOINT", "ACKNOWLEDGED"), ("CLEAR", "ACKNOWLEDGED")]
    assert peers.writes("one")[-1] == NORMAL
    assert row.commands.latest("pk").proven_at
    assert queries.waiting(now=began + minutes(600)) == ()
