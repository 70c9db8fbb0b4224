"""A meter's standing in SQL and by the pure rule: both say the same of every case."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.domain.standing import Code, causes_of
from dispatch.models import Override
from dispatch.policy_models import PolicyAssignment, ResponsePolicy
from dispatch.reading import standing
from dispatch.step_models import GroupDifference, OutOfStep
from meters.enrollment_models import Enrollment
from meters.models import Meter
from meters.sync_models import MeterAtLeap
from tests.builders import device, group, meter
from tests.rows import event

pytestmark = pytest.mark.django_db

NOW = timezone.now()
HOUR = timedelta(hours=1)


def _gone(one):
    MeterAtLeap.objects.create(meter=one, heard_at=NOW, seen_in=1, gone_at=NOW)


def _override(scope, target, action="HOLD"):
    Override.objects.create(
        scope=scope,
        target=target,
        action=action,
        starts_at=NOW - HOUR,
        ends_at=NOW + HOUR,
        created_at=NOW,
        reason="Feeder fault",
        created_by="otto",
    )


def _enrolled(one, starts, ends):
    Enrollment.objects.create(
        meter=one, program="CCA", status="ACTIVE", starts_at=NOW + starts * HOUR, ends_at=NOW + ends * HOUR
    )


def _dark(scope, target):
    """A blackout that is on now, whatever the hour."""
    start, end = NOW - 2 * HOUR, NOW + 2 * HOUR
    policy = ResponsePolicy.objects.create(name="Dark", blackouts=f"{start:%H:%M}-{end:%H:%M}")
    PolicyAssignment.objects.create(policy=policy, scope=scope, target=target)


WELL: dict[str, object] = {}


def _out_of_step(one):
    asked = event("e", meter_ids=[one.meter_id], market_group_id="g")
    difference = GroupDifference.objects.create(
        digest="d", called=1, held=0, called_not_ours=[one.meter_id], called_not_ours_count=1
    )
    OutOfStep.objects.create(event=asked, difference=difference, found_at=NOW)


OFF, FAILS = {"is_online": False}, {"failing_since": NOW}
CASES = {
    "ready": ({}, [WELL], None, ()),
    "archived and idle": (
        {"archived_at": NOW - HOUR, "participation": "idle"},
        [WELL],
        None,
        (Code.ARCHIVED, Code.IDLE),
    ),
    "disenrolled without a device": (
        {"participation": "DISENROLL"},
        [],
        None,
        (Code.DISENROLLED, Code.NO_DEVICE),
    ),
    "no device": ({}, [], None, (Code.NO_DEVICE,)),
    "offline": ({}, [OFF, OFF], None, (Code.OFFLINE,)),
    "one offline": ({}, [OFF, WELL], None, (Code.PARTLY_OFFLINE,)),
    "failing": ({}, [FAILS], None, (Code.FAILING,)),
    "offline and failing": (
        {},
        [OFF, FAILS],
        None,
        (Code.NONE_ABLE, Code.PARTLY_OFFLINE, Code.PARTLY_FAILING),
    ),
    "fleet held": ({}, [WELL], lambda one: _override("FLEET", ""), (Code.HELD,)),
    "meter held": ({}, [WELL, WELL], lambda one: _override("METER", one.meter_id), (Code.HELD,)),
    "group held": (
        {},
        [WELL],
        lambda one: _override("MARKET_GROUP", group(one).market_group_id, "OPT_OUT"),
        (Code.HELD,),
    ),
    "device held": (
        {},
        [WELL, WELL],
        lambda one: _override("DEVICE", one.devices.first().external_id),
        (Code.PARTLY_HELD,),
    ),
    "another held": ({}, [WELL], lambda one: _override("METER", "other"), ()),
    "forced": ({}, [WELL], lambda one: _override("METER", one.meter_id, "FORCE"), (Code.FORCED,)),
    "dark by the fleet's policy": ({}, [WELL], lambda one: _dark("FLEET", ""), (Code.BLACKOUT,)),
    "dark by the meter's policy": ({}, [WELL], lambda one: _dark("METER", one.meter_id), (Code.BLACKOUT,)),
    "dark by its group's policy": (
        {},
        [WELL],
        lambda one: _dark("MARKET_GROUP", group(one).market_group_id),
        (Code.BLACKOUT,),
    ),
    "a nearer policy without hours": (
        {},
        [{"policy": "Own"}, WELL],
        lambda one: (ResponsePolicy.objects.create(name="Own"), _dark("FLEET", "")),
        (Code.PARTLY_BLACKOUT,),
    ),
    "called in a group it is not in": ({}, [WELL], _out_of_step, (Code.OUT_OF_STEP,)),
    "no longer listed": ({}, [WELL], _gone, (Code.NOT_LISTED,)),
    "active nowhere": ({"enrollment_status": "ELIGIBLE"}, [WELL], None, (Code.NOT_ACTIVE,)),
    "active in a period": (
        {"enrollment_status": "ELIGIBLE"},
        [WELL],
        lambda one: _enrolled(one, -1, 1),
        (),
    ),
    "active in a period to come": (
        {"enrollment_status": "PENDING"},
        [WELL],
        lambda one: _enrolled(one, 1, 2),
        (Code.NOT_ACTIVE,),
    ),
    "armed": ({"test_armed_until": NOW + HOUR}, [WELL], None, (Code.ARMED,)),
}


@pytest.mark.parametrize(("fields", "devices", "around", "causes"), CASES.values(), ids=CASES.keys())
def test_the_database_and_the_rule_agree_on_the_gravest_cause(fields, devices, around, causes):
    one = meter(**fields)
    for each in devices:
        device(one, **each)
    if around:
        around(one)
    present = standing.read_present(now=NOW)
    rows = standing.with_facts(
        standing.with_cause(Meter.objects.filter(pk=one.pk), present=present), present=present
    )
    found = rows.get()
    assert causes_of(standing.facts_of(found, present=present)) == causes
    assert found.cause == (causes[0] if causes else Code.READY)


def test_what_could_move_now_counts_each_device_once():
    """A battery behind two meters, one offline, one held, one behind a meter that sits out."""
    utility = meter(programs=["CCA", "ELRP"], transmission_region="CAISO")
    unit = meter(programs=["CEC-DSGS"], transmission_region="CAISO")
    idle = meter(programs=["CCA"], transmission_region="CAISO", participation="IDLE")
    east = meter(programs=["NYISO-SCR"], transmission_region="NYISO")
    device(utility, unit, rated_power_kw=8)
    device(utility, idle, rated_power_kw=4)
    device(idle, rated_power_kw=100)
    device(utility, is_online=False)
    held = device(east)
    device(east, rated_power_kw=2)
    _override("DEVICE", held.external_id)
    present = standing.read_present(now=NOW)
    assert standing.dispatchable_kw(present=present) == 14
    assert standing.dispatchable_kw(present=present, meter=unit) == 8
    by_program = standing.able_kw_by("programs", present=present)
    assert by_program == {"CCA": 12, "ELRP": 12, "CEC-DSGS": 8, "NYISO-SCR": 2}
    assert standing.able_kw_by("transmission_region", present=present) == {"CAISO": 12, "NYISO": 2}
