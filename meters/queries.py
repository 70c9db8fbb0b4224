"""Reads of the meters app that more than one stage needs."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Max, Q, QuerySet

from meters.sync_models import MeterSync, SyncKind, SyncState

SYNC_METERS: Final = "meters.tasks.sync_meters"
SYNC_SECONDS: Final = 600
"""How long a run may take; one that is cut off is closed as lost, and the next begins anew."""
CHANGES_EVERY: Final = timedelta(hours=1)
AGAIN_AFTER: Final = timedelta(minutes=10)
"""When a run that failed or was lost is followed by the next."""
FULL_AT: Final = time(9)
"""UTC; the night of North America."""


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task to wake when a run waits, has died or is due; one to four indexed questions."""
    if not settings.LEAP_API_KEY:
        return ()
    running = MeterSync.objects.filter(turn=1).first()
    if running is None:
        return (SYNC_METERS,) if due_kind(now=now) else ()
    is_free = running.state == SyncState.WAITING or is_lost(running, now=now)
    return (SYNC_METERS,) if is_free else ()


def is_lost(sync: MeterSync, *, now: datetime) -> bool:
    """Say whether whoever ran it is gone."""
    return sync.state == SyncState.RUNNING and sync.claimed_until is not None and sync.claimed_until <= now


def lost_syncs(*, now: datetime) -> QuerySet[MeterSync]:
    """Return the runs whose lease lapsed: the same rule as `is_lost`, in SQL."""
    return MeterSync.objects.filter(Q(turn=1), state=SyncState.RUNNING, claimed_until__lte=now)


def due_kind(*, now: datetime) -> SyncKind | None:
    """Return what is due while nothing runs: everything at night, else hourly what changed."""
    latest = MeterSync.objects.order_by("-pk").first()
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


def last_start(*, kind: SyncKind | None = None) -> datetime | None:
    """Return when the last run that went well, of a kind or of any, began."""
    done = MeterSync.objects.filter(state=SyncState.DONE)
    found: datetime | None = (done.filter(kind=kind) if kind else done).aggregate(at=Max("started_at"))["at"]
    return found


def _latest_night(*, now: datetime) -> datetime:
    tonight = datetime.combine(now.date(), FULL_AT, tzinfo=now.tzinfo)
    return tonight if tonight <= now else tonight - timedelta(days=1)
