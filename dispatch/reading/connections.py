"""Customers in Leap Connect: where each stands, whom to remind, and the meters they became."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Page
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, QuerySet, Value, When
from django.http import QueryDict

from dispatch.reading.listing import Tab, chosen, page_of, tabs
from meters.connecting import meters_by_refid
from meters.domain.connecting import (
    AUTHORIZATION,
    BANDS,
    SESSION_ENDS_AFTER,
    Standing,
    link_of,
    reminder,
)
from meters.models import Meter
from meters.onboarding_models import Connection, ConnectionStep, MeterReference

TABS: Final = {
    "": "All",
    "remind": "To remind",
    "open": "Under way",
    "authorized": "Authorized",
    "meter": "With a meter",
    "sent": "Not opened",
}
METER: Final = "METER"
IN_TABS: Final = {
    "remind": (Standing.LEFT, Standing.FAILED),
    "open": (Standing.OPENED, Standing.AUTHORIZING),
    "authorized": (Standing.AUTHORIZED, Standing.COMPLETED),
    "meter": (METER,),
    "sent": (Standing.SENT,),
}
LOOKS: Final = {
    Standing.SENT: "plain",
    Standing.OPENED: "plain",
    Standing.AUTHORIZING: "plain",
    Standing.FAILED: "bad",
    Standing.LEFT: "warn",
    Standing.COMPLETED: "ok",
    Standing.AUTHORIZED: "ok",
    METER: "ok",
}
METER_USUALLY_WITHIN: Final = timedelta(days=3)
"""Leap has the data of a utility in one or two days, it says, and then makes the meter."""
TRIES_FOR: Final = BANDS[0][0]
REMIND_WITHIN: Final = BANDS[-1][0]
METERS_SHOWN: Final = 3
STEP_WORDS: Final = {
    "CREATED": "Opened the link",
    "UPDATED": "Went on to the next step",
    "CLOSED": "Left before the end",
    "COMPLETED": "Came to the end",
}
AUTHORIZATION_WORDS: Final = {
    "INITIATED": "At the login of {utility}",
    "COMPLETED": "Authorized at {utility}",
    "FAILED": "Failed at {utility}",
}
STEP_LOOKS: Final = {"FAILED": "bad", "CLOSED": "warn", "COMPLETED": "ok"}


@dataclass(frozen=True, slots=True)
class Row:
    """One connection. `link`: "" without an address of Leap Connect; `remind`, `late`: "" for nothing."""

    connection: Connection
    name: str
    look: str
    words: str
    since: datetime | None
    remind: str
    late: str
    link: str
    meters: tuple[Meter, ...]

    @property
    def meters_hidden(self) -> int:
        """Count the meters that a line does not name."""
        return max(0, len(self.meters) - METERS_SHOWN)


@dataclass(frozen=True, slots=True)
class ConnectionList:
    """The list with its tabs."""

    has_url: bool
    tabs: tuple[Tab, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class StepLine:
    """One event of a customer's story, in words."""

    look: str
    words: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ConnectionPage:
    """One connection with its story, newest first."""

    row: Row
    steps: tuple[StepLine, ...]


def with_stands(connections: QuerySet[Connection], *, now: datetime) -> QuerySet[Any]:
    """Add `stands`: the standing as of now, METER once a meter has appeared."""
    named = Meter.objects.filter(partner_reference=OuterRef("partner_reference"))
    authorized = MeterReference.objects.filter(reference=OuterRef("partner_reference"))
    is_silent = Q(standing__in=IN_TABS["open"], heard_at__lte=now - SESSION_ENDS_AFTER)
    return connections.annotate(
        stands=Case(
            When(Exists(named) | Exists(authorized), then=Value(METER)),
            When(is_silent, then=Value(str(Standing.LEFT))),
            default=F("standing"),
        )
    )


def read_list(query: QueryDict, *, now: datetime) -> ConnectionList:
    """Read one page of connections, the latest heard of first. Five queries."""
    which, found = chosen(query, "show", allowed=TABS), _found(query, now=now)
    counted = dict(found.order_by().values_list("stands").annotate(count=Count("pk")))
    counts = {key: sum(counted.get(one, 0) for one in IN_TABS[key]) for key in IN_TABS}
    shown = found.filter(stands__in=IN_TABS[which]) if which else found
    page = page_of(
        shown.order_by(F("heard_at").desc(nulls_last=True), "-first_at", "-pk"), number=query.get("page", "")
    )
    return ConnectionList(
        has_url=bool(settings.LEAP_CONNECT_URL),
        tabs=tabs(TABS, current=which, counts={"": sum(counted.values()), **counts}),
        search=query.get("q", "").strip(),
        page=page,
        rows=rows_of(list(page), now=now),
    )


def _found(query: QueryDict, *, now: datetime) -> QuerySet[Any]:
    search = query.get("q", "").strip()
    found = with_stands(Connection.objects.all(), now=now)
    if not search:
        return found
    return found.filter(Q(partner_reference__icontains=search) | Q(customer_name__icontains=search))


