"""Where Leap posts: store, answer. Everything else happens after the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from dispatch.domain import belief
from dispatch.intake.document import DoubledKeys
from dispatch.intake.door import Door
from dispatch.intake.fieldreading import Unusable, clean_text, read_id
from dispatch.intake.payloads import is_anything_usable, level_of, problem_of, read_timeslots
from dispatch.models import ItemOutcome, NotificationItem, NotificationStatus, Source
from dispatch.receiving import Answer, Receipt, receive
from meters import platform_events
from meters.connection_models import DoorName
from meters.models import PlatformEventStatus

# Of a larger body the items are left to recording: the answer must not wait for them.
_MOST_ITEMS_AT_THE_DOOR = 500


class DispatchWebhook(Door):
    """Takes a dispatch notification, group or meter level."""

    door = DoorName.DISPATCH

    def store(
        self, document: dict[str, Any], *, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> tuple[int, Answer]:
        """Store a notification for recording, or aside when nothing in it can be used."""
        take = partial(
            receive,
            body=body,
            source=Source.WEBHOOK,
            received_at=now,
            level=level_of(document),
            headers=headers,
        )
        is_usable = is_anything_usable(document, now=now)
        receipt = take() if is_usable else _put_aside(document, take, now=now)
        return receipt.notification_id, receipt.answer

    def store_refused(self, sent: bytes, *, reason: str, headers: Mapping[str, str], now: datetime) -> None:
        """Keep it among the notifications."""
        receive(
            body=sent,
            source=Source.WEBHOOK,
            received_at=now,
            headers=headers,
            status=NotificationStatus.REJECTED,
            reason=reason,
        )


def _put_aside(document: dict[str, Any], take: Callable[..., Receipt], *, now: datetime) -> Receipt:
    """Store a body in which nothing can be used, with the reason for each timeslot."""
    slots = read_timeslots(document, source=belief.Source.WEBHOOK, now=now)
    items = [
        NotificationItem(
            position=position,
            level=slot.level,
            leap_event_id=slot.leap_event_id,
            outcome=ItemOutcome.QUARANTINED,
            reason=slot.problem,
        )
        for position, slot in enumerate(slots)
    ]
    if len(items) <= _MOST_ITEMS_AT_THE_DOOR:
        return take(status=NotificationStatus.QUARANTINED, reason=problem_of(slots), items=items)
    receipt = take()
    return replace(receipt, answer=Answer.QUARANTINED) if receipt.answer is Answer.ACCEPTED else receipt


class PlatformWebhook(Door):
    """Takes an event of Leap's platform: about meters, their enrolment and groups, never a dispatch.

    Source: Leap, "Webhook Setup": an event may come again; it is known by its `webhook_event_id`.
    """

    door = DoorName.EVENTS

    def store(
        self, document: dict[str, Any], *, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> tuple[int, Answer]:
        """Store an event; one without an id or a type is put aside."""
        event_id, event_type, problem = _read_envelope(document)
        row_id, is_new = platform_events.keep(
            body=body,
            received_at=now,
            headers=headers,
            webhook_event_id=event_id,
            event_type=event_type,
            status=PlatformEventStatus.QUARANTINED if problem else PlatformEventStatus.RECEIVED,
            reason=problem,
        )
        if not is_new:
            return row_id, Answer.DUPLICATE
        return row_id, Answer.QUARANTINED if problem else Answer.ACCEPTED

    def store_refused(self, sent: bytes, *, reason: str, headers: Mapping[str, str], now: datetime) -> None:
        """Keep it among the platform's events."""
        platform_events.keep(
            body=sent,
            received_at=now,
            headers=headers,
            status=PlatformEventStatus.REJECTED,
            reason=reason,
        )


def _read_envelope(document: dict[str, Any]) -> tuple[str, str, str]:
    """Return an event's id, its type and what is wrong, each "" for none."""
    if isinstance(document, DoubledKeys):
        return "", "", "A key stands twice in the body."
    try:
        event_id = read_id(document.get("webhook_event_id"), name="webhook_event_id")
    except Unusable as reason:
        return "", "", str(reason)
    payload = document.get("payload")
    if not isinstance(payload, dict):
        return event_id, "", "The payload is not an object."
    event_type = payload.get("webhook_event_type")
    if not isinstance(event_type, str) or not event_type:
        return event_id, "", "The payload names no webhook_event_type."
    return event_id, clean_text(event_type)[:256], ""
