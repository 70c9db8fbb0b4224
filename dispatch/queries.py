"""Reads that pages, admin and API share."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, Q, QuerySet, TextChoices, TextField
from django.db.models.functions import Cast

from devices.models import Device, Withheld
from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    Level,
    NotificationStatus,
    Override,
    PollState,
    TestSend,
    TestSendState,
)
from dispatch.queue import (
    COMPARE_GROUPS,
    PLAN_WAITING,
    RECONCILE,
    RECORD_WAITING,
    REPLAY_POLICIES,
    SEND_TESTS,
)
from dispatch.replay_models import OPEN_STATES, PolicyReplay
from meters.models import MarketGroup, Meter
from meters.sync_models import MeterSync, SyncKind, SyncState

WAKE_UP_TIME = timedelta(seconds=1)
SEARCH_EVERY = timedelta(seconds=60)
# While Leap does not answer: its return must be noticed within a minute.
SEARCH_AGAIN_AFTER = timedelta(seconds=30)
# A doubt is asked about at once, but not more often than this. A search that a slow Leap draws out may still
# be going on then; two at once are harmless.
SOONEST_SEARCH = timedelta(seconds=5)
TEST_GIVEN_UP_AFTER = timedelta(seconds=120)
"""How long asking Leap for a test may take at the very most."""


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


def of_program(events: QuerySet[DispatchEvent], *, program: str) -> QuerySet[DispatchEvent]:
    """Keep the events called for a program, in any case.

    As text: SQLite cannot search inside JSON. It escapes what is not ASCII there, PostgreSQL does not.
    """
    as_text = events.alias(programs_text=Cast("programs", TextField()))
    escaped, plain = json.dumps(program), json.dumps(program, ensure_ascii=False)
    return as_text.filter(Q(programs_text__icontains=escaped) | Q(programs_text__icontains=plain))


def known_programs() -> list[str]:
    """Return Leap's codes of the programs that events or market groups have."""
    lists = DispatchEvent.objects.order_by().values_list("programs", flat=True).distinct()
    known = {program for programs in lists for program in programs}
    known.update(MarketGroup.objects.order_by().values_list("program", flat=True).distinct())
    return sorted(known - {""})


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the tasks that have work waiting and whose wake-up is lost, or that nobody wakes; indexed.

    Notifications, events and overrides come with a wake-up of their own, which takes a moment. Meters and
    devices are changed below this app, where nobody can wake planning: theirs is here. A device may ask for a
    time that is still to come.
    """
    lost = now - WAKE_UP_TIME
    received = DispatchNotification.objects.filter(status=NotificationStatus.RECEIVED, received_at__lte=lost)
    repeated = DispatchNotification.objects.filter(repeated_at__lte=lost)
    asked: list[QuerySet[Any]] = [
        rows.filter(plan_requested_at__lte=lost) for rows in (DispatchEvent.objects, Override.objects)
    ]
    asked += [
        Meter.objects.filter(plan_requested_at__isnull=False),
        Device.objects.filter(plan_requested_at__lte=now),
        Device.objects.filter(weigh_requested_at__isnull=False),
        Withheld.objects.filter(since__lte=lost),
    ]
    tasks = []
    if received.exists() or repeated.exists():
        tasks.append(RECORD_WAITING)
    if any(rows.exists() for rows in asked):
        tasks.append(PLAN_WAITING)
    if is_search_due(now=now):
        tasks.append(RECONCILE)
    if open_tests(now=now).exists():
        tasks.append(SEND_TESTS)
    if open_replays(now=now).filter(touched_at__lte=lost).exists():
        tasks.append(REPLAY_POLICIES)
    if groups_to_compare(now=now).exists():
        tasks.append(COMPARE_GROUPS)
    return tuple(tasks)


def groups_to_compare(*, now: datetime) -> QuerySet[MarketGroup]:
    """Return the groups to be laid beside the calls of them; none while a sync reads what may settle it.

    Meters read by name are no reason to wait: there may always be some.
    """
    reading = MeterSync.objects.filter(turn=1, state=SyncState.RUNNING, claimed_until__gt=now)
    is_being_read = Exists(reading.exclude(kind=SyncKind.NAMED))
    return MarketGroup.objects.filter(~is_being_read, compare_requested_at__isnull=False)


def is_search_due(*, now: datetime) -> bool:
    """Say whether Leap's search should be asked now: every minute, sooner after an error or about a doubt."""
    if not settings.LEAP_API_KEY:
        return False
    states = list(PollState.objects.values_list("tried_at", "error"))
    tried = [tried_at for tried_at, _ in states if tried_at]
    is_failing = any(error for _, error in states)
    every = SEARCH_AGAIN_AFTER if is_failing else SEARCH_EVERY
    if len(tried) < len(Level) or now - min(tried) >= every:
        return True
    if is_failing or now - max(tried) < SOONEST_SEARCH:
        return False
    return Doubt.objects.filter(settled_at__isnull=True, raised_at__gt=max(tried)).exists()


def open_tests(*, now: datetime) -> QuerySet[TestSend]:
    """Return the tests that a lost wake-up left unsent, or a worker that died left half sent."""
    left = Q(state=TestSendState.WAITING, created_at__lte=now - WAKE_UP_TIME)
    half = Q(state=TestSendState.SENDING, sent_at__lte=now - TEST_GIVEN_UP_AFTER)
    return TestSend.objects.filter(left | half)


def open_replays(*, now: datetime) -> QuerySet[PolicyReplay]:
    """Return the replays to go on with, which nobody holds; none while somebody works on any of them."""
    unfinished = PolicyReplay.objects.filter(state__in=OPEN_STATES)
    if unfinished.filter(claimed_until__gt=now).exists():
        return unfinished.none()
    return unfinished
