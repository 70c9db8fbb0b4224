"""Reads of the devices app that more than one stage needs."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from devices.models import AttemptOutcome, Command, CommandAttempt, CommandKind, Withheld

LEASE = timedelta(seconds=15)
"""How long a worker may keep a command to itself; longer than any driver's single try."""


def due_commands(*, now: datetime) -> QuerySet[Command]:
    """Return the commands to try or to expire at `now` that nobody holds."""
    return Command.objects.filter(next_attempt_at__lte=now).filter(
        Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    )


def may_leave() -> Q:
    """Keep commands but for those that would start a device which is withheld."""
    withheld = Exists(Withheld.objects.filter(device=OuterRef("device")))
    return ~Q(kind=CommandKind.SCHEDULE, is_restoring=False) | ~Q(withheld)


def lost_attempts(*, now: datetime) -> QuerySet[CommandAttempt]:
    """Return the attempts whose lease lapsed before their end was written."""
    return CommandAttempt.objects.filter(outcome=AttemptOutcome.STARTED, started_at__lte=now - LEASE)


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the names of the tasks that have work waiting at `now`; two indexed questions."""
    if due_commands(now=now).exists() or lost_attempts(now=now).exists():
        return ("devices.tasks.run_due_commands",)
    return ()
