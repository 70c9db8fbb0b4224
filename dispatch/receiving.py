"""Storing what was received, once: the only writer of new notifications.

Reads and writes DispatchNotification; what a body means is `dispatch.recording`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import IntegrityError, connection, transaction
from django.db.models import F

from dispatch import queue
from dispatch.models import (
    DispatchNotification,
    NotificationItem,
    NotificationStatus,
    RejectedDelivery,
    Source,
)

# A refusal is answered whether or not it could be counted.
_PATIENCE_TO_COUNT_MS = 500
_ANOTHER_WAITING = "SELECT 1 FROM dispatch_dispatchnotification WHERE status = %s AND id <> %s LIMIT 1"


class Answer(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The row that holds the body, and what to answer."""

    notification_id: int
    answer: Answer


def receive(
    *,
    body: bytes,
    source: Source,
    received_at: datetime,
    level: str = "",
    headers: Mapping[str, str] | None = None,
    status: NotificationStatus = NotificationStatus.RECEIVED,
    reason: str = "",
    items: Sequence[NotificationItem] = (),
) -> Receipt:
    """Store a body durably, or count its repeat, and wake recording when it has something to do.

    `items`: what is known of its timeslots already, when nothing in it can be used.

    The same bytes from the same source are one row for ever. Raises `django.db.OperationalError` when the
    database does not take it in time.
    """
    digest = hashlib.sha256(body).hexdigest()
    notification = DispatchNotification(
        received_at=received_at,
        source=source,
        level=level,
        body=body,
        sha256=digest,
        headers=dict(headers or {}),
        status=status,
        reason=reason,
    )
    try:
        with transaction.atomic():
            return _store(notification, items)
    except IntegrityError:  # the same bytes are there already, perhaps since a moment ago
        with transaction.atomic():
            return _count_repeat(source, digest, at=received_at)


def count_refusal(cause: str, *, at: datetime) -> None:
    """Count a delivery of which nothing is stored, if that takes no time.

    Raises `django.db.OperationalError` when it does; the count is lost then.
    """
    with impatient_transaction():
        counted = RejectedDelivery.objects.filter(day=at.date(), cause=cause).update(
            count=F("count") + 1, latest_at=at
        )
        if not counted:
            # Two first ones at the same time: one of them may be lost to the count, never to the answer.
            RejectedDelivery.objects.bulk_create(
                [RejectedDelivery(day=at.date(), cause=cause, count=1, latest_at=at)], ignore_conflicts=True
            )


def _store(notification: DispatchNotification, items: Sequence[NotificationItem]) -> Receipt:
    notification.save(force_insert=True)
    for item in items:
        item.notification = notification
    if items:
        NotificationItem.objects.bulk_create(items)
    # While others wait, a wake-up for them is under way, and recording goes on until nothing waits; the
    # dispatcher finds what falls between.
    if notification.status == NotificationStatus.RECEIVED and not _is_another_waiting(notification.pk):
        queue.wake_recording()
    return Receipt(notification.pk, _FIRST_ANSWERS[NotificationStatus(notification.status)])


_FIRST_ANSWERS = {
    NotificationStatus.RECEIVED: Answer.ACCEPTED,
    NotificationStatus.QUARANTINED: Answer.QUARANTINED,
    NotificationStatus.REJECTED: Answer.REJECTED,
}


def _is_another_waiting(pk: int) -> bool:
    # By hand: compiling this query anew for every delivery would cost a fifth of the whole answer.
    with connection.cursor() as cursor:
        cursor.execute(_ANOTHER_WAITING, [NotificationStatus.RECEIVED.value, pk])
        return cursor.fetchone() is not None


def _count_repeat(source: Source, digest: str, *, at: datetime) -> Receipt:
    """Count a repeat of a stored body. What was recorded once is looked at again: it may be news by now."""
    stored = DispatchNotification.objects.values("id", "status", "repeated_at").get(
        source=source, sha256=digest
    )
    row = DispatchNotification.objects.filter(id=stored["id"])
    if stored["status"] == NotificationStatus.REJECTED:
        row.update(repeat_count=F("repeat_count") + 1)
        return Receipt(stored["id"], Answer.REJECTED)
    if stored["status"] == NotificationStatus.QUARANTINED:
        row.update(repeat_count=F("repeat_count") + 1)
    else:
        row.update(repeat_count=F("repeat_count") + 1, repeated_at=at)
        if stored["repeated_at"] is None:
            queue.wake_recording()
    return Receipt(stored["id"], Answer.DUPLICATE)


@contextmanager
def impatient_transaction() -> Iterator[None]:
    """Begin a transaction that waits for others no longer than a count beside a delivery is worth."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            _execute(f"SET LOCAL lock_timeout = {_PATIENCE_TO_COUNT_MS}")
            yield
        return
    usual_ms = int(connection.settings_dict["OPTIONS"].get("timeout", 5) * 1000)
    _execute(f"PRAGMA busy_timeout = {_PATIENCE_TO_COUNT_MS}")
    try:
        with transaction.atomic():
            yield
    finally:
        _execute(f"PRAGMA busy_timeout = {usual_ms}")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
