"""Readings of the state of charge, wishes and prices in the database: which of them ask for a plan."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device
from devices.registering import register_devices
from dispatch import queries, tasks
from dispatch.domain.policies import NOTHING
from dispatch.models import Unserved
from dispatch.policies import assign_policy, save_policy
from dispatch.policy_models import ProgramPrice
from dispatch.prices import remove_prices, set_price
from dispatch.queue import PLAN_WAITING
from dispatch.weighing import weigh_readings
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import event, lanes, plan

pytestmark = pytest.mark.django_db


def policy(**content) -> None:
    """The fleet's policy."""
    said = {**NOTHING, "name": "Home", **content}
    made = save_policy(policy_id=None, content=said, by="ana", now=NOW)
    assign_policy(policy_id=made.pk, scope="FLEET", target="", now=NOW)


def skips_below(percent: int) -> None:
    policy(voluntary="SKIP", below_charge_percent=percent)


def say(row: Device, percent: str | None) -> None:
    """Store a reading, at a minute from NOW."""
    said = None if percent is None else Decimal(percent)
    register_devices(wanted={row.external_id: {"state_of_charge_percent": said}}, now=at(1))


@pytest.mark.parametrize(
    ("percent", "has_event", "is_weighed", "planned"),
    [
        pytest.param("39", True, True, 1, id="past the edge"),
        pytest.param("44.9", True, True, 0, id="a little"),
        pytest.param("46", True, True, 1, id="five points"),
        pytest.param(None, True, True, 1, id="not known any more"),
        pytest.param("39", False, True, 0, id="nothing is asked of it"),
        pytest.param("39", True, False, 0, id="no policy weighs it"),
    ],
)
def test_a_reading_asks_for_a_plan_where_it_may_change_one(percent, has_event, is_weighed, planned):
    where = meter()
    battery = device(where, state_of_charge_percent=Decimal(41), state_of_charge_at=NOW)
    if is_weighed:
        skips_below(40)
    else:
        policy(voluntary="SKIP")
    if has_event:
        event("a", where, is_voluntary=True)
    plan(0)
    say(battery, percent)
    assert queries.waiting(now=at(1)) == (PLAN_WAITING,)
    assert weigh_readings(now=at(1)) == planned
    assert plan(1) == planned
    assert queries.waiting(now=at(1)) == ()


@pytest.mark.django_db(transaction=True)
def test_what_plans_weighed_is_written_where_devices_are_taken_in_order():
    """Within the plan's transaction it would take devices after schedules, and meet an answer's writer."""
    skips_below(40)
    one = meter()
    battery = device(one, state_of_charge_percent=Decimal(50), state_of_charge_at=NOW)
    event("a", one)
    with CaptureQueriesContext(connection) as asked:
        plan()
    said = [each["sql"] for each in asked]
    noted = [
        number for number, sql in enumerate(said) if sql.startswith("UPDATE") and "planned_percent" in sql
    ]
    ends = [number for number, sql in enumerate(said) if sql == "COMMIT"]
    battery.refresh_from_db()
    assert battery.planned_percent == 50
    assert noted and ends[0] < noted[0]


def test_a_drift_in_small_steps_is_weighed_against_what_was_planned():
    where = meter()
    battery = device(where, state_of_charge_percent=Decimal(80), state_of_charge_at=NOW)
    skips_below(40)
    event("a", where, is_voluntary=True)
    plan(0)
    asked = []
    for percent in ("78", "76", "74", "72"):
        say(battery, percent)
        asked.append(weigh_readings(now=at(1)))
        plan(1)
    assert asked == [0, 0, 1, 0]


def test_a_low_battery_gives_a_voluntary_event_up_and_takes_it_back_when_charged(monkeypatch):
    where = meter()
    battery = device(where, state_of_charge_percent=Decimal(50), state_of_charge_at=NOW)
    skips_below(40)
    event("a", where, is_voluntary=True, programs=["ELRP"])
    plan(0)
    assert lanes(battery) == ["60-120 8 a"]
    monkeypatch.setattr(tasks.timezone, "now", lambda: at(2))
    say(battery, "30")
    tasks.plan_waiting()
    assert lanes(battery) == []
    assert [row.reason for row in Unserved.objects.all()] == [
        "Skipped: 30 % of charge is below 40 %. Policy Home v1."
    ]
    say(battery, "40")
    tasks.plan_waiting()
    assert lanes(battery) == ["60-120 8 a"]


def test_weighing_costs_the_same_however_many_say_something():
    skips_below(40)
    where = meter()
    event("a", where, is_voluntary=True)

    def cost(count: int) -> int:
        for _ in range(count):
            device(where, plan_requested_at=NOW)
        plan(0)
        said = {"state_of_charge_percent": Decimal(30 + count)}
        register_devices(
            wanted=dict.fromkeys(Device.objects.values_list("external_id", flat=True), said), now=NOW
        )
        with CaptureQueriesContext(connection) as made:
            assert weigh_readings(now=NOW) == Device.objects.count()
        plan(0)
        return len(made)

    assert cost(1) == cost(8)


def test_the_wish_of_a_customer_and_what_a_program_pays_count_from_the_next_plan_on():
    where = meter()
    battery = device(where)
    policy(voluntary="SKIP", comfort_price=Decimal("0.50"))
    event("a", where, is_voluntary=True, programs=["ELRP"])
    event("b", where, start=120, end=180, programs=["CCA"])
    plan(0)
    assert lanes(battery) == ["60-120 8 a", "120-180 8 b"]

    assert set_price(program=" elrp ", usd_per_kwh=Decimal("0.40"), now=NOW).program == "ELRP"
    assert plan(0) == 1
    assert lanes(battery) == ["120-180 8 b"]
    set_price(program="ELRP", usd_per_kwh=Decimal("0.40"), now=NOW)
    assert plan(0) == 0
    set_price(program="ELRP", usd_per_kwh=Decimal("0.50"), now=NOW)
    plan(0)
    assert lanes(battery) == ["60-120 8 a", "120-180 8 b"]

    register_devices(wanted={battery.external_id: {"commitments_only": True}}, now=NOW)
    plan(0)
    assert lanes(battery) == ["120-180 8 b"]
    remove_prices(programs=["ELRP"], now=NOW)
    assert not ProgramPrice.objects.exists()
