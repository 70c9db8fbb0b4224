"""Stage: what people asked about who takes part → Leap, and what came of each meter.

Reads and writes `ParticipationRequest` and `ParticipationItem`. That Leap is asked is written before it is
asked. Where nobody knows what came of that – the worker died, Leap did not answer –, Leap's own lists are
read first: what they show is done, and an idle period that they do not show is sent again. A disenrollment,
of which Leap keeps no list, is not: it ends unclear. Leap leaves out meters that it does not know without a
word, so its lists are read after every yes, too. The sync then brings each meter's participation.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from leapvpp.leap.errors import LeapError, LeapRefused, storable
from leapvpp.leap.participation import Disenrollment, IdlePeriod
from meters.among import Ids
from meters.domain.participation import Asked, Kind, last_chance, window_of, zone_called
from meters.domain.syncing import preference_at
from meters.idle_listing import Connected, is_list_due, open_clients, read_list, read_list_if_due
from meters.models import Meter
from meters.participation_models import (
    ParticipationItem,
    ParticipationOutcome,
    ParticipationRequest,
    ParticipationState,
)
from meters.rereading import read_again

logger = logging.getLogger(__name__)

CHANGE_PARTICIPATION: Final = "meters.tasks.change_participation"
SECONDS: Final = 300
WORK_SECONDS: Final = 20.0
"""When a task leaves the rest to the next: the workers that speak to Leap record its calls, too."""
LEASE: Final = timedelta(minutes=3)
"""Longer than Leap may take over one message and what is read after it."""
AT_ONCE: Final = {Kind.IDLE: 1000, Kind.END_IDLE: 1000, Kind.DISENROLL: 1000, Kind.PARTICIPATE: 1}
"""Meters in one message, which is taken or refused as a whole. Leap has none for many that participate."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
LOOKS: Final = 6
"""How often Leap's enrollments are looked at before a disenrollment without an answer is called unclear."""
UNKNOWN: Final = "Leap does not know this meter."
LEFT_OUT: Final = "Leap said yes and left it out without a word: its list does not show it."
NEVER_ANSWERED: Final = "Leap was asked, never answered, and does not show it."
TOO_LATE: Final = "Leap could not be asked before its day."
NOT_YET_SHOWN: Final = "Leap's enrollment does not show it yet."
NO_SUCH_PERIOD: Final = "Leap lists no idle period of exactly these days."
HELD_UP: Final = "Still idle: Leap takes all of a message or none, and another of it does not match."
NOT_SENT: Final = "Not sent, as Leap refused the message before."
DETAILS_KEPT: Final = 500


class LeaseLost(Exception):
    """Another worker holds the request by now; nothing more of it may be written."""


class LeapUnanswered(LeapError):
    """Leap was asked for something and has neither answered nor shown it."""


def store_request(
    *, asked: Asked, meters: Sequence[Meter], gates: Mapping[str, int], by: str, now: datetime
) -> ParticipationRequest:
    """Have something asked of Leap, for meters that were checked. `gates`: the opt-outs made with it.

    The dispatcher wakes a worker within a second.
    """
    request = ParticipationRequest.objects.create(
        kind=asked.kind.value,
        starts_on=asked.days.first,
        ends_on=asked.days.last,
        reason=asked.reason.strip(),
        requested_by=by,
        requested_at=now,
        next_attempt_at=now,
    )
    ParticipationItem.objects.bulk_create(
        (_item(request, asked, meter, gate_id=gates.get(meter.meter_id)) for meter in meters), batch_size=2000
    )
    return request


def _item(
    request: ParticipationRequest, asked: Asked, meter: Meter, *, gate_id: int | None
) -> ParticipationItem:
    zone = zone_called(meter.timezone)
    if zone is None:
        raise ValueError(f"{meter.timezone} is no zone; check meters first")
    window = window_of(asked.days, zone)
    return ParticipationItem(
        request=request,
        meter=meter,
        timezone=meter.timezone,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        expires_at=last_chance(asked.kind, asked.days, zone),
        gate_id=gate_id,
    )