def to_remind(*, now: datetime) -> tuple[int, datetime | None]:
    """Count those who left or failed in the last three days, and say when the latest did. One query."""
    lately = Connection.objects.filter(heard_at__gt=now - REMIND_WITHIN, heard_at__lte=now - TRIES_FOR)
    row = with_stands(lately, now=now).filter(stands__in=IN_TABS["remind"])
    found = row.aggregate(count=Count("pk"), latest=Max("heard_at"))
    return found["count"], found["latest"]


def read_connection(connection_id: int, *, now: datetime) -> ConnectionPage:
    """Read one connection with its story. Four queries. Raises Connection.DoesNotExist."""
    connection = with_stands(Connection.objects.all(), now=now).get(pk=connection_id)
    (row,) = rows_of([connection], now=now)
    steps = ConnectionStep.objects.filter(connection_id=connection_id).order_by("-pk")[:200]
    return ConnectionPage(row=row, steps=tuple(_step(one) for one in steps))


def rows_of(connections: Sequence[Any], *, now: datetime) -> tuple[Row, ...]:
    """Say of connections with `stands` how they stand, and which meters they became. Two queries."""
    meters = meters_by_refid(connection.partner_reference for connection in connections)
    return tuple(_row(each, meters[each.partner_reference], now=now) for each in connections)


def _row(connection: Any, meters: Sequence[Meter], *, now: datetime) -> Row:
    stands = connection.stands
    is_silent = stands == Standing.LEFT and connection.standing != Standing.LEFT
    since = connection.heard_at if is_silent else connection.standing_since
    late = _late(stands, since=since, now=now)
    return Row(
        connection=connection,
        name=str(connection),
        look="warn" if late.startswith("No meter") else LOOKS[stands],
        words=words_of(
            stands,
            utility=connection.utility_name,
            others=connection.authorized_utilities,
            is_silent=is_silent,
        ),
        since=since,
        remind=reminder(stands, since=since, now=now),
        late=late,
        link=link_to(connection),
        meters=tuple(meters),
    )


def words_of(stands: str, *, utility: str, others: Sequence[str] = (), is_silent: bool = False) -> str:
    """Say where a customer stands.

    >>> words_of("FAILED", utility="SCE"), words_of("AUTHORIZED", utility="PGE", others=["PGE", "SCE"])
    ('Failed at SCE', 'Authorized at PGE, SCE')
    """
    at = ", ".join(others) or utility or "the utility"
    return {
        Standing.SENT: "Not opened yet",
        Standing.OPENED: "Opened",
        Standing.AUTHORIZING: f"At the login of {utility or 'a utility'}",
        Standing.FAILED: f"Failed at {utility or 'the utility'}",
        Standing.LEFT: "Left without a word" if is_silent else "Left early",
        Standing.COMPLETED: "Came to the end",
        Standing.AUTHORIZED: f"Authorized at {at}",
        METER: "Meter appeared",
    }[stands]


def _late(stands: str, *, since: datetime | None, now: datetime) -> str:
    """Say what to expect of a meter that has not appeared yet."""
    if stands not in IN_TABS["authorized"] or since is None:
        return ""
    if now - since < METER_USUALLY_WITHIN:
        return "The meter usually appears in 1–2 days."
    return "No meter has appeared in three days: ask Leap, naming the refId."


def link_to(connection: Connection) -> str:
    """Return the customer's address of Leap Connect, "" while LEAP_CONNECT_URL is not set."""
    if not settings.LEAP_CONNECT_URL:
        return ""
    return link_of(
        settings.LEAP_CONNECT_URL,
        reference=connection.partner_reference,
        region=connection.transmission_region,
        utilities=connection.utilities,
    )


def _step(one: ConnectionStep) -> StepLine:
    table = AUTHORIZATION_WORDS if one.kind == AUTHORIZATION else STEP_WORDS
    words = table.get(one.status, f"Leap says {one.status}" + (" of {utility}" if one.utility_name else ""))
    utility = one.utility_name or "a utility"
    return StepLine(
        look=STEP_LOOKS.get(one.status, "plain"),
        words=words.replace("{utility}", utility),
        at=one.received_at,
    )


def export_rows(query: QueryDict, *, now: datetime) -> Iterable[list[str]]:
    """Write the connections that the list shows, with their links. Three queries."""
    which, found = chosen(query, "show", allowed=TABS), _found(query, now=now)
    shown = found.filter(stands__in=IN_TABS[which]) if which else found
    for row in rows_of(list(shown.order_by("pk")), now=now):
        one = row.connection
        ids = ";".join(meter.meter_id for meter in row.meters)
        yield [
            one.partner_reference,
            one.customer_name,
            one.transmission_region,
            one.utilities,
            row.words,
            row.since.isoformat() if row.since else "",
            row.remind,
            row.link,
            ids,
        ]
