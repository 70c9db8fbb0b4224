"""The measuring of `b5_setpoints.py`, on one database.

Measured: `run_due_commands` by one worker, from rows that fall due to the last device told, with claims,
leases, attempts and answers recorded on the way; and for 100 devices with 11 among them that do not answer
until all others are told. Reference: a bare pool of as many threads that waits as long for each device.
"""

from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from benchmarks.harness import report, seconds
from benchmarks.patient import ANSWERS_AFTER, AT_ONCE, SLOW, PatientDriver
from benchmarks.with_django import empty_database
from devices.commanding import run_due_commands
from devices.models import Command, Device
from devices.scheduling import replace_schedules
from tests.builders import segment

DEVICES = 1000


def measure(size: int, *, slow: int = 0) -> None:
    """Measure both and print the line."""
    Device.objects.all().delete()
    fleet = Device.objects.bulk_create(
        Device(
            external_id=f"bench-{number:05}",
            name=SLOW if number < slow else "",
            driver="patient",
            rated_power_kw=Decimal(10),
        )
        for number in range(size)
    )
    now = timezone.now()
    wanted = (replace(segment(0, 60), start=now, end=now + timedelta(hours=1)),)
    with transaction.atomic():
        replace_schedules(desired={row.pk: wanted for row in fleet}, now=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as a database that is not of this minute
    PatientDriver.expect(fleet)
    began = time.perf_counter()
    recorded, _ = seconds(lambda: run_due_commands(now=now))
    late = sorted(each - began for each in PatientDriver.told_at)
    told = Command.objects.filter(kind="SETPOINT", state="ACKNOWLEDGED").count()
    assert told == len(late) == size - slow, "not every device was told"
    report(
        "B5 set-points" + (" some slow" if slow else ""),
        portal=late[-1],
        reference=seconds(lambda: bare(size - slow))[0],
        unit="s",
        database=connection.vendor,
        size=size,
        slow=slow,
        p50=round(late[len(late) // 2], 2),
        p99=round(late[int(len(late) * 0.99)], 2),
        recorded=round(recorded, 2),
    )


def bare(size: int) -> None:
    """Wait for as many devices with as many threads."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: time.sleep(ANSWERS_AFTER), range(size)))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    settings.DEVICE_DRIVERS = {"patient": "benchmarks.patient.PatientDriver"}
    with empty_database():
        for number_of_devices in [int(each) for each in sys.argv[1:]] or [DEVICES]:
            measure(number_of_devices)
        measure(100)
        measure(100, slow=11)
