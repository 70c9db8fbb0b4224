"""Measures re-planning after a fleet-wide hold on the database that DATABASE_URL names; see `b3_hold.py`.

Measured from the stored hold to the commit of planning: every device gets a schedule without the day's
dispatches and a command that says so, and for each of the 24 events a row that says why it is not served.
Reference: the same rows put into the same tables by COPY (PostgreSQL) or one prepared insert (SQLite),
without deciding anything.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta

from django.db import connection
from django.db.models import Max, Model

from benchmarks.fanout import DAY, METERS, NOW, build, copy_rows
from benchmarks.harness import report, seconds
from benchmarks.with_django import empty_database
from devices.models import Command, DeviceSchedule, ScheduleSegment
from dispatch.models import DeviceUnserved, OverrideAction, OverrideScope, Unserved, UnservedSet
from dispatch.overrides import add_override
from dispatch.planning import plan_waiting
from dispatch.recording import record_waiting

WRITTEN: tuple[type[Model], ...] = (DeviceSchedule, ScheduleSegment, UnservedSet, Unserved, DeviceUnserved)
MINUTE = timedelta(minutes=1)


def hold() -> None:
    """Hold everything until the day is over."""
    add_override(
        scope=OverrideScope.FLEET,
        target="",
        action=OverrideAction.HOLD,
        starts_at=NOW,
        ends_at=DAY + timedelta(days=1),
        target_kw=None,
        reason="storm",
        created_by="bench",
        confirm_commitment=True,
        now=NOW + MINUTE,
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
    hold()
    planning, planned = seconds(lambda: plan_waiting(now=NOW + MINUTE))
    told = Command.objects.filter(pk__gt=before[Command]).count()
    assert planned == size == told, "not every device was told to stop"
    not_served = Unserved.objects.count()
    report(
        "B3 hold",
        portal=planning,
        reference=copy_rows(*WRITTEN, beyond=before),
        unit="s",
        database=connection.vendor,
        size=size,
        unserved=not_served,
    )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for number_of_devices in [int(each) for each in sys.argv[1:]] or [METERS]:
        with empty_database():
            measure(number_of_devices)
