"""Notifications → events and revisions.

Reads what was received and not yet recorded, and repeats not yet looked at; writes events, revisions,
doubts, items and the notifications' status, and asks planning to plan what changed. Safe to run twice,
late, or at the same time as itself: whoever has the turn records, the other finds nothing left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Length

from dispatch import queue
from dispatch.applying import Applied, apply_said
from dispatch.domain.belief import Outcome, Source
from dispatch.intake.document import NotADocument, read_document
from dispatch.intake.payloads import Timeslot, problem_of, read_timeslots
from dispatch.locking import Stage, take_turn
from dispatch.models import DispatchNotification, NotificationItem, NotificationStatus
from dispatch.said import Said

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
_BATCH_NOTIFICATIONS = 50
_BATCH_BYTES = 4_000_000
_HEAVY_BYTES = 1_000_000
_PIECE = 2_000


class UnknownNotification(LookupError):
    """No notification has this id."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A notification and what stands in it. Without timeslots it is quarantined for `problem`."""

    notification: DispatchNotification
    slots: Sequence[Timeslot]
    problem: str


def record_waiting(*, now: datetime) -> int:
    """Record every notification that waits; return how many.

    Light ones first, a heavy one in pieces with the light ones that come in between: no body, however large,
    keeps a cancellation waiting. A notification that cannot be recorded does not stop the others; after five
    attempts it is quarantined. A database that does not even take the count of an attempt is nobody's fault
    and raises `OperationalError`; the next wake-up tries again.
    """
    failed: set[int] = set()
    # Each transaction asks for its plans at a time of its own. One that asked at the time of an earlier one
    # would be taken for answered, should planning have read the earlier state and let go only now.
    moments = (now + timedelta(microseconds=number) for number in count())
    recorded = _record_light(failed, moments)
    while heavy := _next_heavy(excluding=failed):
        recorded += _guarded(partial(_record_in_pieces, heavy, failed, moments), heavy, failed, now=now)
        recorded += _record_light(failed, moments)
    return recorded


def replay_notification(*, notification_id: int, now: datetime) -> str:
    """Try once more what of a notification could not be used; return what came of it, in words.

    Items that were used keep their outcome, so a second replay changes nothing. Raises UnknownNotification.
    """
    notification = DispatchNotification.objects.filter(id=notification_id).first()
    if notification is None:
        raise UnknownNotification(notification_id)
    read = _read(notification, now=now)
    if read.problem and not read.slots:
        return f"Still not usable. {read.problem}"
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        used = set(
            NotificationItem.objects.filter(notification=notification)
            .exclude(outcome=Outcome.QUARANTINED)
            .values_list("position", flat=True)
        )
        unused = [position for position in range(len(read.slots)) if position not in used]
        moments = [(notification.received_at, False)]
        said = _as_said(read, moments, positions=unused, is_replay=True)
        changed = _apply(said, now=now)
        _close([read], now=now)
    return f"Replayed: {len(said)} timeslots tried again, {changed} events changed."


def _record_light(failed: set[int], moments: Iterator[datetime]) -> int:
    recorded = 0
    while batch := _next_batch(excluding=failed):
        try:
            recorded += _record(batch, now=next(moments))
        except Exception:
            logger.exception("A batch of %s notifications failed; one by one now", len(batch))
            for one in batch:
                now = next(moments)
                recorded += _guarded(partial(_record, [one], now=now), one, failed, now=now)
    return recorded


def _guarded(
    record: Callable[[], int], notification: DispatchNotification, failed: set[int], *, now: datetime
) -> int:
    """Record one notification, or note that it failed. Raises OperationalError if not even that is taken."""
    try:
        return record()
    except Exception:
        logger.exception("Notification %s could not be recorded", notification.pk)
        _count_failure(notification, now=now)
        failed.add(notification.pk)
        return 0


def _waiting(*, excluding: Collection[int]) -> QuerySet[DispatchNotification]:
    is_waiting = Q(status=NotificationStatus.RECEIVED) | Q(repeated_at__isnull=False)
    return DispatchNotification.objects.filter(is_waiting).exclude(id__in=excluding).order_by("id")


def _next_batch(*, excluding: Collection[int]) -> list[DispatchNotification]:
    """Return the oldest light ones that wait, as many as a batch may weigh."""
    light = _waiting(excluding=excluding).annotate(weight=Length("body")).filter(weight__lte=_HEAVY_BYTES)
    chosen: list[int] = []
    total = 0
    for pk, weight in light.values_list("id", "weight")[:_BATCH_NOTIFICATIONS]:
        total += weight
        if total > _BATCH_BYTES:
            break
        chosen.append(pk)
    return list(DispatchNotification.objects.filter(id__in=chosen).order_by("id")) if chosen else []


def _next_heavy(*, excluding: Collection[int]) -> DispatchNotification | None:
    waiting = _waiting(excluding=excluding).annotate(weight=Length("body"))
    return waiting.filter(weight__gt=_HEAVY_BYTES).first()


