"""Events as people see them: hourly timeslots that say the same joined, single meters asked alike bundled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, QuerySet

from dispatch.models import DispatchEvent, Overlap, TestKind, Unserved
from dispatch.reading import words
from dispatch.reading.looks import Look, State, look_of
from dispatch.reading.naming import Owner, owner_of, with_names
from dispatch.unserved import BY_DEVICE, COUNTS

MOST_EVENTS = 5000
BRACKETS = re.compile(r" \([^)]*\)")
LIVE_STATES = (State.LIVE, State.LIVE_VOLUNTARY)
GOES_ON = (*LIVE_STATES, State.COMMITTED, State.VOLUNTARY, State.DONE)


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked of one owner in one window: an event, or several that say the same and touch.

    `is_dropped`: where it meets others, some device does not serve it. `is_out_of_step`: Leap calls others
    for its group than are in it here.
    """

    event_ids: tuple[int, ...]
    leap_event_ids: tuple[str, ...]
    owner: Owner
    start: datetime
    end: datetime
    kw: Decimal | None
    program: str
    look: Look
    trouble: str
    why: str
    rank: int
    meters: int
    recipients_id: int
    is_test: bool
    is_voluntary: bool
    lead_id: int
    is_dropped: bool = False
    is_out_of_step: bool = False

    @property
    def href(self) -> str:
        """Give the address of the event, of the live or else the first one when there are several."""
        return f"/events/{self.lead_id}/"

    @property
    def name(self) -> str:
        """Say the program, with the word TEST before a test."""
        return f"TEST {self.program}" if self.is_test else self.program

    @property
    def power(self) -> str:
        """Write the power asked for."""
        return words.power(self.kw)

    @property
    def short_power(self) -> str:
        """Write the power asked for where there is little room."""
        if self.kw is None:
            return "max"
        return f"{words.number(self.kw / 1000)} MW" if self.kw >= 1000 else words.power(self.kw)


def events_between(start: datetime, end: datetime) -> QuerySet[DispatchEvent]:
    """Select the events that touch `[start, end)`."""
    return DispatchEvent.objects.filter(starts_at__lt=end, ends_at__gt=start)


def read_requests(events: QuerySet[DispatchEvent], *, now: datetime, zone: tzinfo) -> tuple[Request, ...]:
    """Read events with names and reasons. Three queries, at most 5,000 events."""
    rows = list(with_names(events).order_by("starts_at", "priority_rank", "id")[:MOST_EVENTS])
    refused = _unserved(rows)
    covered = _overlaps(rows)
    single = [
        _request(
            event, now=now, zone=zone, refused=refused.get(event.pk, ""), covered=covered.get(event.pk, "")
        )
        for event in rows
    ]
    return tuple(join_touching(bundle_meters(single)))


def _unserved(events: list[Any]) -> dict[int, str]:
    """Say on how many devices an event is not served, and the commonest reason, by event."""
    ids = [event.pk for event in events if event.is_unserved]
    if not ids:
        return {}
    rows = Unserved.objects.filter(COUNTS, event_id__in=ids, is_shaded=False)
    told = (
        rows.values_list("event_id", "reason")
        .annotate(devices=Count(BY_DEVICE, distinct=True))
        .order_by("devices", "reason")
    )
    return {event_id: _not_served(devices, reason=reason) for event_id, reason, devices in told}


def _not_served(devices: int, *, reason: str) -> str:
    on = words.counted(devices, one="device")
    return first_sentence(f"Not served on {on}: {words.why_not(reason)}")


def _overlaps(events: list[Any]) -> dict[int, str]:
    """Give planning's word on the overlaps an event is in, by event."""
    shared = [event for event in events if event.is_overlapping]
    if not shared:
        return {}
    first, last = min(event.starts_at for event in shared), max(event.ends_at for event in shared)
    rows = Overlap.objects.filter(starts_at__lt=last, ends_at__gt=first).exclude(reason="")
    told = rows.values("event_ids").annotate(reason=Min("reason"), since=Min("starts_at")).order_by("since")
    found: dict[int, str] = {}
    for row in told:
        for event_id in row["event_ids"]:
            found.setdefault(event_id, row["reason"])
    return found


def _request(event: Any, *, now: datetime, zone: tzinfo, refused: str, covered: str) -> Request:
    look = look_of(event, now=now)
    trouble = _trouble(event, look=look, refused=refused)
    return Request(
        event_ids=(event.pk,),
        leap_event_ids=(event.leap_event_id,),
        owner=owner_of(event),
        start=event.starts_at,
        end=event.ends_at,
        kw=event.energy_kw,
        program=words.programs(event.programs),
        look=look,
        trouble=trouble,
        why=_why(event, look=look, zone=zone, trouble=trouble, covered=covered),
        rank=event.priority_rank,
        meters=event.recipients.size,
        recipients_id=event.recipients_id,
        is_test=bool(event.test),
        is_voluntary=event.is_voluntary,
        lead_id=event.pk,
        is_out_of_step=event.is_out_of_step and look.state not in (State.CANCELLED, State.DONE),
    )


