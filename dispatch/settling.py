"""An operator decides what Leap's search has not: keep what is held, or take what is doubted.

Reads and writes doubts and, through `dispatch.applying`, events and revisions.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from dispatch import queue
from dispatch.applying import apply_said
from dispatch.domain.belief import Source, Verdict
from dispatch.domain.revisions import fields_from_content
from dispatch.intake.payloads import Timeslot
from dispatch.locking import Stage, take_turn
from dispatch.models import DispatchEvent, Doubt
from dispatch.said import Said


class DoubtOvertaken(Exception):
    """The doubt that was looked at is no longer open: newer news or somebody else settled it."""


def keep_held(*, doubt_id: int, by: str, now: datetime) -> DispatchEvent:
    """Confirm what is held. Raises DoubtOvertaken."""
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        event = _settle(doubt_id, Verdict.KEPT, by=by, now=now).event
        DispatchEvent.objects.filter(id=event.pk).update(is_confirmed=True)
    event.is_confirmed = True
    return event


def take_doubted(*, doubt_id: int, by: str, now: datetime) -> DispatchEvent:
    """Make what is doubted the current state, as a revision by the operator. Raises DoubtOvertaken."""
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        doubt = _open_doubt(doubt_id)
        said = Said(
            notification_id=doubt.notification_id,
            position=0,
            slot=Timeslot(
                level=doubt.event.level,
                leap_event_id=doubt.event.leap_event_id,
                fields=fields_from_content(doubt.fields),
                flags=tuple(doubt.event.flags),
                extra=doubt.event.extra,
            ),
            source=Source.OPERATOR,
            at=now,
            is_repeat=True,
        )
        apply_said([said], may_ask=False, now=now)
        Doubt.objects.filter(id=doubt_id).update(settled_by=by)
        queue.wake_planning()
    return DispatchEvent.objects.get(id=doubt.event_id)


def _open_doubt(doubt_id: int) -> Doubt:
    doubt = Doubt.objects.select_related("event").filter(id=doubt_id, settled_at__isnull=True).first()
    if doubt is None:
        raise DoubtOvertaken(doubt_id)
    return doubt


def _settle(doubt_id: int, verdict: Verdict, *, by: str, now: datetime) -> Doubt:
    doubt = _open_doubt(doubt_id)
    changed = Doubt.objects.filter(id=doubt_id, settled_at__isnull=True).update(
        settled_at=now, settled_by=by, verdict=verdict
    )
    if not changed:
        raise DoubtOvertaken(doubt_id)
    return doubt