def _record(batch: Sequence[DispatchNotification], *, now: datetime) -> int:
    """Read outside the transaction, then record what nobody else has recorded meanwhile."""
    read = [_read(notification, now=now) for notification in batch]
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        read = _still_waiting(read)
        said = [one for each in read for one in _as_said(each, _moments(each.notification))]
        said.sort(key=lambda one: (one.at, one.notification_id))
        changed = _apply(said, now=now)
        _close(read, now=now)
    logger.info("Recorded %s notifications, %s events changed", len(read), changed)
    return len(read)


def _record_in_pieces(heavy: DispatchNotification, failed: set[int], moments: Iterator[datetime]) -> int:
    """Record a heavy notification piece by piece, each in a transaction of its own.

    A piece that was recorded before the process died is known by its items. What came in meanwhile may be
    newer than this body, so it is judged like a replay: nothing in it overrules later news.
    """
    read = _read(heavy, now=next(moments))
    for begin in range(0, len(read.slots), _PIECE):
        with transaction.atomic():
            take_turn(Stage.RECORDING)
            if not _still_waiting([read]):
                return 0
            piece = range(begin, min(begin + _PIECE, len(read.slots)))
            items = NotificationItem.objects.filter(notification=heavy, position__in=(piece[0], piece[-1]))
            if heavy.status == NotificationStatus.RECORDED or not items.exists():
                _apply(_as_said(read, _moments(heavy), positions=piece, is_replay=True), now=next(moments))
        _record_light(failed, moments)
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        _close(_still_waiting([read]), now=next(moments))
    return 1


def _read(notification: DispatchNotification, *, now: datetime) -> _Read:
    try:
        document = read_document(bytes(notification.body))
    except NotADocument as reason:
        return _Read(notification, (), str(reason))
    slots = read_timeslots(document, source=Source(notification.source), now=now)
    return _Read(notification, slots, problem_of(slots))


def _still_waiting(read: Sequence[_Read]) -> list[_Read]:
    """Drop what another worker has recorded since, and see the newest repeat of the others."""
    current = {
        row["id"]: row
        for row in DispatchNotification.objects.filter(
            Q(status=NotificationStatus.RECEIVED) | Q(repeated_at__isnull=False),
            id__in=[each.notification.pk for each in read],
        ).values("id", "status", "repeated_at")
    }
    waiting = []
    for each in read:
        row = current.get(each.notification.pk)
        if row is not None:
            each.notification.status = row["status"]
            each.notification.repeated_at = row["repeated_at"]
            waiting.append(each)
    return waiting


def _moments(notification: DispatchNotification) -> list[tuple[datetime, bool]]:
    """Return when the body is to be heard: when received, and, as a repeat, when it last came again."""
    is_new = notification.status == NotificationStatus.RECEIVED
    moments = [(notification.received_at, False)] if is_new else []
    return [*moments, (notification.repeated_at, True)] if notification.repeated_at else moments


def _as_said(
    read: _Read,
    moments: Sequence[tuple[datetime, bool]],
    *,
    positions: Iterable[int] | None = None,
    is_replay: bool = False,
) -> list[Said]:
    return [
        Said(
            notification_id=read.notification.pk,
            position=position,
            slot=read.slots[position],
            source=Source(read.notification.source),
            at=at,
            is_replay=is_replay,
            is_repeat=is_repeat,
        )
        for at, is_repeat in moments
        for position in (range(len(read.slots)) if positions is None else positions)
    ]


def _apply(said: Sequence[Said], *, now: datetime) -> int:
    may_ask = bool(settings.LEAP_API_KEY)
    applied = apply_said(said, may_ask=may_ask, now=now) if said else Applied()
    if applied.changed:
        queue.wake_planning()
    if applied.is_suspect and may_ask:
        queue.wake_reconciling()
    return applied.changed


def _close(read: Sequence[_Read], *, now: datetime) -> None:
    """Write what became of the notifications, one statement per outcome."""
    used = [each.notification.pk for each in read if not each.problem]
    unused = {each.problem for each in read if each.problem}
    if used:
        DispatchNotification.objects.filter(id__in=used).update(
            status=NotificationStatus.RECORDED, reason="", recorded_at=now
        )
    for problem in unused:
        DispatchNotification.objects.filter(
            id__in=[each.notification.pk for each in read if each.problem == problem]
        ).exclude(status=NotificationStatus.REJECTED).update(
            status=NotificationStatus.QUARANTINED, reason=problem, recorded_at=now
        )
    heard = Q()
    for each in read:
        if each.notification.repeated_at:
            heard |= Q(id=each.notification.pk, repeated_at=each.notification.repeated_at)
    if heard:  # a repeat that came in meanwhile stays, to be looked at
        DispatchNotification.objects.filter(heard).update(repeated_at=None)


def _count_failure(notification: DispatchNotification, *, now: datetime) -> None:
    waiting = DispatchNotification.objects.filter(id=notification.pk)
    waiting.update(attempt_count=F("attempt_count") + 1)
    waiting.filter(attempt_count__gte=MOST_ATTEMPTS).update(
        status=NotificationStatus.QUARANTINED,
        reason=f"It could not be recorded in {MOST_ATTEMPTS} attempts; the log says why.",
        recorded_at=now,
        repeated_at=None,
    )