def withdraw(*, request_id: int, now: datetime) -> bool:
    """Take a request back that waits and that Leap cannot have heard of; say whether it could be."""
    with transaction.atomic():
        told = ParticipationItem.objects.filter(request=OuterRef("pk")).exclude(
            outcome=ParticipationOutcome.PENDING
        )
        standing = ParticipationRequest.objects.filter(
            ~Exists(told), pk=request_id, state=ParticipationState.WAITING, may_have_arrived=False
        )
        if not standing.update(state=ParticipationState.WITHDRAWN, finished_at=now):
            return False
        ParticipationItem.objects.filter(request=request_id, outcome=ParticipationOutcome.PENDING).update(
            outcome=ParticipationOutcome.WITHDRAWN
        )
    return True


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task to wake when a request is to be sent or Leap's list to be read; two questions."""
    if not settings.LEAP_API_KEY:
        return ()
    is_due = _due(now=now).exists() or is_list_due(now=now)
    return (CHANGE_PARTICIPATION,) if is_due else ()


def _due(*, now: datetime) -> QuerySet[ParticipationRequest]:
    """Find what waits, and what a worker that died left half sent."""
    waits = Q(state=ParticipationState.WAITING, next_attempt_at__lte=now)
    lapsed = Q(state=ParticipationState.SENDING, claimed_until__lte=now)
    return ParticipationRequest.objects.filter(waits | lapsed)


def send_waiting(
    *,
    clients: Callable[[], AbstractContextManager[Connected]] = open_clients,
    clock: Callable[[], datetime] = timezone.now,
) -> str:
    """Send what waits, for some seconds, and read Leap's list if that is due; return a word for the log."""
    if not settings.LEAP_API_KEY:
        return "LEAP_API_KEY is not set"
    sent, until = 0, time.monotonic() + WORK_SECONDS
    while (request := _claim(now=clock())) is not None:
        _send(_Turn(request, clock), clients=clients, until=until)
        sent += 1
        if time.monotonic() >= until:
            break
    read = " and the idle periods read" if read_list_if_due(clients=clients, clock=clock) else ""
    return f"{sent} requests about participation sent{read}"


def _claim(*, now: datetime) -> ParticipationRequest | None:
    """Take the next request that is due; `None` when there is none, or others have them all."""
    for request in _due(now=now).order_by("next_attempt_at", "pk")[:20]:
        mine = _due(now=now).filter(pk=request.pk)
        if mine.update(
            state=ParticipationState.SENDING, claimed_until=now + LEASE, attempts=request.attempts + 1
        ):
            return ParticipationRequest.objects.get(pk=request.pk)
    return None


@dataclass(slots=True)
class _Turn:
    """A request that is held. Every write of it names the lease, so that who lost it writes nothing."""

    request: ParticipationRequest
    clock: Callable[[], datetime]

    @property
    def kind(self) -> Kind:
        return Kind(self.request.kind)

    @property
    def pending(self) -> QuerySet[ParticipationItem]:
        pending = ParticipationItem.objects.filter(
            request=self.request.pk, outcome=ParticipationOutcome.PENDING
        )
        return pending.select_related("meter").order_by("pk")

    def write(self, **fields: object) -> None:
        """Change the request. Raises LeaseLost."""
        held = ParticipationRequest.objects.filter(
            pk=self.request.pk,
            state=ParticipationState.SENDING,
            claimed_until=self.request.claimed_until,
        )
        if not held.update(**fields):
            raise LeaseLost
        for name, value in fields.items():
            setattr(self.request, name, value)

    def settle(self, outcomes: Mapping[ParticipationOutcome, Mapping[str, Collection[int]]]) -> None:
        """Write what came of items, by outcome and words, as one message's answer. Raises LeaseLost."""
        now = self.clock()
        with transaction.atomic():
            self.write(may_have_arrived=False, claimed_until=now + LEASE)
            settled: list[int] = []
            for outcome, by_words in outcomes.items():
                for words, items in by_words.items():
                    ParticipationItem.objects.filter(pk__among=Ids(items)).update(
                        outcome=outcome, detail=words[:DETAILS_KEPT]
                    )
                    settled += items
            concerned = ParticipationItem.objects.filter(pk__among=Ids(settled))
            read_again(
                list(concerned.values_list("meter__meter_id", flat=True)),
                why=f"participation request {self.request.pk}",
                now=now,
            )


def _send(turn: _Turn, *, clients: Callable[[], AbstractContextManager[Connected]], until: float) -> None:
    """Bring a request as far as Leap and the time let it, at least by one message."""
    try:
        with clients() as leap:
            if turn.request.may_have_arrived:
                _look_first(leap, turn)
            _expire(turn)
            while batch := list(turn.pending[: AT_ONCE[turn.kind]]):
                _send_batch(leap, turn, batch)
                if time.monotonic() >= until and turn.pending.exists():
                    _leave_the_rest(turn)
                    return
        _finish(turn)
    except LeaseLost:
        logger.warning("Participation request %s was taken over by another worker", turn.request.pk)
    except (LeapError, ValueError) as error:  # the latter: an address or key with which no client can be made
        logger.warning("Participation request %s: %s", turn.request.pk, type(error).__name__)
        _postpone(turn, why=storable(str(error)))


