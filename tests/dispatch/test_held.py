"""Nothing starts a device that a person stopped: not what waited, not what comes, not a late plan."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import pytest
from django.db import connection, transaction

from devices.commanding import RetryRefused, retry_command, run_due_commands
from devices.domain.schedule import as_z
from devices.mapping import replace_meters
from devices.models import Command, Device, SimulatedDevice, Withheld
from devices.registering import register_devices
from dispatch import planning
from dispatch.models import OverrideAction, OverrideScope, Source
from dispatch.overrides import add_override, end_override
from dispatch.planning import request_plan
from dispatch.policies import assign_policy
from dispatch.queries import waiting
from dispatch.receiving import receive
from dispatch.recording import record_waiting, replay_notification
from meters.arming import arm
from tests.bodies import as_bytes, meter_body, timeslot
from tests.builders import at, device, meter
from tests.dispatch.decided import change, event, lanes, plan
from tests.dispatch.test_policies import policy

pytestmark = pytest.mark.django_db


def say(action: str = "HOLD", scope: str = "FLEET", target: str = "", *, minutes: float = 1, **fields):
    values = {
        "starts_at": at(minutes),
        "ends_at": at(100),
        "target_kw": None,
        "reason": "storm",
        "created_by": "ana",
        "confirm_commitment": True,
        "now": at(minutes),
    }
    return add_override(
        scope=OverrideScope(scope), target=target, action=OverrideAction(action), **values | fields
    )


def runs(battery: Device, *, minutes: float) -> bool:
    """Whether what the device accepted has it do something now."""
    accepted = SimulatedDevice.objects.filter(device=battery).first()
    segments = accepted.message.get("segments", []) if accepted else []
    return any(each["start"] <= as_z(at(minutes)) < each["end"] for each in segments)


def send(minutes: float) -> None:
    run_due_commands(now=at(minutes))


def press_retry(scene):
    for command in Command.objects.filter(device=scene["device"]):
        with suppress(RetryRefused):
            retry_command(command_id=command.pk, now=scene["now"])


def let_more_notifications_come(scene):
    slot = timeslot(start_time=as_z(at(0)), end_time=as_z(at(120)))
    body = as_bytes(meter_body(slot, meter=scene["meter"].meter_id))
    told = receive(body=body, source=Source.WEBHOOK, received_at=scene["now"])
    record_waiting(now=scene["now"])
    replay_notification(notification_id=told.notification_id, now=scene["now"])


def give_a_policy(scene):
    assign_policy(
        policy_id=policy(hours_a_day=None, ignore_below_kw=0).pk, scope="FLEET", target="", now=scene["now"]
    )


def arm_the_meter_for_a_test(scene):
    event("test", scene["meter"], start=0, test="INTEGRATION")
    arm(meter_pk=scene["meter"].pk, hours=1, now=scene["now"])


def map_to_another_meter(scene):
    called = meter()
    event("other", called, start=0)
    replace_meters(wanted={scene["device"].pk: [scene["meter"].pk, called.pk]}, now=scene["now"])


def register_anew(scene):
    wanted = {scene["device"].external_id: {"rated_power_kw": 20}}
    register_devices(wanted=wanted, now=scene["now"])


WAYS = {
    "what waits is due": lambda scene: None,
    "retry": press_retry,
    "a silent device is tried again": lambda scene: Command.objects.update(attempt_count=2),
    "the event changes": lambda scene: change(scene["event"], energy_kw=5),
    "another event comes": lambda scene: event("more", scene["meter"], start=0, kw=None),
    "notification and replay": let_more_notifications_come,
    "plan again": lambda scene: request_plan(event_ids=[scene["event"].pk], now=scene["now"]),
    "force": lambda scene: say("FORCE", "DEVICE", scene["device"].external_id, now=scene["now"]),
    "policy": give_a_policy,
    "armed for a test": arm_the_meter_for_a_test,
    "mapped to another meter": map_to_another_meter,
    "registered anew": register_anew,
    "another override ends": lambda scene: end_override(
        override_id=scene["other"].pk, now=scene["now"], by="bo"
    ),
}


@pytest.mark.parametrize("when", ["before it is planned", "after"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_nothing_starts_a_held_device(way, when):
    one = meter()
    battery = device(one)
    scene = {"meter": one, "device": battery, "event": event("a", one, start=0), "now": at(1)}
    scene["other"] = say("OPT_OUT", "METER", one.meter_id, minutes=0, starts_at=at(50))
    plan()
    hold = say()
    if when == "after":
        plan(1)
        send(1)
    way(scene)
    send(1)
    assert not runs(battery, minutes=1)
    plan(1)
    send(1)
    assert not runs(battery, minutes=1)
    end_override(override_id=hold.pk, now=at(2), by="ana")
    plan(2)
    send(2)
    assert runs(battery, minutes=2)


@pytest.mark.django_db(transaction=True)
def test_plan_made_without_knowing_of_the_hold_starts_nothing(monkeypatch):
    one = meter()
    battery = device(one)
    event("a", one, start=0)
    decide = planning.plan_fleet

    def decide_meanwhile(*arguments, **options):
        monkeypatch.setattr(planning, "plan_fleet", decide)
        elsewhere(say)
        return decide(*arguments, **options)

    monkeypatch.setattr(planning, "plan_fleet", decide_meanwhile)
    plan()
    assert lanes(battery) == ["0-120 8 a"]
    send(1)
    assert not runs(battery, minutes=1)
    plan(1)
    send(1)
    assert lanes(battery) == ["100-120 8 a"]
    assert not runs(battery, minutes=1)
    assert not Withheld.objects.exists()


def elsewhere(act) -> None:
    """Do it as another process does, where the database can have two."""
    if connection.vendor != "postgresql":
        act()
        return

    def alone():
        with transaction.atomic():
            act()
        connection.close()

    other = Thread(target=alone)
    other.start()
    other.join()


def test_what_was_withheld_goes_on_where_nothing_changes():
    one = meter()
    battery = device(one)
    event("a", one, start=0)
    plan()
    end_override(override_id=say().pk, now=at(1), by="ana")
    send(1)
    assert not runs(battery, minutes=1)
    plan(1)
    send(1)
    assert runs(battery, minutes=1)
    assert battery.schedules.count() == 1


def test_what_was_to_stop_a_device_does_not_start_it_later():
    one = meter()
    battery = device(one)
    first = event("a", one, start=0, end=30)
    event("b", one, start=60, end=95)
    plan()
    send(0)
    SimulatedDevice.objects.update(fault="SILENT")
    change(first, is_cancelled=True)
    plan(10)
    assert Command.objects.latest("pk").is_restoring
    say(minutes=70)
    SimulatedDevice.objects.update(fault="")
    send(70)
    assert SimulatedDevice.objects.get().accepted_version == 1
    plan(70)
    send(70)
    assert not runs(battery, minutes=70)


def test_what_nobody_planned_for_is_found():
    Withheld.objects.create(device=device(), since=at(0))
    assert waiting(now=at(0)) == ()
    assert waiting(now=at(5)) == ("dispatch.tasks.plan_waiting",)
    plan(5)
    assert not Withheld.objects.exists()
