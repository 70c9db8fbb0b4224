"""What devices measured, as rows: readings, energy, the newest of each device, and what is pruned."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import pruning, watching
from devices.domain.intervals import QUARTER, Energy, Sample, minutes_of
from devices.models import Device
from devices.telemetry import DeviceReading, Recorded, record_readings
from devices.telemetry_models import PowerInterval, Reading
from tests.builders import NOW, at, device

pytestmark = pytest.mark.django_db


def reading(row: Device, seconds: int, kw="1", kwh=None, percent=None, **more) -> DeviceReading:
    """A reading some seconds before NOW."""
    return DeviceReading(
        device_id=row.pk,
        at=NOW - timedelta(seconds=seconds),
        power_kw=Decimal(kw),
        energy_kwh=None if kwh is None else Decimal(kwh),
        state_of_charge_percent=None if percent is None else Decimal(percent),
        **more,
    )


def kept(row: Device, minutes: int) -> dict[int, Energy]:
    """The rows of a device, by their number since 1970."""
    return {
        int(one.starts_at.timestamp()) // (60 * minutes): Energy(
            one.watt_milliseconds, one.covered_milliseconds
        )
        for one in PowerInterval.objects.filter(device=row, minutes=minutes)
        if one.covered_milliseconds or one.watt_milliseconds
    }


def test_rows_are_what_all_readings_give_in_whatever_order_they_come():
    """A day of two devices with counters, gaps, jumps and doubles, in batches without order."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    rows = [device(external_id=name) for name in ("one", "two")]
    listed = []
    for row in rows:
        for _ in range(150):
            energy = None if chance.random() < 0.4 else round(Decimal(chance.uniform(-2, 2)), 3)
            power = round(Decimal(chance.uniform(-9, 9)), 3)
            listed.append(reading(row, chance.randrange(1, 30_000), kw=power, kwh=energy))
    once = {(one.device_id, one.at): one for one in listed}
    listed = [*once.values(), *chance.sample(list(once.values()), 40)]
    chance.shuffle(listed)
    stored = 0
    while listed:
        batch, listed = listed[:37], listed[37:]
        told = record_readings(batch, now=NOW)
        assert told.stored + told.duplicates == len(batch) and not told.refused
        stored += told.stored
    assert stored == Reading.objects.count() == len(once)
    for row in rows:
        whole = minutes_of(
            Sample(
                int(one.at.timestamp() * 1000),
                int(one.power_kw * 1000),
                None if one.energy_kwh is None else int(one.energy_kwh * 1000),
            )
            for one in once.values()
            if one.device_id == row.pk
        )
        assert kept(row, 1) == whole
        quarters = kept(row, 15)
        assert set(quarters) == {minute // QUARTER for minute in whole}
        for number, energy in quarters.items():
            of_it = [one for minute, one in whole.items() if minute // QUARTER == number]
            assert energy == Energy(
                sum(one.watt_milliseconds for one in of_it), sum(one.covered_milliseconds for one in of_it)
            )
        newest = max((one for one in once.values() if one.device_id == row.pk), key=lambda one: one.at)
        row.refresh_from_db()
        assert (row.power_kw, row.power_at) == (newest.power_kw, newest.at)


HOSTILE = {
    "not a number": ({"power_kw": Decimal("NaN")}, "The power is not a number that a device can have."),
    "without end": ({"power_kw": Decimal("-Infinity")}, "The power is not a number that a device can have."),
    "enormous": ({"power_kw": Decimal("1e300")}, "The power is not a number that a device can have."),
    "an enormous counter": (
        {"energy_kwh": Decimal("1e300")},
        "The energy is not a number that a counter can show.",
    ),
    "of next year": ({"at": at(60 * 24 * 365)}, "It lies in the future."),
    "of last year": (
        {"at": at(-60 * 24 * 365)},
        "It is older than the 2 days for which readings are kept.",
    ),
    "overfull": (
        {"state_of_charge_percent": Decimal(101)},
        "The state of charge is not between 0 and 100 %.",
    ),
    "of an unknown mode": (
        {"mode": "boost"},
        "The mode is none of normal, curtail, discharge, export, idle.",
    ),
    "of nobody": ({"device_id": 0}, "No such device."),
}


@pytest.mark.parametrize(("fields", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_reading_that_cannot_be_is_refused_and_the_others_are_kept(fields, reason):
    row = device()
    good = reading(row, 60, percent=50)
    told = record_readings([replace(good, **fields), good], now=NOW)
    assert (told.stored, [(one.index, one.reason) for one in told.refused]) == (1, [(0, reason)])
    row.refresh_from_db()
    assert (row.power_kw, row.power_at, row.state_of_charge_percent) == (1, good.at, 50)


def test_power_far_beyond_the_rating_is_kept():
    """Rated is what can be moved; a whole site may be behind the device."""
    row = device(rated_power_kw=5)
    assert record_readings([reading(row, 60, kw="5000"), reading(row, 0, kw="1")], now=NOW).stored == 2
    assert sum(one.watt_milliseconds for one in kept(row, 15).values()) == 5_000_000 * 60_000


def test_old_readings_say_nothing_of_now():
    row = device(is_online=False, state_of_charge_percent=30, state_of_charge_at=NOW)
    record_readings([reading(row, 3600, percent=80)], now=NOW)
    row.refresh_from_db()
    assert (row.is_online, row.last_seen_at, row.state_of_charge_percent) == (False, None, 30)
    assert row.weigh_requested_at is None
    record_readings([reading(row, -1, percent=20)], now=NOW)
    row.refresh_from_db()
    assert (row.is_online, row.last_seen_at, row.state_of_charge_percent) == (True, NOW, 20)
    assert row.weigh_requested_at == NOW
    record_readings([reading(row, -2, is_online=False)], now=NOW)
    row.refresh_from_db()
    assert not row.is_online


def test_an_interval_knows_the_latest_state_of_charge_within_it():
    row = device()
    for seconds, percent in ((1, 40), (30, 60), (50, None), (70, 80)):
        record_readings([reading(row, seconds, percent=percent)], now=NOW)
    found = PowerInterval.objects.filter(device=row).order_by("minutes", "starts_at")
    assert [(one.minutes, one.state_of_charge_percent) for one in found] == [(1, 80), (1, 40), (15, 40)]


def test_a_batch_costs_the_same_statements_whatever_its_size():
    rows = [device(external_id=f"device {number}") for number in range(30)]
    counts = []
    for some in (rows[:2], rows[2:]):
        record_readings([reading(row, 600) for row in some], now=NOW)
        with CaptureQueriesContext(connection) as queries:
            told = record_readings([reading(row, ago, percent=9) for row in some for ago in (9, 70)], now=NOW)
        assert told == Recorded(2 * len(some), 0)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_what_is_too_old_goes_oldest_first_in_portions_and_what_still_counts_stays(monkeypatch, settings):
    settings.MINUTES_KEPT_DAYS = 1  # less than readings: they stay as long as these
    row = device()
    rows = [Reading(device=row, at=NOW - timedelta(days=2, hours=hours), power_kw=1) for hours in range(8)]
    Reading.objects.bulk_create(rows)
    for minutes, days in ((1, 2), (15, 400)):
        PowerInterval.objects.bulk_create(
            PowerInterval(
                device=row,
                minutes=minutes,
                starts_at=NOW - timedelta(days=days, hours=hours),
                watt_milliseconds=1,
                covered_milliseconds=1,
            )
            for hours in range(8)
        )
    monkeypatch.setattr(pruning, "PORTION", 2)
    assert "devices.tasks.prune" in watching.waiting(now=NOW)
    assert pruning.prune(now=NOW) == 3 * 5
    assert pruning.prune(now=NOW) == 0
    assert "devices.tasks.prune" not in watching.waiting(now=NOW)
    assert set(Reading.objects.values_list("pk", flat=True)) == {one.pk for one in rows[:3]}
    assert PowerInterval.objects.count() == 2 * 3
    assert watching.waiting(now=NOW + timedelta(minutes=59)) == watching.waiting(now=NOW)
    assert "devices.tasks.prune" in watching.waiting(now=NOW + timedelta(minutes=61))


def test_a_late_reading_still_finds_its_neighbours_after_pruning():
    row = device()
    edge = NOW - timedelta(days=2)
    early, late = (
        DeviceReading(device_id=row.pk, at=edge + timedelta(minutes=minutes), power_kw=Decimal(kw))
        for minutes, kw in ((-58, 2), (3, 1))
    )
    record_readings([replace(early, energy_kwh=Decimal(1))], now=NOW - timedelta(days=1))
    record_readings([replace(late, energy_kwh=Decimal(2))], now=NOW - timedelta(days=1))
    assert sum(one.covered_milliseconds for one in kept(row, 15).values()) == 61 * 60_000 - 56 * 60_000
    pruning.prune(now=NOW)
    middle = replace(late, at=edge, energy_kwh=Decimal("1.9"))
    assert record_readings([middle], now=NOW).stored == 1
    assert sum(one.covered_milliseconds for one in kept(row, 15).values()) == 61 * 60_000
    assert sum(one.watt_milliseconds for one in kept(row, 15).values()) == 1000 * 3_600_000
