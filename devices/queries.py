"""Reads of the devices app that more than one stage needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest, Least

from devices.drivers import capabilities_of
from devices.models import (
    AttemptOutcome,
    Command,
    CommandAttempt,
    CommandKind,
    ScheduleSegment,
    ScheduleState,
    SegmentMode,
    Withheld,
)

LEASE = timedelta(seconds=15)
"""How long a worker may keep a command to itself at least; longer than a try of most drivers."""

FIRST_TRY_TO_STOP = Q(is_restoring=True, attempt_count=0)


def due_commands(*, now: datetime) -> QuerySet[Command]:
    """Return the commands to try or to expire at `now` that nobody holds."""
    return Command.objects.filter(next_attempt_at__lte=now).filter(
        Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    )


def may_leave(*, now: datetime) -> Q:
    """Keep commands but for those that would start a device which is withheld.

    What was to stop a device when it was made may be about to start it by now.
    """
    withheld = Exists(Withheld.objects.filter(device=OuterRef("device")))
    started = moving_segments(now=now).filter(schedule=OuterRef("schedule"), begins__lte=now)
    is_stop = Q(is_restoring=True) & ~Q(Exists(started))
    return Q(kind=CommandKind.CLEAR) | is_stop | ~Q(withheld)


def moving_segments(*, now: datetime) -> QuerySet[Any]:
    """Return segments of any version that move a device and are not over; `begins` with its preparation."""
    segments = ScheduleSegment.objects.filter(ends_at__gt=now).exclude(mode=SegmentMode.IDLE)
    return segments.annotate(begins=Coalesce("precondition_from", "starts_at"))


def segments_in_effect(*, start: datetime, end: datetime) -> QuerySet[Any]:
    """Return the segments that moved or move devices in `[start, end)`, each as far as its version counted.

    That is from `began` to `stopped`.
    """
    segments = ScheduleSegment.objects.filter(ends_at__gt=start, starts_at__lt=end)
    in_effect = segments.exclude(mode=SegmentMode.IDLE).annotate(
        began=Greatest("starts_at", "schedule__created_at"),
        stopped=Least("ends_at", Coalesce("schedule__superseded_at", "ends_at")),
    )
    return in_effect.filter(began__lt=F("stopped"), stopped__gt=start)


def may_be_tried(*, now: datetime) -> Q:
    """Keep commands of devices that nobody speaks to and that do not rest; stops are tried once at once."""
    is_free = Q(device__busy_until__isnull=True) | Q(device__busy_until__lte=now)
    is_rested = Q(device__rests_until__isnull=True) | Q(device__rests_until__lte=now)
    return is_free & (is_rested | FIRST_TRY_TO_STOP)


def lost_attempts(*, now: datetime) -> QuerySet[CommandAttempt]:
    """Return the attempts whose lease lapsed before their end was written."""
    is_over = Q(command__claimed_until__isnull=True) | Q(command__claimed_until__lte=now)
    started = CommandAttempt.objects.filter(outcome=AttemptOutcome.STARTED, started_at__lte=now - LEASE)
    return started.filter(is_over)


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the name of the commands' task if it has work at `now`; two indexed questions.

    The other tasks of devices are those of `devices.watching`.
    """
    is_work = Q(expires_at__lte=now) | may_be_tried(now=now)
    if due_commands(now=now).filter(is_work).exists() or lost_attempts(now=now).exists():
        return ("devices.tasks.run_due_commands",)
    return ()


def falling_due(*, after: datetime, until: datetime) -> list[datetime]:
    """Return the moments within `(after, until]` at which commands fall due, the first hundred in order."""
    coming = Command.objects.filter(next_attempt_at__gt=after, next_attempt_at__lte=until)
    moments = coming.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).distinct()
    return [moment for moment in moments[:100] if moment is not None]


def is_ahead() -> Q:
    """Match the schedules of which nothing was sent yet as their set-points wait for their time."""
    drivers = [name for name in settings.DEVICE_DRIVERS if not capabilities_of(name).holds_schedule]
    return Q(state=ScheduleState.PENDING, device__driver__in=drivers)
