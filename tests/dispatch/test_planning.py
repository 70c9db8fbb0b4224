"""What changed → schedules, overlaps, unserved slices and the events' numbers, in the database."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from devices.domain.schedule import InvalidSchedule
from devices.models import Command, DeviceSchedule, MeterDevice
from dispatch import planning
from dispatch.models import DeviceUnserved, DispatchEvent, Overlap, Unserved
from dispatch.planning import request_plan
from dispatch.queries import waiting
from meters.models import Meter
from tests.builders import at, device, meter
from tests.dispatch.decided import change, event, lanes, plan, recipients

pytestmark = pytest.mark.django_db


def test_event_becomes_schedules_and_is_let_go():
    one, two = meter(), meter()
    battery, charger = device(one, kind="BATTERY"), device(two)
    row = event("a", one, two, "00000000-0000-4000-8000-000000000000", kw="25.5")

    assert plan() == 2
    assert (lanes(battery), lanes(charger)) == (["60-120 10 a"], ["60-120 10 a"])
    row.refresh_from_db()
    assert (row.plan_requested_at, row.planned_at) == (None, at(0))
    assert (row.shortfall_kw, row.unmapped_meters) == (Decimal("5.500"), 1)
    assert plan() == 0


def test_event_none_of_whose_meters_has_a_device_is_counted_unmapped():
    lone = meter()
    row = event("a", lone, "00000000-0000-4000-8000-000000000000", kw="25.5")

    plan()
    row.refresh_from_db()
    assert (row.shortfall_kw, row.unmapped_meters) == (Decimal("25.500"), 2)

    link = MeterDevice.objects.create(meter=lone, device=device())
    request_plan(event_ids=[row.pk], now=at(1))
    plan(1)
    row.refresh_from_db()
    assert row.unmapped_meters == 1

    link.delete()
    request_plan(event_ids=[row.pk], now=at(2))
    plan(2)
    row.refresh_from_db()
    assert row.unmapped_meters == 2


def test_events_of_a_large_body_get_their_numbers_each():
    lone, mapped = meter(), meter()
    device(mapped)
    many = [event(f"many-{n}", lone, kw="25.5") for n in range(60)]
    few = [event(f"few-{n}", lone, mapped, kw=str(20 + n)) for n in range(3)]

    plan()

    stored = {row.pk: (row.shortfall_kw, row.unmapped_meters) for row in DispatchEvent.objects.all()}
    assert [stored[row.pk] for row in many] == [(Decimal("25.500"), 1)] * 60
    assert [stored[row.pk] for row in few] == [(Decimal(10 + n), 1) for n in range(3)]


def test_planning_again_without_a_change_writes_nothing():
    one = meter()
    device(one)
    row = event("a", one)
    event("b", one, start=90, end=150)
    plan()
    before = list(DeviceSchedule.objects.values()), list(Overlap.objects.values()), Command.objects.count()
    change(row)
    assert plan(1) == 1
    assert (
        list(DeviceSchedule.objects.values()),
        list(Overlap.objects.values()),
        Command.objects.count(),
    ) == before


def test_cancelled_event_leaves_its_devices():
    one = meter()
    battery = device(one)
    row, other = event("a", one), event("b", one, kw="5")
    plan()
    assert Overlap.objects.count() == 1
    change(row, is_cancelled=True)
    plan(1)
    assert lanes(battery) == ["60-120 5 b"]
    assert not Overlap.objects.exists()
    assert list(DispatchEvent.objects.filter(is_overlapping=True)) == []
    other.refresh_from_db()
    assert other.planned_at == at(0)


def test_regrouped_event_leaves_the_meters_it_no_longer_names():
    one, two = meter(), meter()
    left, joined = device(one), device(two)
    row = event("a", one)
    plan()
    change(row, recipients=recipients(two))
    assert plan(1) == 2
    assert (lanes(left), lanes(joined)) == ([], ["60-120 8 a"])


def test_overlap_is_a_row_with_what_was_chosen_and_why():
    one = meter()
    row = device(one)
    best = event("a", one, kw="8", priority_rank=1)
    second = event("b", one, start=90, end=150, kw="9", priority_rank=2)
    plan()
    (overlap,) = Overlap.objects.all()
    assert (overlap.device, overlap.starts_at, overlap.ends_at) == (row, at(90), at(120))
    assert (overlap.event_ids, overlap.served, overlap.not_served) == ([best.pk, second.pk], ["a", "b"], [])
    assert "a comes first: rank 1 before rank 2" in overlap.reason
    assert DispatchEvent.objects.filter(is_overlapping=True).count() == 2


def test_running_overlap_that_no_longer_holds_stays_as_history():
    one = meter()
    device(one)
    event("a", one)
    row = event("b", one)
    plan()
    change(row, is_cancelled=True)
    plan(90)
    assert list(Overlap.objects.values_list("starts_at", "ends_at")) == [(at(60), at(90))]
    change(row, is_cancelled=False)
    plan(95)
    assert list(Overlap.objects.values_list("starts_at", "ends_at")) == [(at(60), at(120))]


def test_mapping_a_device_shares_the_power_anew():
    one, two = meter(), meter()
    first = device(one)
    row = event("a", one, two, kw="8")
    plan()
    second = device(two)
    request_plan(meter_ids=[two.pk], now=at(1))
    assert plan(1) == 2
    assert (lanes(first), lanes(second)) == (["60-120 4 a"], ["60-120 4 a"])
    row.refresh_from_db()
    assert (row.unmapped_meters, row.planned_at) == (0, at(1))
    MeterDevice.objects.filter(device=second).delete()
    request_plan(device_ids=[second.pk], meter_ids=[two.pk], now=at(2))
    plan(2)
    assert (lanes(first), lanes(second)) == (["60-120 8 a"], [])
    assert plan(3) == 0


def test_meter_that_is_not_dispatchable_is_left_out_with_the_reason():
    one, two = meter(archived_at=at(-60)), meter()
    idle, works = device(one), device(two)
    row = event("a", one, two)
    plan()
    assert (lanes(idle), lanes(works)) == ([], ["60-120 8 a"])
    (unserved,) = Unserved.objects.all()
    assert [row.device for row in DeviceUnserved.objects.all()] == [idle]
    assert (unserved.event, unserved.starts_at, unserved.ends_at) == (
        row,
        at(60),
        at(120),
    )
    assert "archived" in unserved.reason
    row.refresh_from_db()
    assert row.is_unserved


def test_integration_test_moves_an_armed_meter_until_the_arming_ends():
    one = meter()
    battery = device(one)
    event("t", one, test="INTEGRATION")
    plan()
    assert lanes(battery) == []
    assert Unserved.objects.get().reason.startswith("An integration test moves a device only while")
    Meter.objects.update(test_armed_until=at(90), plan_requested_at=at(1))
    plan(1)
    assert lanes(battery) == ["60-90 8 t"]
    assert list(Unserved.objects.values_list("starts_at", "ends_at")) == [(at(90), at(120))]


def test_statements_do_not_grow_with_devices():
    counts = {}
    for size, minutes in ((3, 0), (40, 600)):
        meters = [meter() for _ in range(size)]
        for each in meters:
            device(each)
        for slot in range(4):
            event(f"{size}-{slot}", *meters, start=minutes + slot, end=minutes + slot + 2)
        with CaptureQueriesContext(connection) as captured:
            assert plan() == size
        # SQLite takes inserts in portions of 999 values.
        counts[size] = sum(not query["sql"].startswith("INSERT") for query in captured)
    assert Overlap.objects.filter(ends_at__gt=at(600)).count() == 40 * 3
    assert counts[3] == counts[40] <= 47


def test_request_made_while_planning_is_not_swallowed(monkeypatch):
    one = meter()
    device(one)
    row = event("a", one)
    decide = planning.plan_fleet

    def decide_meanwhile(*arguments, **options):
        change(row, plan_requested_at=at(1))
        return decide(*arguments, **options)

    monkeypatch.setattr(planning, "plan_fleet", decide_meanwhile)
    plan()
    row.refresh_from_db()
    assert row.plan_requested_at == at(1)


def test_request_wakes_planning_and_a_lost_wake_up_is_found():
    row = event("a", meter(), plan_requested_at=None)
    assert waiting(now=at(5)) == ()
    request_plan(event_ids=[row.pk], now=at(0))
    assert OrmQ.objects.count() == 1
    assert waiting(now=at(0)) == ()
    assert waiting(now=at(5)) == ("dispatch.tasks.plan_waiting",)
    DispatchEvent.objects.update(plan_requested_at=F("planned_at"))
    assert waiting(now=at(5)) == ()
    Meter.objects.update(plan_requested_at=at(5))
    assert waiting(now=at(5)) == ("dispatch.tasks.plan_waiting",)


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), InvalidSchedule("out of order")])
def test_a_device_that_cannot_be_planned_keeps_only_its_own_events_waiting(failure, monkeypatch, page):
    meters = [meter() for _ in range(5)]
    devices = [device(one) for one in meters]
    events = [event(f"event-{number}", one) for number, one in enumerate(meters)]
    plan_fleet, bad = planning.plan_fleet, devices[3].pk

    def stumble(fleet, *, device_ids, now):
        if bad in device_ids:
            raise failure
        return plan_fleet(fleet, device_ids=device_ids, now=now)

    monkeypatch.setattr(planning, "plan_fleet", stumble)
    assert plan() == 4
    assert list(DispatchEvent.objects.filter(plan_requested_at__isnull=False)) == [events[3]]
    assert "wait to be planned" in page("/")

    monkeypatch.setattr(planning, "plan_fleet", plan_fleet)
    assert plan(1) == 1
    assert "wait to be planned" not in page("/")


def test_a_database_that_does_not_answer_is_not_asked_piece_by_piece(monkeypatch):
    event("a", meter())
    event("b", meter())
    tries = []

    def be_away(*_, **__):
        tries.append(1)
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(planning, "load", be_away)
    with pytest.raises(OperationalError):
        plan()
    assert len(tries) == 1
