"""Who rests, takes part or leaves: requests to Leap with what came of each meter, and Leap's idle periods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Page
from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from dispatch.models import Override
from dispatch.reading.listing import Tab, chosen, page_of, tabs
from meters.domain.participation import Days
from meters.models import Meter
from meters.participation_models import (
    OPEN_STATES,
    IdleListing,
    IdlePeriod,
    ParticipationItem,
    ParticipationKind,
    ParticipationOutcome,
    ParticipationRequest,
    ParticipationState,
)

LOOK_AT: Final = (ParticipationState.PARTLY, ParticipationState.FAILED, ParticipationState.UNCLEAR)
LIST_TABS: Final = {"": "All requests", "open": "Under way", "look": "Not as asked", "idle": "Idle periods"}
STATES: Final = {"open": OPEN_STATES, "look": LOOK_AT}
VERDICTS: Final = {
    ParticipationState.WAITING: "plain",
    ParticipationState.SENDING: "plain",
    ParticipationState.DONE: "ok",
    ParticipationState.PARTLY: "warn",
    ParticipationState.FAILED: "bad",
    ParticipationState.UNCLEAR: "warn",
    ParticipationState.WITHDRAWN: "plain",
}
LOOKS: Final = {
    ParticipationOutcome.PENDING: "plain",
    ParticipationOutcome.ACCEPTED: "ok",
    ParticipationOutcome.DROPPED: "bad",
    ParticipationOutcome.REFUSED: "bad",
    ParticipationOutcome.EXPIRED: "bad",
    ParticipationOutcome.UNCLEAR: "warn",
    ParticipationOutcome.WITHDRAWN: "plain",
}
OUTCOME_TABS: Final = {
    "": "All",
    "accepted": "Accepted",
    "dropped": "Dropped",
    "refused": "Refused",
    "pending": "Not yet",
    "other": "Other",
}
OTHER: Final = (
    ParticipationOutcome.EXPIRED,
    ParticipationOutcome.UNCLEAR,
    ParticipationOutcome.WITHDRAWN,
)
YESTERDAY: Final = timedelta(days=1)
"""A local day may still last while it is over in UTC."""
COLUMNS: Final = (
    "meter_id",
    "partner_reference",
    "kind",
    "first_day",
    "last_day",
    "timezone",
    "starts_at_utc",
    "ends_at_utc",
    "outcome",
    "detail",
)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request, in words."""

    request: ParticipationRequest
    days: str
    verdict: str
    meters: int
    accepted: int
    pending: int

    @property
    def is_open(self) -> bool:
        """Say whether it may still move."""
        return self.request.state in OPEN_STATES

    @property
    def settled_percent(self) -> int:
        """Say how far it is."""
        return (self.meters - self.pending) * 100 // self.meters if self.meters else 100


@dataclass(frozen=True, slots=True)
class IdleRow:
    """An idle period that Leap lists."""

    meter_id: str
    name: str
    timezone: str
    starts_on: date
    ends_on: date
    days: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class ParticipationList:
    """The list with its tabs: requests, or idle periods."""

    tabs: tuple[Tab, ...]
    page: Page[Any]
    rows: tuple[RequestRow, ...]
    idle: tuple[IdleRow, ...]
    is_idle: bool
    listing: IdleListing | None
    has_key: bool


def read_list(query: QueryDict, *, now: datetime) -> ParticipationList:
    """Read one page of requests, newest first, or of the idle periods now and to come. Six queries."""
    show = chosen(query, "show", allowed=LIST_TABS)
    requests = ParticipationRequest.objects.all()
    by_state = dict(requests.order_by().values_list("state").annotate(count=Count("id")))
    coming = IdlePeriod.objects.filter(ends_on__gte=now.date() - YESTERDAY)
    counts = {
        "": sum(by_state.values()),
        "idle": coming.count(),
        **{key: sum(by_state.get(state, 0) for state in states) for key, states in STATES.items()},
    }
    number = query.get("page", "")
    is_idle = show == "idle"
    if is_idle:
        idle = coming.select_related("meter").order_by("starts_on", "meter__name", "id")
        page: Page[Any] = page_of(idle, number=number)
    else:
        shown = requests.filter(state__in=STATES[show]) if show else requests
        page = page_of(_counted(shown).order_by("-pk"), number=number)
    return ParticipationList(
        tabs=tabs(LIST_TABS, current=show, counts=counts),
        page=page,
        rows=() if is_idle else tuple(row_of(each) for each in page),
        idle=tuple(_idle_row(each, today=now.date()) for each in page) if is_idle else (),
        is_idle=is_idle,
        listing=IdleListing.objects.first(),
        has_key=bool(settings.LEAP_API_KEY),
    )


def _counted(requests: QuerySet[ParticipationRequest]) -> QuerySet[Any]:
    accepted, pending = ParticipationOutcome.ACCEPTED, ParticipationOutcome.PENDING
    return requests.annotate(
        meters=Count("items"),
        accepted=Count("items", filter=Q(items__outcome=accepted)),
        pending=Count("items", filter=Q(items__outcome=pending)),
    )


def row_of(request: Any) -> RequestRow:
    """Put a counted request in words."""
    return RequestRow(
        request=request,
        days=str(Days(request.starts_on, request.ends_on)),
        verdict=VERDICTS[ParticipationState(request.state)],
        meters=request.meters,
        accepted=request.accepted,
        pending=request.pending,
    )


