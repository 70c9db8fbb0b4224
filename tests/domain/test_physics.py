"""Simulated devices are exact, always the same, and do what they are told, or not, as they are made to."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.domain.following import Fault, read_orders
from devices.domain.machines import Machine
from devices.domain.physics import (
    advance,
    begin,
    read_condition,
    said_mode,
    seed_of,
    state_of_charge_percent,
)
from devices.domain.schedule import Mode, as_message
from tests.builders import NOW, at, segment

KINDS = ["BATTERY", "THERMOSTAT", "EV_CHARGER", "HVAC", "WATER_HEATER", "GENERATOR", "LOAD"]
MODES = {"BATTERY": Mode.DISCHARGE}


def machine(kind="LOAD", name="one", **fields):
    values = {"rated_kw": 10.0, "capacity_kwh": 20.0, "zone": ZoneInfo("America/Los_Angeles")} | fields
    return Machine(kind, seed_of(name), **values)


def orders(*segments, fault=None, since=None):
    message = as_message(device="one", version=1, issued_at=NOW, expires_at=at(600), segments=segments)
    return read_orders(message, since=since, fault=fault)


def shaped(kind, kw="4", **fields):
    return segment(31, 75.5, kw, mode=MODES.get(kind, Mode.CURTAIL), **fields)


def runs(one, told, minutes, *, start=None):
    """The device's condition at each of these minutes from NOW."""
    condition, found = start or begin(one, at=NOW), {}
    for minute in minutes:
        condition = advance(one, condition, told, until=at(minute))
        found[minute] = condition
    return found


def mean_kw(one, told, first, last):
    found = runs(one, told, [first, last])
    return (found[last].energy_kwh - found[first].energy_kwh) / ((last - first) / 60)


@settings(max_examples=30)
@given(
    kind=st.sampled_from(KINDS),
    name=st.text(max_size=8),
    kw=st.sampled_from([None, "0", "3.7", "25"]),
    rated=st.sampled_from([10.0, 0.0, 0.7, 900.0]),
    fault=st.sampled_from([None, *Fault]),
    cuts=st.lists(st.floats(0.001, 239), max_size=12),
)
def test_how_time_is_cut_into_steps_makes_no_difference(kind, name, kw, rated, fault, cuts):
    one = machine(kind, name, rated_kw=rated)
    told = orders(
        shaped(kind, kw, precondition_from=at(11.2), ramp_seconds=95, recover_until=at(90)), fault=fault
    )

    once = runs(one, told, [240])[240]
    often = runs(one, told, [*sorted(cuts), 240])[240]
    by_minutes = runs(one, told, range(1, 241))[240]

    for other in (often, by_minutes):
        assert other.energy_kwh == pytest.approx(once.energy_kwh, abs=1e-6)
        assert other.level == pytest.approx(once.level, abs=1e-6)
        assert other.power_kw == pytest.approx(once.power_kw, abs=1e-6)
        assert (other.doing, other.at) == (once.doing, once.at)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_goes_on_where_it_was(kind):
    one, told = machine(kind), orders(shaped(kind))
    before = runs(one, told, [40])[40]

    assert read_condition(before.as_stored()) == before
    assert read_condition({}) is None and read_condition({**before.as_stored(), "level": "full"}) is None


@pytest.mark.parametrize("kind", ["BATTERY", "THERMOSTAT", "HVAC", "WATER_HEATER", "GENERATOR", "LOAD"])
def test_an_honest_device_moves_by_what_it_is_told_and_goes_back(kind):
    one, told = machine(kind), orders(shaped(kind))

    usual, moved = mean_kw(one, orders(), 35, 75), mean_kw(one, told, 35, 75)
    assert usual - moved == pytest.approx(4, rel=0.08) if kind != "BATTERY" else moved == pytest.approx(-4)
    assert said_mode(runs(one, told, [40])[40]) == MODES.get(kind, Mode.CURTAIL).lower()
    after = runs(one, told, [76])[76]
    assert (said_mode(after), after.doing.is_running) == ("normal", False)


def test_a_battery_stops_at_its_reserve_and_loses_what_it_must():
    one, told = machine("BATTERY"), orders(segment(0, 600, None, mode=Mode.EXPORT))
    start = begin(one, at=NOW)

    empty = runs(one, told, [240])[240]
    assert state_of_charge_percent(one, empty) == pytest.approx(10, abs=0.01)
    assert -empty.energy_kwh == pytest.approx((start.level - 2) * 0.95, abs=0.05)
    assert 0 < empty.power_kw < 0.1

    full = advance(one, empty, orders(), until=at(900))
    assert state_of_charge_percent(one, full) == pytest.approx(100, abs=0.01)
    assert full.energy_kwh - empty.energy_kwh == pytest.approx(18 / 0.95, abs=0.2)


