"""Measures re-planning after a fleet-wide hold on the database that DATABASE_URL names; see `b3_hold.py`.

The hold is pressed half an hour into the day, while every device runs. `held`: until it is stored, from when
on nothing starts a device. `first_claimable` and `all_claimable`: from pressing until the commands that stop
the devices may leave, which is the same, as they are committed at once; by then every device has a schedule
without the day's dispatches, and for each event left it is written why it is not served. That is `portal`.
Reference: the same rows put into the same tables by COPY (PostgreSQL) or one prepared insert (SQLite),
without deciding anything. `told`: (event, device) pairs that say why. `cpu`: the portal's own, without the
database server's, for machines that are busy with other things.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from time import process_time

from django.db import connection
from django.db.models import Count, Max, Model

from benchmarks.fanout import DAY, METERS, NOW, build, copy_rows
from benchmarks.harness import report, seconds
from benchmarks.with_django import empty_database
from devices.models import Command, DeviceSchedule, ScheduleSegment
from devices.queries import due_commands
from dispatch.models import DeviceUnserved, OverrideAction, OverrideScope, Unserved, UnservedSet
from dispatch.overrides import add_override
from dispatch.planning import plan_waiting
from dispatch.recording import record_waiting

WRITTEN: tuple[type[Model], ...] = (DeviceSchedule, ScheduleSegment, UnservedSet, Unserved, DeviceUnserved)
PRESSED = DAY + timedelta(minutes=30)


def hold() -> None:
    """Hold everything until the day is over."""
    add_override(
        scope=OverrideScope.FLEET,
        target="",
        action=OverrideAction.HOLD,
        starts_at=PRESSED,
        ends_at=DAY + timedelta(days=1),
        target_kw=None,
        reason="storm",
        created_by="bench",
        confirm_commitment=True,
        now=PRESSED,
    )


def latest(model: type[Model]) -> int:
    """The row after which the next ones come."""
    return int(model._default_manager.aggregate(pk=Max("pk"))["pk"] or 0)


def measure(size: int) -> None:
    """Run once on an empty database and print the line."""
    build(size)
    record_waiting(now=NOW)
    plan_waiting(now=NOW)
    tables: list[type[Model]] = [*WRITTEN, Command]
    before = {model: latest(model) for model in tables}
    cpu = process_time()
    held, _ = seconds(hold)
    planning, planned = seconds(lambda: plan_waiting(now=PRESSED))
    cpu = process_time() - cpu
    stopping = due_commands(now=PRESSED).filter(pk__gt=before[Command], is_restoring=True)
    assert planned == size == stopping.count(), "not every device was told to stop"
    told = Unserved.objects.aggregate(pairs=Count("unserved_set__devices"))["pairs"]
    report(
        "B3 hold",
        portal=held + planning,
        reference=copy_rows(*WRITTEN, beyond=before),
        unit="s",
        database=connection.vendor,
        size=size,
        held=round(held, 2),
        first_claimable=round(held + planning, 2),
        all_claimable=round(held + planning, 2),
        told=told,
        cpu=round(cpu, 2),
    )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for number_of_devices in [int(each) for each in sys.argv[1:]] or [METERS]:
        with empty_database():
            measure(number_of_devices)
