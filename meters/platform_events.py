"""Storing what Leap's platform says of meters, once: the only writer of platform events.

Nothing acts on them here: `meters.hinting` follows them, once they are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F

from meters import queue
from meters.models import PlatformEvent, PlatformEventStatus


def keep(
    *,
    body: bytes,
    received_at: datetime,
    headers: Mapping[str, str],
    webhook_event_id: str = "",
    event_type: str = "",
    status: PlatformEventStatus = PlatformEventStatus.RECEIVED,
    reason: str = "",
) -> tuple[int, bool]:
    """Store an event durably, or count its repeat; return its row's id and whether it is new.

    An event is known by its id, whatever its bytes; one without an id by its bytes.
    Raises `django.db.OperationalError` when the database does not take it in time.
    """
    event = PlatformEvent(
        received_at=received_at,
        webhook_event_id=webhook_event_id,
        event_type=event_type,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        headers=dict(headers),
        status=status,
        reason=reason,
    )
    try:
        with transaction.atomic():
            event.save(force_insert=True)
            # While others wait, a wake-up for them is under way; the dispatcher finds what falls between.
            if status == PlatformEventStatus.RECEIVED and not _is_another_waiting(event.pk):
                queue.wake_following()
    except IntegrityError:  # it is there already, perhaps since a moment ago
        return _count_repeat(event), False
    return event.pk, True


def _is_another_waiting(pk: int) -> bool:
    return PlatformEvent.objects.filter(status=PlatformEventStatus.RECEIVED).exclude(pk=pk).exists()


def _count_repeat(event: PlatformEvent) -> int:
    stored = PlatformEvent.objects.filter(webhook_event_id=event.webhook_event_id)
    if not event.webhook_event_id:
        stored = stored.filter(sha256=event.sha256)
    stored.update(repeat_count=F("repeat_count") + 1)
    return stored.values_list("pk", flat=True).get()