def test_a_room_is_cooled_before_drifts_and_is_cooled_back():
    one = machine("HVAC")
    told = orders(segment(60, 120, "6", precondition_from=at(20)))

    found = {minute: each.level for minute, each in runs(one, told, [20, 60, 120, 300]).items()}
    assert found[60] < found[20] - 0.3
    assert found[120] > found[20] + 0.5
    assert found[300] == pytest.approx(found[20], abs=0.4)
    assert mean_kw(one, told, 121, 150) > mean_kw(one, orders(), 121, 150) + 1


def test_a_ramp_rises_and_recovery_falls_step_by_step():
    told = orders(segment(10, 30, "5", ramp_seconds=300, recover_until=at(40)))
    one = machine("LOAD")
    found = runs(one, told, [10 + minute / 2 for minute in range(1, 62)])

    shares = [each.doing.share if each.doing.is_running else 0 for each in found.values()]
    assert all(a < b for a, b in pairwise(shares[:9])) and shares[10:39] == [1.0] * 29
    assert all(a > b for a, b in pairwise(shares[40:59])) and shares[-1] == 0


def test_a_car_comes_needs_energy_and_leaves():
    one = machine("EV_CHARGER")
    found = runs(one, orders(), range(5, 24 * 60, 5))

    drawn = found[24 * 60 - 5].energy_kwh
    assert 3 * 40 * 0.8 < drawn < 3 * 60
    assert {round(each.power_kw) for each in found.values()} >= {0, 10}
    assert all(each.level > -1e-6 for each in found.values())


def test_what_a_car_did_not_get_it_takes_later():
    one = machine("EV_CHARGER")
    comes_at = next(
        m for m, each in runs(one, orders(), range(1440)).items() if each.power_kw > 9 and m > 500
    )
    held = orders(segment(comes_at, comes_at + 60, None))

    usual, later = runs(one, orders(), [comes_at + 470])[comes_at + 470], runs(one, held, [comes_at + 470])
    assert later[comes_at + 470].energy_kwh == pytest.approx(usual.energy_kwh, abs=0.6)


def test_a_car_that_comes_in_the_middle_of_a_run_waits():
    one = machine("EV_CHARGER")
    day = list(runs(one, orders(), range(1440)).values())
    comes_at = next(n for n in range(60, 1440) if day[n].power_kw > 9 and day[n - 1].power_kw == 0)
    held = orders(segment(comes_at - 30, comes_at, "1"), segment(comes_at, comes_at + 20, "2"))

    found = runs(one, held, [comes_at - 5, comes_at + 10, comes_at + 21])
    assert [round(each.power_kw) for each in found.values()] == [0, 0, 10]


@pytest.mark.parametrize("kind", ["BATTERY", "LOAD"])
def test_each_fault_is_what_it_says(kind):
    one = machine(kind)
    told = {fault: orders(shaped(kind), fault=fault) for fault in [None, *Fault]}
    usual = mean_kw(one, orders(), 40, 75)
    honest = mean_kw(one, told[None], 40, 75)

    assert mean_kw(one, told[Fault.LIES], 40, 75) == usual
    weak = mean_kw(one, told[Fault.WEAK], 40, 75)
    assert weak == pytest.approx(-2.4 if kind == "BATTERY" else usual + 0.6 * (honest - usual), abs=0.01)
    assert runs(one, told[Fault.STUCK], [110])[110].doing.is_running
    somebody = runs(one, told[Fault.SOMEBODY_ELSE], [35, 37, 60])
    assert [each.doing.is_running for each in somebody.values()] == [True, False, False]
    assert mean_kw(one, told[Fault.OFFLINE], 40, 75) == honest


def test_a_stuck_device_stays_where_it_is_when_its_schedule_is_taken_away():
    one = machine("BATTERY")
    running = runs(one, orders(shaped("BATTERY"), fault=Fault.STUCK), [40])[40]
    cleared = orders(fault=Fault.STUCK, since=at(41))

    assert advance(one, running, cleared, until=at(60)).power_kw == pytest.approx(-4)
    assert advance(one, running, orders(since=at(41)), until=at(60)).power_kw >= 0


def test_until_it_takes_a_schedule_a_device_goes_on_as_before():
    one = machine("LOAD")
    told = orders(segment(0, 60, "5"), since=at(20))

    found = runs(one, told, [19, 21])
    assert [each.doing.is_running for each in found.values()] == [False, True]


def test_two_devices_of_a_kind_are_not_the_same_and_each_is_always_the_same():
    def course(name):
        return [each.power_kw for each in runs(machine(name=name), orders(), range(1, 30)).values()]

    assert course("one") == course("one") != course("two")