def _trouble(event: Any, *, look: Look, refused: str) -> str:
    """Say what stands in the way of an event, the strongest thing first; empty when nothing does."""
    if look.state is State.UNCONFIRMED:
        return "Planned as received; Leap has not confirmed it."
    if event.test == TestKind.INTEGRATION:
        return "Integration test; devices stay still unless armed."
    if refused:
        return refused
    if event.unmapped_meters:
        return f"{words.counted(event.unmapped_meters, one='meter')} without a device."
    if event.shortfall_kw:
        return f"{words.power(event.shortfall_kw)} short of the request."
    if event.is_out_of_step:
        return "Its group is out of step with Leap."
    return ""


def _why(event: Any, *, look: Look, zone: tzinfo, trouble: str, covered: str) -> str:
    """Say in one sentence what becomes of an event."""
    if look.state is State.CANCELLED:
        at = event.changed_at
        return f"Cancelled by Leap {words.day(at, zone=zone)} {words.clock(at, zone=zone)}."
    if trouble:
        return trouble
    if look.state is State.DONE:
        return "Done, ended early." if event.is_ended_early else "Done."
    if covered:
        return BRACKETS.sub("", first_sentence(covered))
    kind = "Voluntary" if event.is_voluntary else "Committed"
    tail = ", ends early" if event.is_ended_early else ""
    return f"Served. {kind}, rank {event.priority_rank}{tail}."


def first_sentence(reason: str) -> str:
    """Cut a reason of planning's to its first sentence, for where there is one line."""
    return f"{reason.partition('. ')[0].rstrip('.')}."


def bundle_meters(requests: Iterable[Request]) -> list[Request]:
    """Join requests to single meters that ask the same at the same time, when they are many; kW adds up."""
    listed = list(requests)
    single = {request.owner.key for request in listed if request.owner.key.startswith("meter:")}
    if len(single) <= 6:
        return listed
    bundles: dict[tuple[object, ...], list[Request]] = {}
    for request in listed:
        is_single = request.owner.key in single
        alike = (
            request.owner.zone,
            request.program,
            request.start,
            request.end,
            request.look.state,
            request.is_test,
        )
        bundles.setdefault(alike if is_single else (request.event_ids,), []).append(request)
    return [_bundle(group) for group in bundles.values()]


def _bundle(group: list[Request]) -> Request:
    first = group[0]
    if not first.owner.key.startswith("meter:"):
        return first
    known = [request.kw for request in group if request.kw is not None]
    zone = first.owner.zone
    return replace(
        first,
        event_ids=tuple(event_id for request in group for event_id in request.event_ids),
        leap_event_ids=tuple(leap_id for request in group for leap_id in request.leap_event_ids),
        owner=Owner(
            key=f"single:{zone}", name="Single meters", zone=zone or "", timezone=first.owner.timezone
        ),
        kw=sum(known, Decimal(0)) if len(known) == len(group) else None,
        why=first.why if len(group) == 1 else f"{len(group)} meters asked one by one. {first.why}",
        meters=len(group),
    )


def join_touching(requests: Iterable[Request]) -> list[Request]:
    """Join requests that touch and say the same: hourly timeslots become one window.

    Hours that are over, live and still to come are one request, live as a whole.
    """
    open_ends: dict[tuple[object, ...], int] = {}
    joined: list[Request] = []
    for request in sorted(requests, key=lambda each: (each.start, each.rank, each.event_ids)):
        state = "GOES_ON" if request.look.state in GOES_ON else request.look.state
        alike = (request.owner.key, request.program, request.kw, state, request.is_voluntary, request.is_test)
        at = open_ends.get((alike, request.start))
        if at is None:
            joined.append(request)
            open_ends[(alike, request.end)] = len(joined) - 1
        else:
            joined[at] = _joined(joined[at], request)
            open_ends[(alike, request.end)] = at
    return joined


def _joined(before: Request, after: Request) -> Request:
    """Lengthen a request by the next one; the live one of the two leads."""
    lead = after if after.look.state in LIVE_STATES or before.look.state is State.DONE else before
    return replace(
        lead,
        trouble=lead.trouble or before.trouble or after.trouble,
        event_ids=before.event_ids + after.event_ids,
        leap_event_ids=before.leap_event_ids + after.leap_event_ids,
        start=before.start,
        end=after.end,
        recipients_id=after.recipients_id,
        is_out_of_step=before.is_out_of_step or after.is_out_of_step,
    )
