"""Measures a minute of readings on the database that DATABASE_URL names; see `b9_telemetry.py`.

Each device has a counter and a state of charge and says one reading a minute, at a second of its own, for
twenty minutes; measured is the last, taken in batches of 500 as the MQTT listener has them. `at_once`: the
minute before, in one batch, as the API may bring it. Reference: the new rows of the last minute, readings and
intervals, put bare into the same tables by COPY (PostgreSQL) or one prepared insert (SQLite).
"""

from __future__ import annotations

import logging
import random
import sys
from datetime import timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Max, Model

from benchmarks.fanout import copy_rows
from benchmarks.harness import report, seconds
from benchmarks.with_django import empty_database
from devices.models import Device
from devices.telemetry import DeviceReading, record_readings
from devices.telemetry_models import PowerInterval, Reading
from tests.builders import NOW

DEVICES = 10_000
MINUTES = 20
BATCH = 500
TABLES: tuple[type[Model], ...] = (Reading, PowerInterval)


def build(size: int) -> list[int]:
    """Make the devices."""
    Device.objects.bulk_create(
        Device(external_id=f"bench-{number:05}", rated_power_kw=5, energy_capacity_kwh=13)
        for number in range(size)
    )
    return list(Device.objects.order_by("pk").values_list("pk", flat=True))


def said(ids: list[int], *, minute: int) -> list[DeviceReading]:
    """One reading of each device, as they would come: in no order."""
    chance = random.Random(minute)  # noqa: S311 - the same each time
    readings = [
        DeviceReading(
            device_id=pk,
            at=NOW + timedelta(minutes=minute, milliseconds=pk * 7919 % 60_000),
            power_kw=round(Decimal(chance.uniform(-5, 5)), 3),
            energy_kwh=round(Decimal(pk) + Decimal(minute) / 20, 3),
            state_of_charge_percent=Decimal(50 + minute),
            mode="normal",
        )
        for pk in ids
    ]
    chance.shuffle(readings)
    return readings


def take(readings: list[DeviceReading], *, size: int) -> None:
    """Record in batches."""
    now = NOW + timedelta(minutes=MINUTES + 1)
    for first in range(0, len(readings), size):
        told = record_readings(readings[first : first + size], now=now)
        assert not told.refused and not told.duplicates


def measure(size: int) -> None:
    """Run once on an empty database and print the line."""
    ids = build(size)
    for minute in range(MINUTES - 2):
        take(said(ids, minute=minute), size=size)
    at_once, _ = seconds(lambda: take(said(ids, minute=MINUTES - 2), size=size))
    before = {model: int(model._default_manager.aggregate(pk=Max("pk"))["pk"] or 0) for model in TABLES}
    readings = said(ids, minute=MINUTES - 1)
    taken, _ = seconds(lambda: take(readings, size=BATCH))
    report(
        "B9 telemetry",
        portal=taken,
        reference=copy_rows(*TABLES, beyond=before),
        unit="s",
        database=connection.vendor,
        size=size,
        per_second=round(size / taken),
        at_once=round(at_once, 2),
    )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for number_of_devices in [int(each) for each in sys.argv[1:]] or [DEVICES]:
        with empty_database():
            measure(number_of_devices)
