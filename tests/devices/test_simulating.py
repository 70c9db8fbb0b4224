"""A simulated fleet behaves, and says what it measures as any fleet does."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.commanding import run_due_commands
from devices.domain.schedule import Mode
from devices.models import Device, SimulatedDevice
from devices.proof_models import Watch
from devices.scheduling import replace_schedules
from devices.simulating import look_back, step_devices
from devices.telemetry_models import Reading
from devices.watching import waiting
from tests.builders import at, device, segment

pytestmark = pytest.mark.django_db


def told(*devices, start, end, kw="4", fault="", **fields):
    """Have the devices accept a run of theirs, at minute 0; return when the run ends."""
    for one in devices:
        SimulatedDevice.objects.create(device=one, fault=fault, due_at=at(0))
    step_devices(now=at(0))
    replace_schedules(desired={one.pk: (segment(start, end, kw, **fields),) for one in devices}, now=at(0))
    run_due_commands(now=at(0))
    SimulatedDevice.objects.update(accepted_at=at(0))


def powers(one):
    return list(Reading.objects.filter(device=one).order_by("at").values_list("at", "power_kw"))


def test_each_minute_a_device_says_what_it_measures_and_each_half_while_it_runs():
    one = device(kind="BATTERY", energy_capacity_kwh=Decimal(20))
    told(one, start=3, end=5, mode=Mode.DISCHARGE)
    for half in range(16):
        step_devices(now=at(half / 2) + timedelta(seconds=2))

    times = [moment for moment, _ in powers(one)]
    assert times == [at(minute) for minute in (0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7)]
    one.refresh_from_db()
    newest = Reading.objects.filter(device=one).latest("at")
    assert (one.power_kw, one.power_at, one.is_online) == (newest.power_kw, at(7), True)
    assert 0 < one.state_of_charge_percent < 100
    assert {power for moment, power in powers(one) if at(3) <= moment < at(5)} == {Decimal(-4)}
    run = Reading.objects.filter(device=one, at__gte=at(3), at__lte=at(5)).order_by("at")
    assert run.last().energy_kwh - run.first().energy_kwh == pytest.approx(
        Decimal("-0.133"), abs=Decimal("0.0011")
    )
    assert [each.mode for each in run] == ["discharge"] * 4 + ["normal"]


def test_a_fleet_costs_as_many_statements_as_a_device():
    def statements(count):
        Watch.objects.all().delete()
        for number in range(count):
            device(external_id=f"{count}-{number}", kind="BATTERY")
        step_devices(now=at(0))
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert step_devices(now=at(count)) == Device.objects.count()
        return len(caught)

    few = statements(2)
    Device.objects.all().delete()
    assert statements(20) == few


def test_after_a_pause_the_past_is_told_in_few_readings_and_after_a_long_one_not_at_all():
    one = device()
    step_devices(now=at(0))

    step_devices(now=at(61))
    assert [moment for moment, _ in powers(one)] == [at(minute) for minute in (0, *range(5, 61, 5), 61)]
    before = Reading.objects.latest("at").energy_kwh
    step_devices(now=at(61 + 7 * 60))
    assert len(powers(one)) == 15
    assert before < Reading.objects.latest("at").energy_kwh < before + 1


def test_one_worker_at_a_time_and_no_reading_twice():
    one = device()
    assert step_devices(now=at(0)) == 1
    SimulatedDevice.objects.update(due_at=at(0))
    assert step_devices(now=at(0) + timedelta(seconds=1)) == 0
    assert step_devices(now=at(0) + timedelta(seconds=6)) == 1
    assert len(powers(one)) == 1


def test_a_look_back_gives_a_new_fleet_a_past():
    one = device()
    assert look_back(since=at(-120)) == 1
    step_devices(now=at(0))

    assert len(powers(one)) == 24
    assert look_back(since=at(-120)) == 0


@pytest.mark.parametrize(
    ("fault", "in_run", "late_in_run", "afterwards"),
    [
        ("", -4, -4, 0),
        ("LIES", 0, 0, 0),
        ("WEAK", Decimal("-2.4"), Decimal("-2.4"), 0),
        ("STUCK", -4, -4, -4),
        ("SOMEBODY_ELSE", -4, 0, 0),
    ],
)
def test_faults_show_in_what_is_measured(fault, in_run, late_in_run, afterwards):
    one = device(kind="BATTERY", energy_capacity_kwh=Decimal(40))
    told(one, start=1, end=31, mode=Mode.DISCHARGE, fault=fault)
    step_devices(now=at(2))
    step_devices(now=at(30))
    step_devices(now=at(32))

    said = dict(powers(one))
    assert SimulatedDevice.objects.get().accepted_version == 1
    for moment, expected in ((at(2), in_run), (at(30), late_in_run), (at(32), afterwards)):
        assert said[moment] == expected if expected else said[moment] >= 0


@pytest.mark.parametrize(("fault", "is_online"), [("OFFLINE", False), ("SILENT", True)])
def test_a_device_that_is_away_says_nothing(fault, is_online):
    one = device()
    SimulatedDevice.objects.create(device=one, fault=fault, due_at=at(0))
    step_devices(now=at(0))

    one.refresh_from_db()
    assert (powers(one), one.is_online) == ([], is_online)


def test_a_device_has_the_charge_that_somebody_says_and_may_keep_its_own_to_itself():
    one = device(kind="BATTERY", state_of_charge_percent=50, state_of_charge_at=at(-5))
    mute = device(kind="BATTERY", settings={"says_charge": False})
    step_devices(now=at(0))
    one.refresh_from_db()
    assert one.state_of_charge_percent == pytest.approx(50, abs=1)

    Device.objects.update(state_of_charge_percent=80, state_of_charge_at=at(0.5))
    step_devices(now=at(2))
    one.refresh_from_db()
    mute.refresh_from_db()
    assert one.state_of_charge_percent == pytest.approx(81, abs=1)
    assert one.state_of_charge_at == at(2)
    assert (mute.state_of_charge_percent, mute.state_of_charge_at) == (80, at(0.5))
    assert set(Reading.objects.filter(device=mute).values_list("state_of_charge_percent")) == {(None,)}


def test_it_waits_only_when_it_is_told_to_and_something_is_simulated(settings):
    task = "devices.tasks.simulate_devices"
    assert not settings.SIMULATE
    settings.SIMULATE = True
    assert task not in waiting(now=at(0))

    one = device()
    SimulatedDevice.objects.create(device=one, due_at=at(0))
    assert task in waiting(now=at(0))
    settings.SIMULATE = False
    assert task not in waiting(now=at(0))

    settings.SIMULATE = True
    Device.objects.update(driver="mqtt")
    step_devices(now=at(0))
    assert task not in waiting(now=at(99)) and powers(one) == []
    Device.objects.update(driver="simulator")
    step_devices(now=at(100))
    assert len(powers(one)) == 1
