"""Whose turn it is to sync meters: the only writer of a run's state. Never asks Leap anything.

There is one run at a time, by a unique `turn`. Every page moves the lease of whoever runs it on, in the
page's own transaction, so that a run which was given up writes nothing more. A run of named meters, over in
seconds, keeps no other from its turn: it grows into what is asked for meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from meters.queries import due_kind, last_start, long_syncs, lost_syncs
from meters.sync_models import MeterAtLeap, MeterSync, SyncKind, SyncState

LEASE: Final = timedelta(minutes=5)
"""Longer than one page may take, with all of its retries."""
OVERLAP: Final = timedelta(minutes=10)
"""How much of the time before the last run is asked about again: clocks differ."""
NAMED_KEPT_FOR: Final = timedelta(days=7)
"""How long a run of named meters is kept that changed nothing."""
LOST: Final = "The run ended without a word, as when the portal is stopped. The next one begins anew."


class TurnLost(Exception):
    """The run was closed meanwhile; nothing more of it may be written."""


def request_sync(*, kind: SyncKind, by: str, now: datetime) -> tuple[MeterSync, bool]:
    """Have a run wait for a worker; return it or the one that is open already, and whether it is new."""
    lost_syncs(now=now).update(state=SyncState.LOST, turn=None, finished_at=now, detail=LOST)
    try:
        with transaction.atomic():
            return MeterSync.objects.create(kind=kind, requested_by=by, requested_at=now), True
    except IntegrityError:
        running = MeterSync.objects.filter(turn=1).first()
        if running is None:  # over since a moment ago
            return request_sync(kind=kind, by=by, now=now)
        if running.kind == SyncKind.NAMED and kind != SyncKind.NAMED:
            return _let_grow(running, kind=kind, by=by, now=now)
        return running, False


def _let_grow(named: MeterSync, *, kind: SyncKind, by: str, now: datetime) -> tuple[MeterSync, bool]:
    """Have a run of named meters go on as a longer one; if it is over by now, ask anew."""
    kind, since, expected = _scope(kind)
    is_grown = MeterSync.objects.filter(pk=named.pk, turn=1, kind=SyncKind.NAMED).update(
        kind=kind, since=since, expected=expected, requested_by=by, requested_at=now
    )
    if not is_grown:
        return request_sync(kind=kind, by=by, now=now)
    return MeterSync.objects.get(pk=named.pk), True


def request_at_start(*, now: datetime) -> None:
    """Have what Leap changed meanwhile read as the portal starts, unless it was read just before."""
    if settings.LEAP_API_KEY and not long_syncs().filter(requested_at__gt=now - OVERLAP).exists():
        request_sync(kind=SyncKind.CHANGES, by="", now=now)


def claim(*, now: datetime) -> MeterSync | None:
    """Take the run that waits or is due; `None` when there is none, or another worker has it."""
    lost_syncs(now=now).update(state=SyncState.LOST, turn=None, finished_at=now, detail=LOST)
    sync = MeterSync.objects.filter(turn=1).first()
    if sync is None:
        kind = due_kind(now=now)
        if kind is None:
            return None
        sync, _ = request_sync(kind=kind, by="", now=now)
    return start(sync, now=now)


def start(sync: MeterSync, *, now: datetime) -> MeterSync | None:
    """Begin a run that waits; `None` when another has begun it. Before the first full run, all are full."""
    kind, since, expected = _scope(SyncKind(sync.kind))
    begun = MeterSync.objects.filter(pk=sync.pk, state=SyncState.WAITING).update(
        state=SyncState.RUNNING,
        kind=kind,
        since=since,
        expected=expected,
        started_at=now,
        claimed_until=now + LEASE,
    )
    return MeterSync.objects.get(pk=sync.pk) if begun else None


def _scope(kind: SyncKind) -> tuple[SyncKind, datetime | None, int]:
    """Return what a run of a kind is to read: of what kind it really is, since when, and how many meters."""
    last = last_start()
    kind = kind if last and last_start(kind=SyncKind.FULL) else SyncKind.FULL
    if kind == SyncKind.FULL:
        return kind, None, MeterAtLeap.objects.filter(gone_at__isnull=True).count()
    return kind, last - OVERLAP if last and kind == SyncKind.CHANGES else None, 0


def go_on(sync: MeterSync, *, now: datetime, **counts: int) -> None:
    """Move the lease on and add to the counts, as the first statement of what a run writes.

    Raises TurnLost: the run was closed; roll back.
    """
    added: dict[str, Any] = {name: F(name) + count for name, count in counts.items()}
    running = MeterSync.objects.filter(pk=sync.pk, state=SyncState.RUNNING)
    if not running.update(claimed_until=now + LEASE, **added):
        raise TurnLost


def finish(sync: MeterSync, *, state: SyncState, detail: str, now: datetime) -> bool:
    """Close a run; return whether it is over by that. One that grew meanwhile is not done yet."""
    running = MeterSync.objects.filter(pk=sync.pk, state=SyncState.RUNNING)
    if state == SyncState.DONE:
        running = running.filter(kind=sync.kind)
    return bool(running.update(state=state, turn=None, finished_at=now, detail=detail))


def forget_old(*, now: datetime) -> None:
    """Delete the runs of named meters that are old and changed nothing."""
    MeterSync.objects.filter(
        kind=SyncKind.NAMED,
        turn__isnull=True,
        finished_at__lt=now - NAMED_KEPT_FOR,
        **dict.fromkeys(("appeared", "changed", "archived", "vanished"), 0),
    ).delete()