def _idle_row(period: IdlePeriod, *, today: date) -> IdleRow:
    return IdleRow(
        meter_id=period.meter.meter_id,
        name=str(period.meter),
        timezone=period.meter.timezone,
        starts_on=period.starts_on,
        ends_on=period.ends_on,
        days=str(Days(period.starts_on, period.ends_on)),
        is_running=period.starts_on <= today,
    )


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What came of one meter. `ends_at` None: without an end."""

    meter_id: str
    name: str
    timezone: str
    starts_at: datetime
    ends_at: datetime | None
    outcome: str
    look: str
    detail: str


@dataclass(frozen=True, slots=True)
class RequestPage:
    """One request with a page of its meters. `gates`: opt-outs made with it that still stand."""

    row: RequestRow
    tabs: tuple[Tab, ...]
    page: Page[Any]
    items: tuple[ItemRow, ...]
    gates: int
    may_withdraw: bool
    undo: str
    undo_verb: str
    not_accepted: int


UNDO: Final = {
    ParticipationKind.IDLE: (ParticipationKind.END_IDLE, "End this idle period…"),
    ParticipationKind.DISENROLL: (ParticipationKind.PARTICIPATE, "Let them participate again…"),
    ParticipationKind.END_IDLE: (ParticipationKind.IDLE, "Let them rest after all…"),
    ParticipationKind.PARTICIPATE: (ParticipationKind.IDLE, "Let them rest…"),
}


def read_request(request_id: int, query: QueryDict, *, now: datetime) -> RequestPage:
    """Read one request. Five queries.

    Raises:
        ParticipationRequest.DoesNotExist: there is none.
    """
    row = row_of(_counted(ParticipationRequest.objects.filter(pk=request_id)).get())
    request = row.request
    show = chosen(query, "outcome", allowed=OUTCOME_TABS)
    items = ParticipationItem.objects.filter(request=request_id)
    by_outcome = dict(items.order_by().values_list("outcome").annotate(count=Count("id")))
    counts = {key: by_outcome.get(key.upper(), 0) for key in OUTCOME_TABS if key not in {"", "other"}}
    counts |= {"": row.meters, "other": sum(by_outcome.get(each, 0) for each in OTHER)}
    page = page_of(_of_tab(items, show).select_related("meter").order_by("pk"), number=query.get("page", ""))
    gates = items.filter(gate_id__isnull=False).values("gate_id")
    undo, undo_verb = UNDO[ParticipationKind(request.kind)]
    return RequestPage(
        row=row,
        tabs=tabs(OUTCOME_TABS, current=show, counts=counts),
        page=page,
        items=tuple(_item_row(each) for each in page),
        gates=Override.objects.filter(pk__in=gates, ended_at__isnull=True, ends_at__gt=now).count(),
        may_withdraw=request.state == ParticipationState.WAITING and not request.may_have_arrived,
        undo=undo if row.accepted else "",
        undo_verb=undo_verb,
        not_accepted=0 if row.is_open else row.meters - row.accepted,
    )


def _of_tab(items: QuerySet[ParticipationItem], show: str) -> QuerySet[ParticipationItem]:
    if show == "other":
        return items.filter(outcome__in=OTHER)
    return items.filter(outcome=show.upper()) if show else items


def _item_row(item: ParticipationItem) -> ItemRow:
    return ItemRow(
        meter_id=item.meter.meter_id,
        name=str(item.meter),
        timezone=item.timezone,
        starts_at=item.starts_at,
        ends_at=item.ends_at,
        outcome=item.get_outcome_display(),
        look=LOOKS[ParticipationOutcome(item.outcome)],
        detail=item.detail,
    )


def export_cells(request: ParticipationRequest) -> Iterator[Sequence[str]]:
    """Yield what came of every meter, as cells of `COLUMNS`."""
    items = ParticipationItem.objects.filter(request=request).select_related("meter").order_by("pk")
    for item in items.iterator(chunk_size=1000):
        yield (
            item.meter.meter_id,
            item.meter.partner_reference,
            request.kind,
            request.starts_on.isoformat(),
            request.ends_on.isoformat() if request.ends_on else "",
            item.timezone,
            _utc(item.starts_at),
            _utc(item.ends_at) if item.ends_at else "",
            item.outcome,
            item.detail,
        )


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class OfMeter:
    """A meter's participation to come: its idle periods at Leap, and the latest requests about it."""

    idle: tuple[IdleRow, ...]
    asked: tuple[tuple[ParticipationItem, str, str], ...]


def read_of_meter(meter: Meter, *, now: datetime) -> OfMeter:
    """Read what is coming for one meter. Two queries."""
    periods = IdlePeriod.objects.filter(meter=meter, ends_on__gte=now.date() - YESTERDAY)
    items = ParticipationItem.objects.filter(meter=meter).select_related("request").order_by("-pk")[:5]
    return OfMeter(
        idle=tuple(
            _idle_row(each, today=now.date())
            for each in periods.select_related("meter").order_by("starts_on", "id")[:20]
        ),
        asked=tuple(
            (
                item,
                str(Days(item.request.starts_on, item.request.ends_on)),
                LOOKS[ParticipationOutcome(item.outcome)],
            )
            for item in items
        ),
    )


@dataclass(frozen=True, slots=True)
class IdleSpan:
    """Days on which Leap lists meters as idle, by each meter's own clock."""

    days: str
    meters: int


def idle_spans(*, first: date, days: int) -> tuple[IdleSpan, ...]:
    """Say who is idle in days that a calendar shows, alike periods together. One query."""
    last = first + (days - 1) * timedelta(days=1)
    periods = IdlePeriod.objects.filter(starts_on__lte=last, ends_on__gte=first)
    alike = periods.values_list("starts_on", "ends_on").annotate(meters=Count("meter", distinct=True))
    return tuple(
        IdleSpan(days=str(Days(starts_on, ends_on)), meters=meters)
        for starts_on, ends_on, meters in alike.order_by("starts_on", "ends_on")
    )
