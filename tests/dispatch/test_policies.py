"""Policies in the database: who is under which, from when on, and that plans follow."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device, DeviceSchedule
from dispatch.domain.policies import NOTHING
from dispatch.domain.policy_checks import InvalidPolicy
from dispatch.models import DeviceUnserved, Unserved, UnservedSet
from dispatch.policies import assign_policy, save_policy, unassign_policy
from dispatch.policy_models import PolicyVersion, ResponsePolicy
from dispatch.preview import preview_event
from dispatch.queries import waiting
from dispatch.queue import PLAN_WAITING
from dispatch.terms import load_terms, nearest_policies
from dispatch.unserved import undone_by
from meters.models import Site
from tests.builders import NOW, at, device, group, meter
from tests.dispatch.decided import change, event, lanes, plan

pytestmark = pytest.mark.django_db


def policy(name: str = "Home battery", *, policy_id: int | None = None, **content) -> ResponsePolicy:
    """A policy of one hour a day, made or changed by ana."""
    said = {**NOTHING, "hours_a_day": Decimal(1), "name": name} | content
    return save_policy(policy_id=policy_id, content=said, by="ana", now=NOW)


def give(to: ResponsePolicy, scope: str, target: str = "") -> None:
    assign_policy(policy_id=to.pk, scope=scope, target=target, now=NOW)


def test_nearest_policy_wins_and_the_name_breaks_ties():
    one, two = meter(), meter()
    battery = device(one, two)
    assigned = [
        ("fleet", "FLEET", ""),
        ("group", "MARKET_GROUP", group(one).market_group_id),
        ("meter z", "METER", two.meter_id),
        ("meter a", "METER", one.meter_id),
        ("device", "DEVICE", battery.external_id),
    ]
    told = []
    for name, scope, target in assigned:
        give(policy(name), scope, target)
        battery.refresh_from_db()
        told.append(str(nearest_policies([battery], now=NOW)[battery.pk]))
    assert told == ["fleet v1", "group v1", "meter z v1", "meter a v1", "device v1"]
    assert battery.policy == "device"


def test_a_groups_policy_follows_as_a_meter_leaves_it():
    one = meter()
    battery = device(one)
    market = group(one)
    market.memberships.update(ends_at=at(30))
    give(policy(), "MARKET_GROUP", market.market_group_id)
    event("a", one, start=60, end=240)
    plan()
    assert lanes(battery) == ["60-120 8 a"]
    battery.refresh_from_db()
    assert battery.plan_requested_at == at(30)
    assert (PLAN_WAITING in waiting(now=at(29)), PLAN_WAITING in waiting(now=at(30))) == (False, True)

    assert plan(30) == 1
    assert lanes(battery) == ["60-240 8 a"]
    battery.refresh_from_db()
    assert battery.plan_requested_at is None


def test_what_is_assigned_is_planned_and_the_schedule_says_under_which_version():
    one = meter()
    battery = device(one)
    event("a", one, start=60, end=240)
    plan()
    made = policy()
    give(made, "FLEET")
    assert plan(1) == 1
    assert lanes(battery) == ["60-120 8 a"]
    (refused,) = Unserved.objects.all()
    assert refused.reason == "Dropped: 1 h a day is used by a (rank 1). Policy Home battery v1."
    assert DeviceSchedule.objects.get(superseded_at=None).policy == "Home battery v1"

    policy(policy_id=made.pk, hours_a_day=Decimal("1.5"))
    assert plan(2) == 1
    assert lanes(battery) == ["60-150 8 a"]
    assert DeviceSchedule.objects.get(superseded_at=None).policy == "Home battery v2"

    unassign_policy(policy_id=made.pk, scope="FLEET", target="", now=at(3))
    assert plan(3) == 1
    assert lanes(battery) == ["60-240 8 a"]


def test_each_change_is_a_version_and_no_change_is_none():
    made = policy()
    policy(policy_id=made.pk)
    policy(policy_id=made.pk, hours_a_day=Decimal(2), blackouts="22:00-06:00")
    rows = PolicyVersion.objects.order_by("number").values_list("number", "content__hours_a_day")
    assert list(rows) == [(1, 1.0), (2, 2.0)]


def test_a_devices_own_policy_may_be_named_first_and_follows_its_name():
    device(meter(), policy="Home battery")  # named before there was one
    made = policy()
    assert Device.objects.get().plan_requested_at == NOW
    policy("Pack", policy_id=made.pk)
    assert Device.objects.get().policy == "Pack"


def test_what_ran_today_counts_whatever_became_of_its_event():
    one = meter()
    battery = device(one)
    give(policy(), "FLEET")
    gone = event("a", one, start=0, end=60)
    event("b", one, start=120, end=180, first_received_at=at(-60))
    plan(-1)
    assert lanes(battery) == ["0-60 8 a"]
    change(gone, is_cancelled=True)
    plan(30)
    assert lanes(battery) == ["120-150 8 b"]  # half of the hour has been run
    assert preview_event(event_id=gone.pk, now=at(30)).devices[0].segments[0].end == at(150)


def test_a_running_device_planned_again_goes_on_as_it_was():
    one = meter()
    battery = device(one)
    give(policy(longest_run_minutes=60, rest_minutes=60), "FLEET")
    row = event("a", one, start=0, end=120)
    plan(-1)
    change(row)
    plan(20)
    assert lanes(battery) == ["0-60 8 a"]
    assert DeviceSchedule.objects.count() == 1


def test_what_stays_undone_is_written_once():
    one = meter()
    battery = device(one)
    give(policy(events_a_day=1, rest_minutes=60), "FLEET")
    event("a", one, start=0, end=60)
    row = event("b", one, start=120, end=150)
    plan(0)
    for minutes in (100, 125, 140):
        change(row)
        plan(minutes)
    assert (UnservedSet.objects.count(), DeviceUnserved.objects.count()) == (1, 1)
    (undone,) = undone_by(battery.pk, since=NOW)
    assert (undone.starts_at, undone.ends_at) == (at(120), at(150))


STORING = {"hours_a_day": None, "plans_energy": True, "reserve_percent": 20}


def test_the_page_of_a_battery_says_that_no_reserve_is_kept(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ana"))
    give(policy(**STORING), "FLEET")
    said = "no reserve is kept: its energy capacity is not known."
    unknown, known = device(kind="BATTERY"), device(kind="BATTERY", energy_capacity_kwh=Decimal(10))
    assert said in client.get(f"/devices/{unknown.pk}/").content.decode()
    assert said not in client.get(f"/devices/{known.pk}/").content.decode()


def test_energy_that_was_delivered_is_gone_whatever_became_of_its_event():
    one = meter()
    battery = device(one, kind="BATTERY", energy_capacity_kwh=Decimal(10))
    give(policy(**STORING), "FLEET")
    gone = event("a", one, start=0, end=60)
    event("b", one, start=120, end=180)
    plan(-1)
    assert lanes(battery) == ["0-60 8 a"]
    change(gone, is_cancelled=True)
    plan(30)
    assert lanes(battery) == ["120-150 8 b"]  # 4 of 8 kWh are left


def test_a_battery_planned_again_goes_on_as_it_was_and_what_it_says_counts():
    one = meter()
    battery = device(one, kind="BATTERY", energy_capacity_kwh=Decimal(10))
    give(policy(**STORING, when_short="SPREAD"), "FLEET")
    row = event("a", one, start=0, end=180, kw="7")
    plan(-1)
    assert lanes(battery) == ["0-180 2.666 a"]
    for minutes in (1, 100, 179):
        change(row)
        plan(minutes)
    assert DeviceSchedule.objects.count() == 1
    Device.objects.update(state_of_charge_percent=Decimal("42.5"), state_of_charge_at=at(120))
    change(row)
    plan(120)
    assert lanes(battery) == ["120-180 2.25 a"]


def test_the_clock_is_the_sites_else_the_meters():
    site = Site.objects.create(name="Depot", timezone="America/New_York")
    west = meter(timezone="America/Los_Angeles")
    give(policy(), "FLEET")
    terms, _ = load_terms([device(west, site=site), device(west), device()], now=NOW)
    assert [each.zone for each in terms.values()] == ["America/New_York", "America/Los_Angeles", "UTC"]


def test_statements_do_not_grow_with_devices_under_policies():
    counts = []
    give(policy(**STORING), "FLEET")
    for number in (2, 12):
        for _ in range(number):
            one = meter()
            give(policy(f"own {one.meter_id}", **STORING), "METER", one.meter_id)
            device(one, kind="BATTERY", energy_capacity_kwh=Decimal(10))
            event(one.meter_id[:8], one, start=0, end=90)
        with CaptureQueriesContext(connection) as captured:
            plan(number)
        counts.append(len(captured))
    assert counts[0] == counts[1]


STORED = {"plans_energy": True}
REFUSED = {
    "no name": ({"name": " "}, "name", "Give the policy a name."),
    "a run without a rest": ({"longest_run_minutes": 60}, "rest_minutes", "A longest run needs a rest"),
    "odd minutes": ({"rest_minutes": 10}, "rest_minutes", "Give whole quarter-hours"),
    "too many hours": ({"hours_a_day": Decimal(25)}, "hours_a_day", "Give whole quarter-hours"),
    "no time of day": ({"blackouts": "25:00-26:00"}, "blackouts", "“25:00-26:00” is no time of day"),
    "no weekday": ({"blackouts": "22:00-06:00 Moonday"}, "blackouts", "is no time of day"),
    "a reserve without a plan": (
        {"reserve_percent": 20},
        "plans_energy",
        "count only where energy is planned",
    ),
    "a reserve below the lowest": (
        STORED | {"lowest_percent": 30, "reserve_percent": 20},
        "reserve_percent",
        "Give a reserve from the lowest",
    ),
    "no room above the reserve": (
        STORED | {"reserve_percent": 60, "highest_percent": 60},
        "highest_percent",
        "Give more than the reserve",
    ),
    "an expected charge beyond": (
        STORED | {"expected_percent": 101},
        "expected_percent",
        "between the lowest",
    ),
    "no choice": (STORED | {"when_short": "GUESS"}, "when_short", "Choose one of STOP, SPREAD."),
    "a condition without a deed": ({"below_charge_percent": 40}, "voluntary", "skipped or reduced"),
    "reduced to nothing said": ({"voluntary": "REDUCE"}, "keep_percent", "1 to 99"),
    "skipped and kept": ({"voluntary": "SKIP", "keep_percent": 50}, "keep_percent", "keeps nothing"),
    "no voluntary hours": (
        {"voluntary": "SKIP", "voluntary_hours": "noon"},
        "voluntary_hours",
        "“noon” is no time of day",
    ),
    "a day of ramping": ({"ramp_minutes": 1440}, "ramp_minutes", "Give 0 to 60 minutes."),
    "a name that is taken": ({"name": "Taken"}, "name", "Another policy is called so."),
}


@pytest.mark.parametrize(("content", "field", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_policy_is_refused_with_a_sentence(content, field, sentence):
    policy("Taken")
    with pytest.raises(InvalidPolicy) as refused:
        policy(**content)
    assert sentence in refused.value.problems[field]
    assert ResponsePolicy.objects.count() == 1
