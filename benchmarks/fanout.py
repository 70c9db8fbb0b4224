"""Measures B2 on the database that DATABASE_URL names; see `b2_fanout.py`.

Every meter has a device of its own. Measured from the stored notification to the commit of planning:
recording, deciding, schedules, segments, commands. Reference: the same schedule and segment rows put into
the same tables by COPY (PostgreSQL) or one prepared insert (SQLite), without deciding anything.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model

from benchmarks.harness import report, seconds
from benchmarks.with_django import empty_database
from devices.models import Command, Device, DeviceSchedule, MeterDevice, ScheduleSegment
from dispatch.models import DispatchNotification
from dispatch.planning import plan_waiting
from dispatch.recording import record_waiting
from meters.models import Meter

METERS = 10_000
NOTHING: Mapping[type[Model], int] = MappingProxyType({})
NOW = datetime(2026, 7, 20, 12, tzinfo=UTC)
DAY = datetime(2026, 7, 21, tzinfo=UTC)


def meter_id(number: int) -> str:
    """A UUID for a meter."""
    return str(UUID(int=(4 << 76) | (8 << 60) | number))


def body(size: int) -> bytes:
    """A group dispatch for every meter and every hour of a day, each hour with a power of its own."""
    slots = [
        {
            "market_group_event_id": str(UUID(int=(5 << 100) | hour)),
            "start_time": (DAY + timedelta(hours=hour)).isoformat(),
            "end_time": (DAY + timedelta(hours=hour + 1)).isoformat(),
            "cancelled": False,
            "performance_compensation_cap": "up-to-site-load",
            "priority": 2,
            "is_voluntary": False,
            "dispatch_event_types": ["day-ahead"],
            "programs": ["CCA"],
            "energy_kw": round(size * (3 + hour * 0.05), 3),
        }
        for hour in range(24)
    ]
    group = {"market_group_id": meter_id(0), "meter_ids": [meter_id(n) for n in range(1, size + 1)]}
    return json.dumps({"group_dispatches": [group | {"timeslots": slots}]}).encode()


def build(size: int) -> None:
    """Store the portfolio and the notification."""
    meters = Meter.objects.bulk_create(Meter(meter_id=meter_id(n)) for n in range(1, size + 1))
    devices = Device.objects.bulk_create(
        Device(external_id=f"device-{n:06}", kind="BATTERY", rated_power_kw=Decimal(4 + n % 7))
        for n in range(1, size + 1)
    )
    MeterDevice.objects.bulk_create(
        MeterDevice(meter=meter, device=device) for meter, device in zip(meters, devices, strict=True)
    )
    DispatchNotification.objects.create(received_at=NOW, body=body(size), sha256="0" * 64, level="GROUP")


def copy_rows(*models: type[Model], beyond: Mapping[type[Model], int] = NOTHING) -> float:
    """Take rows out of their tables, put the same back, and return the seconds that took.

    `beyond`: per model, the row after which those begin that are meant. Commands refer to schedules and go.
    """
    tables = []
    with connection.cursor() as cursor:
        for model in models:
            table = model._meta.db_table
            columns = [str(field.column) for field in model._meta.concrete_fields]
            chosen = f"SELECT {', '.join(columns)} FROM {table} WHERE id > %s"  # noqa: S608 - our models' names
            cursor.execute(chosen, [beyond.get(model, 0)])
            tables.append((table, columns, cursor.fetchall()))
    gone: list[type[Model]] = [Command, *reversed(models)]
    for model in gone:
        model._default_manager.filter(pk__gt=beyond.get(model, 0)).delete()
    return seconds(lambda: _copy_all(tables))[0]


def _copy_all(tables: list[tuple[str, list[str], list[tuple[object, ...]]]]) -> None:
    for table, columns, rows in tables:
        _copy(table, columns, rows)


def _copy(table: str, columns: list[str], rows: list[tuple[object, ...]]) -> None:
    names = ", ".join(columns)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["?"] * len(columns))
            connection.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def measure(size: int) -> None:
    """Run once on an empty database and print the line."""
    build(size)
    recording, _ = seconds(lambda: record_waiting(now=NOW))
    planning, planned = seconds(lambda: plan_waiting(now=NOW))
    assert planned == size == Command.objects.count(), "not every device got its command"
    report(
        "B2",
        portal=recording + planning,
        reference=copy_rows(DeviceSchedule, ScheduleSegment),
        unit="s",
        database=connection.vendor,
        size=size,
        recording=round(recording, 2),
        planning=round(planning, 2),
        segments=ScheduleSegment.objects.count(),
    )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for number_of_meters in [int(each) for each in sys.argv[1:]] or [METERS]:
        with empty_database():
            measure(number_of_meters)
