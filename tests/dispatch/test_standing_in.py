"""In the database: others stand in for devices that fail or drop, and give back what they took over."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.commanding import run_due_commands
from devices.models import Command, Device, DeviceSchedule, SimulatedDevice
from dispatch.domain.policies import NOTHING
from dispatch.models import DispatchEvent, Overlap, Unserved
from dispatch.policies import assign_policy, save_policy
from dispatch.queries import waiting
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import change, event, lanes, plan

pytestmark = pytest.mark.django_db

PLAN = "dispatch.tasks.plan_waiting"


def answer(fault: str) -> None:
    SimulatedDevice.objects.update(fault=fault)


def pair(fault: str, **fields) -> tuple[Device, Device, DispatchEvent]:
    """Two devices that are asked for 8 kW together; one of them has a fault."""
    one, two = meter(), meter()
    bad, good = device(one, **fields), device(two, **fields)
    SimulatedDevice.objects.create(device=bad, fault=fault)
    return bad, good, event("a", one, two)


def limited(row: Device, name: str = "Tired", **content) -> None:
    said = {**NOTHING, "hours_a_day": Decimal("0.5"), "name": name} | content
    made = save_policy(policy_id=None, content=said, by="ana", now=NOW)
    assign_policy(policy_id=made.pk, scope="DEVICE", target=row.external_id, now=NOW)


def shortfall(of: DispatchEvent) -> Decimal | None:
    return DispatchEvent.objects.get(pk=of.pk).shortfall_kw


@pytest.mark.parametrize("fault", ["REJECT", "SILENT"])
def test_neighbour_takes_over_from_a_device_that_fails_and_gives_back_when_it_answers(fault):
    bad, good, row = pair(fault, rated_power_kw=Decimal(6))
    plan()
    tried = NOW
    while not Device.objects.filter(failing_since__isnull=False).exists():
        run_due_commands(now=tried)
        tried = bad.commands.get().next_attempt_at or tried
    failed = Device.objects.get(pk=bad.pk)
    due = failed.plan_requested_at
    assert due == failed.failing_since + timedelta(seconds=5)
    assert PLAN not in waiting(now=due - timedelta(seconds=1))
    assert PLAN in waiting(now=due)
    assert plan_at(due) == 2
    assert (lanes(bad), lanes(good), shortfall(row)) == (["60-120 4 a"], ["60-120 6 a"], 2)
    assert bad.schedules.count() == 1

    answer("")
    command = bad.commands.get()
    Command.objects.filter(pk=command.pk).update(state="FAILED", next_attempt_at=at(9))  # tried again
    run_due_commands(now=at(9))
    assert Device.objects.get(pk=bad.pk).failing_since is None
    assert plan(9) == 0  # together with what else recovers, in a moment
    assert plan(10) == 2
    assert (lanes(bad), lanes(good), shortfall(row)) == (["60-120 4 a"], ["60-120 4 a"], 0)


def plan_at(moment) -> int:
    return plan((moment - NOW) / timedelta(minutes=1))


def test_devices_that_fail_together_cost_one_plan_and_failing_on_costs_none():
    meters = [meter() for _ in range(4)]
    for one in meters[:3]:
        SimulatedDevice.objects.create(device=device(one), fault="REJECT")
    good = device(meters[3])
    row = event("a", *meters)
    plan()
    run_due_commands(now=NOW)
    assert plan(1) == 4
    assert (lanes(good), Device.objects.filter(plan_requested_at__isnull=False).count()) == (
        ["60-120 8 a"],
        0,
    )

    change(row, energy_kw=Decimal(9))
    plan(2)
    run_due_commands(now=at(2))  # the new schedules are refused as well
    assert waiting(now=at(5)) == ()
    assert lanes(good) == ["60-120 9 a"]


def test_a_device_that_is_offline_but_follows_its_schedule_does_not_fail():
    bad, good, _ = pair("")
    plan()
    run_due_commands(now=NOW)
    Device.objects.filter(pk=bad.pk).update(is_online=False, plan_requested_at=at(1))
    plan(1)
    assert lanes(good) == ["60-120 4 a"]


def test_a_device_that_wavers_is_planned_with_again_only_after_a_quarter_of_an_hour():
    bad, _, row = pair("")
    plan()
    asked = []
    for minute in (1, 2):
        answer("REJECT")
        change(row, energy_kw=Decimal(8 + 2 * minute))
        plan(minute)
        run_due_commands(now=at(minute))
        answer("")
        change(row, energy_kw=Decimal(9 + 2 * minute))
        plan(minute)
        run_due_commands(now=at(minute))
        asked.append(Device.objects.get(pk=bad.pk).plan_requested_at - at(minute))
    assert timedelta(seconds=4) < asked[0] < timedelta(minutes=1)
    assert timedelta(minutes=14) < asked[1] < timedelta(minutes=16)


def test_what_a_policy_drops_is_given_by_others_also_in_events_that_did_not_change():
    one, two, three = meter(), meter(), meter()
    tired, first, other = device(one), device(two), device(three)
    early = event("a", one, two)
    plan()
    limited(tired, hours_a_day=Decimal(1))
    plan(1)
    assert lanes(tired) == ["60-120 4 a"]
    late = event("b", one, three, start=150, end=210, kw="10")
    plan(2)  # 'b' is worth more, and 'a' did not change
    assert (lanes(tired), lanes(first), lanes(other)) == (["150-210 5 b"], ["60-120 8 a"], ["150-210 5 b"])
    assert (shortfall(early), shortfall(late)) == (0, 0)

    # What bears on a plan is read, though it is not planned: 'c' reaches neither 'b' nor the tired device.
    change(event("c", two, start=400, end=420))
    assert plan(3) == 1
    assert lanes(first) == ["60-120 8 a", "400-420 8 c"]


def test_planning_again_changes_nothing():
    one, two, three = meter(), meter(), meter()
    tired, failing = device(one), device(two)
    device(three)
    limited(tired)
    rows = [event("a", one, two, three), event("b", one, three, start=90, end=150, kw="12")]
    Device.objects.filter(pk=failing.pk).update(failing_since=at(-5))
    plan()
    before = everything()
    assert before[1] and before[2]
    for minute in (1, 61, 80, 100):  # also while they run
        for row in rows:
            change(row)
        assert plan(minute) == 3
        assert everything()[0] == before[0]
    assert [shortfall(row) for row in rows] == [0, Decimal(2)]


def everything() -> list[list[object]]:
    tables = (DeviceSchedule, Unserved, Overlap)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_statements_do_not_grow_with_devices_that_share_with_limited_ones():
    counts = []
    for size in (2, 12):
        meters = [meter() for _ in range(3 * size)]
        rows = [device(one) for one in meters]
        for number in range(size):  # of each three, two share one event and two the other
            limited(rows[3 * number + 1], name=f"Tired {size}-{number}")
            event(f"{size}-{number}", *meters[3 * number : 3 * number + 2])
        plan(1)
        for number in range(size):
            event(f"{size}-{number}-late", *meters[3 * number + 1 : 3 * number + 3], start=90, end=150)
        with CaptureQueriesContext(connection) as captured:
            assert plan(2) == 3 * size
        counts.append(sum(not query["sql"].startswith("INSERT") for query in captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("seed", [1, 17, 25])
def test_planning_what_a_change_reaches_is_as_planning_everything(seed):
    random = Random(seed)  # noqa: S311 - a table of cases
    meters = [meter() for _ in range(6)]
    rows = [device(one, rated_power_kw=random.randint(3, 12)) for one in meters]
    for number, row in enumerate(random.sample(rows, 4)):
        limited(row, name=f"Tired {number}", hours_a_day=Decimal(random.randint(1, 2)) / 2)
    plan()
    for step in range(8):
        match random.choice(["ask", "ask", "cancel", "fail"]) if step else "ask":
            case "ask":
                start, kw = random.randint(1, 20) * 10, str(random.randint(4, 30))
                asked = random.sample(meters, random.randint(2, 3))
                event(f"e{step}", *asked, start=start, end=start + 60, kw=kw, priority_rank=step)
            case "cancel":
                change(random.choice(DispatchEvent.objects.order_by("pk")), is_cancelled=True)
            case "fail":
                row = Device.objects.filter(pk=random.choice(rows).pk)
                row.update(failing_since=random.choice([None, at(0)]), plan_requested_at=at(0))
        plan()
        before = everything(), list(DispatchEvent.objects.order_by("pk").values_list("pk", "shortfall_kw"))
        Device.objects.update(plan_requested_at=at(0))
        assert plan() == 6
        after = everything(), list(DispatchEvent.objects.order_by("pk").values_list("pk", "shortfall_kw"))
        assert after == before
