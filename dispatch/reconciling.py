"""What Leap's search says → the same recording as what its webhook brings.

Asks both searches, meter and group, once a minute, and sooner while an event is unconfirmed. Stores what
changed as notifications with source POLL and records them; writes PollState. Absence is not a cancellation.
Source: Leap, "Dispatch Event Polling": once a minute is within the limits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from dispatch.models import DispatchEvent, Level, PollState, Source, TestKind
from dispatch.queries import SOONEST_SEARCH, is_search_due
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError
from leapvpp.leap.values import Level as LeapLevel
from leapvpp.leap.values import SearchPage

logger = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=1)
LOOK_AHEAD = timedelta(days=31)
DOUBT_ASKED_FOR = timedelta(days=7)
# A slow Leap must not hold a worker, or the worker is killed after a minute: nothing is asked any more after
# the one, no answer waited for longer than the other. The next turn asks again.
BUDGET = timedelta(seconds=25)
ANSWER_SECONDS = 10.0
_LEVELS = {Level.METER: LeapLevel.METER, Level.GROUP: LeapLevel.GROUP}


class Searcher(Protocol):
    """The part of Leap's client that is needed here."""

    def search_dispatches(
        self,
        *,
        level: LeapLevel,
        window_start: datetime,
        window_end: datetime,
        event_ids: Collection[str] | None = None,
    ) -> Iterator[SearchPage]:
        """Yield every page of a search. Raises LeapError."""


class OutOfTime(LeapError):
    """Leap answers, but too slowly to be waited for."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An event on which Leap's word is wanted whether or not the window's search mentions it."""

    leap_event_id: str
    starts_at: datetime
    ends_at: datetime
    is_confirmed: bool


def open_client() -> AbstractContextManager[Searcher]:
    """Return a client of the configured Leap that tries once: the next minute is the retry."""
    return LeapClient(
        base_url=settings.LEAP_API_BASE_URL,
        api_key=settings.LEAP_API_KEY,
        attempts=1,
        total_seconds=ANSWER_SECONDS,
    )


def reconcile(
    *,
    now: datetime,
    client: Callable[[], AbstractContextManager[Searcher]] = open_client,
    clock: Callable[[], datetime] = timezone.now,
) -> str:
    """Ask Leap's searches if that is due, record what they say, and return a word for the log.

    A level that fails keeps its error for the pages and is asked again with the next turn; the other level
    is asked all the same.
    """
    if not is_search_due(now=now) or not _claim(now=now):
        return "not due"
    answered: dict[Level, datetime] = {}
    try:
        with client() as leap:
            for level in _LEVELS:
                try:
                    answered[level] = ask(leap, level, until=now + BUDGET, clock=clock)
                except LeapError as error:
                    _note_failure([level], error)
    except ValueError as error:  # an address or a key with which no client can be made
        _note_failure(_LEVELS, error)
    record_waiting(now=clock())
    # Only now: while a level has never been answered for, what its search finds is no sign of a broken push.
    for level, answered_at in answered.items():
        PollState.objects.filter(level=level).update(answered_at=answered_at, error="")
    return f"asked, {len(answered)} of {len(_LEVELS)} levels answered"


def _note_failure(levels: Collection[Level], error: Exception) -> None:
    logger.warning("Leap's search at level %s failed: %s", ", ".join(levels), type(error).__name__)
    PollState.objects.filter(level__in=levels).update(error=str(error)[:500])


def _claim(*, now: datetime) -> bool:
    """Take this turn; false when another worker has it. The meter level's row is the lock of both."""
    PollState.objects.bulk_create((PollState(level=level) for level in _LEVELS), ignore_conflicts=True)
    free = Q(tried_at__isnull=True) | Q(tried_at__lte=now - SOONEST_SEARCH)
    if not PollState.objects.filter(free, level=Level.METER).update(tried_at=now):
        return False
    PollState.objects.filter(level=Level.GROUP).update(tried_at=now)
    return True


def ask(leap: Searcher, level: Level, *, until: datetime, clock: Callable[[], datetime]) -> datetime:
    """Ask by id about what is in doubt, then about the window, then by id about what it left unmentioned.

    The answers are stored for recording; PollState is left alone. Raises LeapError.
    """
    asked_at = clock()

    def feed(pages: Iterator[SearchPage]) -> set[str]:
        fed = (
            _feed(page, level=level, asked_at=asked_at) for page in _in_time(pages, until=until, clock=clock)
        )
        return {leap_event_id for mentioned in fed for leap_event_id in mentioned}

    events = _open_events(level, now=asked_at)
    if doubted := [one for one in events if not one.is_confirmed]:
        feed(_search_by_id(leap, level, doubted))
    start, end = asked_at - LOOK_BACK, asked_at + LOOK_AHEAD
    mentioned = feed(leap.search_dispatches(level=_LEVELS[level], window_start=start, window_end=end))
    rest = [one for one in events if one.is_confirmed and one.leap_event_id not in mentioned]
    if rest:
        feed(_search_by_id(leap, level, rest))
    return clock()


def _search_by_id(leap: Searcher, level: Level, events: Sequence[_Open]) -> Iterator[SearchPage]:
    """Ask about these events; one that Leap moved by more than a day is for the search of the window."""
    return leap.search_dispatches(
        level=_LEVELS[level],
        window_start=min(one.starts_at for one in events) - LOOK_BACK,
        window_end=max(one.ends_at for one in events) + LOOK_BACK,
        event_ids=[one.leap_event_id for one in events],
    )


def _in_time(
    pages: Iterator[SearchPage], *, until: datetime, clock: Callable[[], datetime]
) -> Iterator[SearchPage]:
    """Pass the pages on, each of which is a request, and ask for none after `until`. Raises OutOfTime."""
    while True:
        if clock() > until:
            raise OutOfTime(f"Leap's search took longer than {BUDGET.total_seconds():.0f} s.")
        page = next(pages, None)
        if page is None:
            return
        yield page


def _open_events(level: Level, *, now: datetime) -> list[_Open]:
    """Return the events that still run or come and those in doubt, up to a week after their end.

    What Leap has not mentioned by then it never will: that doubt is the operator's. It stores no integration
    test.
    """
    is_live = Q(ends_at__gt=now, is_cancelled=False)
    is_doubted = Q(ends_at__gt=now - DOUBT_ASKED_FOR, is_confirmed=False)
    rows = DispatchEvent.objects.filter(is_live | is_doubted, level=level).exclude(test=TestKind.INTEGRATION)
    columns = ("leap_event_id", "starts_at", "ends_at", "is_confirmed")
    return [_Open(*row) for row in rows.values_list(*columns)]


def _feed(page: SearchPage, *, level: Level, asked_at: datetime) -> list[str]:
    """Store one page for recording; return the ids of the events that it mentions."""
    if not page.results:
        return []
    receive(body=page.as_notification(), source=Source.POLL, received_at=asked_at, level=level)
    return [
        slot.timeslot.event_id.lower()
        for dispatch in page.dispatches()
        for slot in dispatch.timeslots
        if slot.timeslot
    ]