def _leave_the_rest(turn: _Turn) -> None:
    """Let the next task go on, as nothing went wrong: the attempt does not count. Raises LeaseLost."""
    turn.write(
        state=ParticipationState.WAITING,
        claimed_until=None,
        next_attempt_at=turn.clock(),
        attempts=turn.request.attempts - 1,
    )


def _look_first(leap: Connected, turn: _Turn) -> None:
    """Settle what Leap's lists show of a message without an answer; leave the rest to be sent again.

    Raises LeapError: the lists cannot be read.
    """
    items = list(turn.pending[: AT_ONCE[turn.kind]])
    match turn.kind:
        case Kind.IDLE:
            done = _listed(leap, turn, items)
        case Kind.END_IDLE:
            done = {item.pk for item in items} - _listed(leap, turn, items)
        case Kind.DISENROLL:
            known, done = _enrolled(leap, items)
            if done != {item.pk for item in items}:
                _doubt(turn, items, known=known, done=done)
                return
        case Kind.PARTICIPATE:
            return  # telling Leap twice changes nothing
    turn.settle({ParticipationOutcome.ACCEPTED: {"": done}} if done else {})


def _doubt(turn: _Turn, items: Sequence[ParticipationItem], *, known: set[int], done: set[int]) -> None:
    """Keep a disenrollment that Leap does not show from being sent twice: look again, then call it unclear.

    Raises LeapUnanswered, a LeapError, while Leap may still come to show it.
    """
    if turn.request.attempts <= LOOKS:
        raise LeapUnanswered(NEVER_ANSWERED)
    everyone = {item.pk for item in items}
    turn.settle(
        {
            ParticipationOutcome.ACCEPTED: {"": done},
            ParticipationOutcome.DROPPED: {UNKNOWN: everyone - known},
            ParticipationOutcome.UNCLEAR: {NEVER_ANSWERED: known - done},
        }
    )


def _expire(turn: _Turn) -> None:
    """Close what would come too late by its meter's clock."""
    late = turn.pending.filter(expires_at__lte=turn.clock())
    late.update(outcome=ParticipationOutcome.EXPIRED, detail=TOO_LATE)


def _send_batch(leap: Connected, turn: _Turn, batch: Sequence[ParticipationItem]) -> None:
    """Send one message and settle its items. Raises LeapError when that must be tried again."""
    now = turn.clock()
    turn.write(may_have_arrived=True, sent_at=now, claimed_until=now + LEASE)
    try:
        _tell(leap, turn, batch)
    except LeapRefused as refusal:
        if not refusal.is_permanent:
            raise
        _settle_refusal(leap, turn, batch, refusal=refusal)
    else:
        _settle_yes(leap, turn, batch)


def _tell(leap: Connected, turn: _Turn, batch: Sequence[ParticipationItem]) -> None:
    request = turn.request
    match turn.kind:
        case Kind.IDLE:
            leap.told.add_idle_periods({item.meter.meter_id: [period_of(request)] for item in batch})
        case Kind.END_IDLE:
            leap.told.delete_idle_periods({item.meter.meter_id: [period_of(request)] for item in batch})
        case Kind.PARTICIPATE:
            for item in batch:
                leap.told.participate(item.meter.meter_id, start_date=request.starts_on)
        case Kind.DISENROLL:
            leap.told.disenroll(
                [
                    Disenrollment(
                        meter_id=item.meter.meter_id,
                        disenrollment_date=request.starts_on,
                        reason=request.reason,
                    )
                    for item in batch
                ]
            )


def period_of(request: ParticipationRequest) -> IdlePeriod:
    """Return the idle period that a request is about."""
    return IdlePeriod(start_date=request.starts_on, end_date=request.ends_on or request.starts_on)


def _settle_yes(leap: Connected, turn: _Turn, batch: Sequence[ParticipationItem]) -> None:
    """Read back what Leap made of a message that it took."""
    everyone = {item.pk for item in batch}
    accepted, shown = everyone, everyone
    words = LEFT_OUT
    match turn.kind:
        case Kind.IDLE:
            accepted = shown = _listed(leap, turn, batch)
        case Kind.END_IDLE:
            accepted = shown = everyone - _listed(leap, turn, batch)
        case Kind.DISENROLL:
            accepted, shown = _enrolled(leap, batch)
            words = UNKNOWN
        case Kind.PARTICIPATE:
            pass  # one meter a message: who is unknown is refused
    turn.settle(
        {
            ParticipationOutcome.ACCEPTED: {"": accepted & shown, NOT_YET_SHOWN: accepted - shown},
            ParticipationOutcome.DROPPED: {words: everyone - accepted},
        }
    )


