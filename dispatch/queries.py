"""Reads that pages, admin and API share."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet, TextChoices

from dispatch.models import DispatchEvent


class EventStatus(TextChoices):
    """Where an event stands at a time; never stored, so that no clock has to write it."""

    SCHEDULED = "SCHEDULED", "Scheduled"
    ACTIVE = "ACTIVE", "Active"
    COMPLETED = "COMPLETED", "Completed"
    ENDED_EARLY = "ENDED_EARLY", "Ended early"
    CANCELLED = "CANCELLED", "Cancelled"


def status_of(event: DispatchEvent, *, now: datetime) -> EventStatus:
    """Tell where an event stands at `now`. One that will end early is active until it does."""
    if event.is_cancelled:
        return EventStatus.CANCELLED
    if now < event.starts_at:
        return EventStatus.SCHEDULED
    if now < event.ends_at:
        return EventStatus.ACTIVE
    return EventStatus.ENDED_EARLY if event.is_ended_early else EventStatus.COMPLETED


def with_status(events: QuerySet[DispatchEvent], *, status: str, now: datetime) -> QuerySet[DispatchEvent]:
    """Keep the events that stand there at `now`; the same rule as `status_of`, in SQL."""
    if status == EventStatus.CANCELLED:
        return events.filter(is_cancelled=True)
    over = Q(starts_at__lte=now, ends_at__lte=now)
    rule = {
        EventStatus.SCHEDULED: Q(starts_at__gt=now),
        EventStatus.ACTIVE: Q(starts_at__lte=now, ends_at__gt=now),
        EventStatus.ENDED_EARLY: over & Q(is_ended_early=True),
        EventStatus.COMPLETED: over & Q(is_ended_early=False),
    }[EventStatus(status)]
    return events.filter(rule, is_cancelled=False)
