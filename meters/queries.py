"""Reads of the meters app that more than one stage needs."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from itertools import takewhile
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet

from meters.models import PlatformEvent, PlatformEventStatus
from meters.sync_models import MeterSync, MeterToRead, SyncKind, SyncState

SYNC_METERS: Final = "meters.tasks.sync_meters"
FOLLOW_HINTS: Final = "meters.tasks.follow_hints"
SYNC_SECONDS: Final = 6 * 3600
"""How long a run may take. What keeps runs from hanging is their lease, which each page moves on."""
CHANGES_EVERY: Final = timedelta(hours=1)
AGAIN_AFTER: Final = timedelta(minutes=10)
"""When a run that failed or was lost is followed by the next."""
NAMED_AGAIN_AFTER: Final = timedelta(seconds=30)
"""The same of runs of named meters, twice as long with each in a row, up to `AGAIN_AFTER`."""
FAILURES_COUNTED: Final = 8
FULL_AT: Final = time(9)
"""UTC; the night of North America."""


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the tasks to wake: events to follow; a run that waits, has died or is due.

    Two to seven indexed questions.
    """
    follow = PlatformEvent.objects.filter(status=PlatformEventStatus.RECEIVED).exists()
    tasks = [*([FOLLOW_HINTS] if follow else []), *([SYNC_METERS] if _is_sync_waiting(now=now) else [])]
    return tuple(tasks)


def _is_sync_waiting(*, now: datetime) -> bool:
    if not settings.LEAP_API_KEY:
        return False
    running = MeterSync.objects.filter(turn=1).first()
    if running is None:
        return due_kind(now=now) is not None
    return running.state == SyncState.WAITING or is_lost(running, now=now)


def is_lost(sync: MeterSync, *, now: datetime) -> bool:
    """Say whether whoever ran it is gone."""
    return sync.state == SyncState.RUNNING and sync.claimed_until is not None and sync.claimed_until <= now


def lost_syncs(*, now: datetime) -> QuerySet[MeterSync]:
    """Return the runs whose lease lapsed: the same rule as `is_lost`, in SQL."""
    return MeterSync.objects.filter(Q(turn=1), state=SyncState.RUNNING, claimed_until__lte=now)


def long_syncs() -> QuerySet[MeterSync]:
    """Return the runs that read everything or all that changed; those of named meters stand for nothing."""
    return MeterSync.objects.exclude(kind=SyncKind.NAMED)


def due_kind(*, now: datetime) -> SyncKind | None:
    """Return what is due while nothing runs: everything at night, else hourly what changed, else by name."""
    kind = _due_long_kind(now=now)
    if kind is None and last_start(kind=SyncKind.FULL) and _is_named_due(now=now):
        return SyncKind.NAMED
    return kind


def _due_long_kind(*, now: datetime) -> SyncKind | None:
    latest = long_syncs().order_by("-pk").first()
    if latest is None:
        return SyncKind.FULL
    since = latest.finished_at or latest.requested_at
    if latest.state != SyncState.DONE and since + AGAIN_AFTER > now:
        return None
    full = last_start(kind=SyncKind.FULL)
    if full is None or full < _latest_night(now=now):
        return SyncKind.FULL
    last = last_start()
    return SyncKind.CHANGES if last is None or last + CHANGES_EVERY <= now else None


def named_due(*, now: datetime) -> QuerySet[MeterToRead]:
    """Return the meters whose time has come to be read again, those asked for first in front."""
    return MeterToRead.objects.filter(attempt_at__lte=now).order_by("attempt_at", "pk")


def _is_named_due(*, now: datetime) -> bool:
    if not named_due(now=now).exists():
        return False
    runs = MeterSync.objects.filter(kind=SyncKind.NAMED).order_by("-pk")
    ended = list(runs.values_list("state", "finished_at")[:FAILURES_COUNTED])
    if not ended or ended[0][0] == SyncState.DONE or ended[0][1] is None:
        return True
    in_a_row = len(list(takewhile(lambda run: run[0] != SyncState.DONE, ended)))
    pause: timedelta = min(NAMED_AGAIN_AFTER * 2 ** (in_a_row - 1), AGAIN_AFTER)
    return bool(ended[0][1] + pause <= now)


def last_start(*, kind: SyncKind | None = None) -> datetime | None:
    """Return when the last run that went well, of a kind or of any but named meters', began."""
    done = long_syncs().filter(state=SyncState.DONE)
    found = (done.filter(kind=kind) if kind else done).order_by("-pk")
    return found.values_list("started_at", flat=True).first()


def _latest_night(*, now: datetime) -> datetime:
    tonight = datetime.combine(now.date(), FULL_AT, tzinfo=now.tzinfo)
    return tonight if tonight <= now else tonight - timedelta(days=1)
