"""Pre-conditioning and recovery in the database: planned again they stay, called off they are cleared."""

from __future__ import annotations

import pytest
import time_machine

from devices.models import Command, DeviceSchedule, ScheduleSegment
from dispatch.domain.policies import NOTHING
from dispatch.overrides import add_override, end_override
from dispatch.policies import assign_policy, save_policy
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import change, event, plan
from tests.people import person

pytestmark = pytest.mark.django_db

COOLED = {"name": "Cooled", "precondition_minutes": 60, "ramp_minutes": 5, "recovery_minutes": 30}


def cool(**content) -> None:
    """Give the fleet a policy that pre-cools."""
    made = save_policy(policy_id=None, content={**NOTHING, **COOLED, **content}, by="ana", now=NOW)
    assign_policy(policy_id=made.pk, scope="FLEET", target="", now=NOW)


def parts(one) -> list[tuple[float | None, float | None]]:
    """Of the current schedule: prepares from, recovers until, in minutes from NOW."""
    rows = ScheduleSegment.objects.filter(device=one, schedule__superseded_at=None).order_by("starts_at")
    return [(_minutes(row.precondition_from), _minutes(row.recover_until)) for row in rows]


def _minutes(time) -> float | None:
    return None if time is None else (time - NOW).total_seconds() / 60


@pytest.mark.parametrize(
    ("heard", "prepares"),
    [
        pytest.param(-30, 0, id="in time"),
        pytest.param(20, 20, id="late"),
        pytest.param(70, None, id="too late"),
    ],
)
def test_planned_again_at_any_time_a_run_stays_as_it_was(heard, prepares):
    one = meter()
    thermostat = device(one)
    cool()
    row = event("a", one, start=60, end=120)
    plan(heard)
    assert parts(thermostat) == [(prepares, 150)]
    for minute in (0, 30, 60, 61, 100, 120, 121, 149):
        change(row)
        assert plan(max(minute, heard)) == 1
        assert parts(thermostat) == [(prepares, 150)]
    assert DeviceSchedule.objects.count() == 1
    change(row)
    plan(150)
    assert DeviceSchedule.objects.count() == 1


def test_a_hold_ends_the_preparation_and_after_it_another_begins_and_stays():
    one = meter()
    thermostat = device(one)
    cool()
    row = event("a", one, start=60, end=120)
    plan(-30)
    hold = add_override(
        scope="DEVICE",
        target=thermostat.external_id,
        action="HOLD",
        starts_at=at(10),
        ends_at=at(30),
        reason="heat",
        target_kw=None,
        confirm_commitment=True,
        created_by="ana",
        now=at(10),
    )
    plan(10)
    assert parts(thermostat) == [(30, 150)]
    end_override(override_id=hold.pk, by="ana", now=at(20))
    for minute in (20, 25, 40, 100):
        change(row)
        plan(minute)
        assert parts(thermostat) == [(20, 150)]
    assert DeviceSchedule.objects.count() == 3


@pytest.mark.parametrize("minute", [10, 130], ids=["while it prepares", "while it recovers"])
def test_what_is_called_off_under_way_is_cleared_for_a_day(minute):
    one = meter()
    thermostat = device(one)
    cool()
    row = event("a", one, start=60, end=120)
    plan(-30)
    assert Command.objects.get().expires_at == at(150)
    change(row, is_cancelled=True)
    plan(minute)
    command = Command.objects.latest("pk")
    assert (command.kind, command.expires_at) == ("CLEAR", at(minute + 24 * 60))
    assert parts(thermostat) == []


def test_an_early_end_that_is_heard_late_still_leads_back_step_by_step():
    one = meter()
    thermostat = device(one)
    cool()
    row = event("a", one, start=60, end=120)
    plan(-30)
    change(row, ends_at=at(90))
    plan(91)
    assert parts(thermostat) == [(0, 120)]
    change(row)
    plan(100)
    assert DeviceSchedule.objects.count() == 2


def test_who_was_back_to_normal_is_not_made_to_recover():
    one = meter()
    thermostat = device(one)
    row = event("a", one, start=60, end=120)
    plan(-30)
    cool()
    change(row)
    plan(130)
    assert parts(thermostat) == [(None, None)]  # the schedule that was
    assert DeviceSchedule.objects.count() == 1


DRAWN = "Pre-conditioning, 20:00–21:00 UTC"
SAID = "pre-conditions from 20:00, ramps 5 min, recovers until 22:30"


def test_pages_draw_and_say_what_is_around_a_run_and_the_api_has_it(client):
    one = meter()
    thermostat = device(one)
    cool()
    row = event("a", one, start=60, end=120)
    plan(-30)
    client.force_login(person("viewer"))
    shown = {
        f"/devices/{thermostat.pk}/?zone=UTC": [DRAWN, "Recovery, 22:00–22:30 UTC", SAID],
        "/calendar/?view=day&date=2026-07-14&zone=UTC": [DRAWN],
        f"/events/{row.pk}/?zone=UTC": [DRAWN],
        "/?zone=UTC": [DRAWN],
    }
    doing = {10: "Pre-conditions until 21:00, then curtail 8 kW until 22:00.", 130: "Recovers until 22:30."}
    with time_machine.travel(at(10), tick=False) as clock:
        for path, texts in shown.items():
            page = client.get(path).content.decode()
            assert [text for text in texts if text not in page] == [], path
        for minute, text in doing.items():
            clock.move_to(at(minute))
            assert text in client.get(f"/devices/{thermostat.pk}/?zone=UTC").content.decode()
        (segment,) = client.get("/api/v1/schedules/").json()["results"][0]["segments"]
    assert (segment["precondition_from"], segment["ramp_seconds"], segment["recover_until"]) == (
        "2026-07-14T20:00:00Z",
        300,
        "2026-07-14T22:30:00Z",
    )