def _settle_refusal(
    leap: Connected, turn: _Turn, batch: Sequence[ParticipationItem], *, refusal: LeapRefused
) -> None:
    """Keep Leap's words; where nothing was found, say of each item what that means."""
    everyone = {item.pk for item in batch}
    words = storable(str(refusal))
    if refusal.status != 404:
        rest = set(turn.pending.values_list("pk", flat=True)) - everyone
        turn.settle({ParticipationOutcome.REFUSED: {words: everyone, NOT_SENT: rest}})
        turn.write(detail=words)
    elif turn.kind is Kind.END_IDLE:
        standing = _listed(leap, turn, batch)
        held_up = {f"{HELD_UP} {words}": standing} if standing != everyone else {words: standing}
        turn.settle({ParticipationOutcome.REFUSED: {**held_up, NO_SUCH_PERIOD: everyone - standing}})
        turn.write(detail=words)
    else:
        turn.settle({ParticipationOutcome.DROPPED: {f"{UNKNOWN} {words}": everyone}})


def _listed(leap: Connected, turn: _Turn, items: Sequence[ParticipationItem]) -> set[int]:
    """Return the items whose idle period Leap lists, and keep its list."""
    meter_id = items[0].meter.meter_id if len(items) == 1 else None
    listed = read_list(leap, meter_id=meter_id, now=turn.clock())
    return {item.pk for item in items if period_of(turn.request) in listed.get(item.meter.meter_id, ())}


def _enrolled(leap: Connected, items: Sequence[ParticipationItem]) -> tuple[set[int], set[int]]:
    """Return the items whose meter Leap lists, and those that it shows as disenrolled from their day on."""
    by_meter = {item.meter.meter_id: item for item in items}
    pages = leap.read.search_enrollments(meter_ids=list(by_meter))
    found = {each.meter.meter_id.lower(): each.meter for page in pages for each in page.meters if each.meter}
    known = {item.pk for meter_id, item in by_meter.items() if meter_id in found}
    shown = {
        item.pk
        for meter_id, item in by_meter.items()
        if meter_id in found
        and preference_at(found[meter_id].participation_preferences, at=item.starts_at) == Kind.DISENROLL
    }
    return known, shown


def _postpone(turn: _Turn, *, why: str) -> None:
    """Have a request tried again while that makes sense, later each time."""
    now = turn.clock()
    if not turn.pending.filter(expires_at__gt=now).exists():
        _give_up(turn, why=why)
        return
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(turn.request.attempts - 1, 10))
    try:
        turn.write(
            state=ParticipationState.WAITING, claimed_until=None, next_attempt_at=now + pause, detail=why
        )
    except LeaseLost:
        logger.warning("Participation request %s was taken over by another worker", turn.request.pk)


def _give_up(turn: _Turn, *, why: str) -> None:
    """Close what is too late: as unclear where Leap may have heard of it."""
    is_unclear = turn.request.may_have_arrived
    outcome = ParticipationOutcome.UNCLEAR if is_unclear else ParticipationOutcome.EXPIRED
    turn.pending.update(outcome=outcome, detail=NEVER_ANSWERED if is_unclear else TOO_LATE)
    turn.request.detail = why
    _finish(turn)


def _finish(turn: _Turn) -> None:
    """Close a request by what came of its items."""
    of = Counter(ParticipationItem.objects.filter(request=turn.request.pk).values_list("outcome", flat=True))
    accepted, total = of[ParticipationOutcome.ACCEPTED], of.total()
    if accepted == total:
        state = ParticipationState.DONE
    elif accepted:
        state = ParticipationState.PARTLY
    elif of[ParticipationOutcome.UNCLEAR]:
        state = ParticipationState.UNCLEAR
    else:
        state = ParticipationState.FAILED
    is_fine = state == ParticipationState.DONE
    turn.write(
        state=state,
        claimed_until=None,
        may_have_arrived=False,
        finished_at=turn.clock(),
        detail="" if is_fine else turn.request.detail,
    )
    logger.info("Participation request %s: %s, %s of %s accepted", turn.request.pk, state, accepted, total)
