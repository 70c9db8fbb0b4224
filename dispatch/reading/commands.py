"""What was sent to devices, how far it has come, with the latest attempts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Exists, F, Min, OuterRef, Prefetch, Q, QuerySet, When
from django.http import QueryDict

from devices.models import (
    OPEN_COMMAND_STATES,
    AttemptOutcome,
    Command,
    CommandAttempt,
    CommandKind,
    CommandState,
    Device,
    DeviceKind,
    ScheduleSegment,
)
from devices.proof_queries import with_proof_ids
from dispatch.models import DispatchEvent
from dispatch.reading import words
from dispatch.reading.command_words import Standing, standing_of, what_it_is
from dispatch.reading.fleets import devices_behind
from dispatch.reading.listing import PAGE_SIZE, Filter, Tab, chosen, drop_down, ordering, tabs
from dispatch.reading.naming import owner_of, with_names
from dispatch.reading.proofs import NOTHING, Evidence, read_evidence

STATE_TABS = {
    "": "All",
    "pending": "Planned",
    "sent": "Sent",
    "acknowledged": "Acknowledged",
    "failed": "Failed",
    "expired": "Expired",
    "superseded": "Superseded",
}
OUTCOME_VERDICTS = {
    AttemptOutcome.STARTED: "plain",
    AttemptOutcome.ACKNOWLEDGED: "ok",
    AttemptOutcome.REJECTED: "bad",
    AttemptOutcome.ERROR: "bad",
    AttemptOutcome.LOST: "warn",
}
DUE_CHOICES = {
    "overdue": "Overdue",
    "hour": "Due in the past hour",
    "day": "Due in the past 24 h",
    "next-hour": "Due in the next hour",
    "next-day": "Due in the next 24 h",
}
RETRYABLE = (CommandState.FAILED, CommandState.SENT)
# Made in the order of their numbers; the key's index spares sorting all that was ever sent.
SORTS = {"due": "due_at", "made": "id", "attempts": "attempt_count"}
ATTEMPTS_SHOWN: Final = 20
COMMAND_COLUMNS: Final = (
    "id",
    "external_id",
    "device",
    "driver",
    "command",
    "version",
    "created_at",
    "due_at",
    "expires_at",
    "state",
    "standing",
    "attempts",
    "lease",
    "proof",
    "detail",
)
EVENTS_OFFERED: Final = 30
EXPORTED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, and how long the answer took."""

    started_at: datetime
    outcome: str
    verdict: str
    took: str
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """One command."""

    id: int
    device_id: int
    device: str
    external_id: str
    driver: str
    what: str
    version: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    state: str
    standing: Standing
    evidence: Evidence
    detail: str
    attempts: tuple[Attempt, ...]
    attempt_count: int
    may_retry: bool
    is_open: bool

    @property
    def older_attempts(self) -> int:
        """Count the attempts that are not listed."""
        return max(self.attempt_count - len(self.attempts), 0)


@dataclass(frozen=True, slots=True)
class CommandList:
    """The list with what stands above it."""

    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]
    is_filtered: bool

    @property
    def retryable(self) -> tuple[int, ...]:
        """List the commands shown that may be tried again."""
        return tuple(row.id for row in self.rows if row.may_retry)


def read_list(query: QueryDict, *, now: datetime, zone: tzinfo) -> CommandList:
    """Read one page of commands, the newest first. Eight queries, and one more where an event is chosen."""
    state = chosen(query, "state", allowed=STATE_TABS)
    filters = _filters(query, now=now, zone=zone)
    found = _found(query, filters, now=now)
    counted = dict(found.order_by().values_list("state").annotate(count=Count("id")))
    counts = {key: counted.get(key.upper(), 0) for key in STATE_TABS if key}
    counts[""] = sum(counted.values())
    shown = found.filter(state=state.upper()) if state else found
    order = ordering(query, offered=SORTS, default="-made")
    # Keys alone: whatever else is read of the rows before the page would be read for nothing.
    pages = Paginator(shown.order_by(*order).values_list("pk", flat=True), PAGE_SIZE)
    pages.count = counts[state]  # counted for the tabs already
    page = pages.get_page(query.get("page"))
    return CommandList(
        tabs=tabs(STATE_TABS, current=state, counts=counts),
        filters=filters,
        search=query.get("q", "").strip(),
        page=page,
        rows=_rows(list(page), now=now, zone=zone),
        is_filtered=bool(state or query.get("q", "").strip() or _picked(filters)),
    )


def export_rows(query: QueryDict, *, now: datetime, zone: tzinfo) -> Iterator[Row]:
    """Give the commands the list shows, all pages of them, for a file. Four queries each 500 rows."""
    state = chosen(query, "state", allowed=STATE_TABS)
    found = _found(query, _filters(query, now=now, zone=zone), now=now)
    shown = found.filter(state=state.upper()) if state else found
    order = ordering(query, offered=SORTS, default="-made")
    ids = list(shown.order_by(*order).values_list("id", flat=True))
    for start in range(0, len(ids), EXPORTED_AT_ONCE):
        yield from _rows(ids[start : start + EXPORTED_AT_ONCE], now=now, zone=zone)


def _rows(ids: Sequence[int], *, now: datetime, zone: tzinfo) -> tuple[Row, ...]:
    """Read commands in this order. Four queries."""
    by_id = with_attempts(Command.objects.all()).in_bulk(ids)
    return rows_of([by_id[each] for each in ids if each in by_id], now=now, zone=zone)


def command_cells(row: Row) -> list[str]:
    """Write a command as a row of a file; times are UTC."""
    return [
        str(row.id),
        row.external_id,
        row.device,
        row.driver,
        row.what,
        str(row.version),
        *(at.isoformat() for at in (row.created_at, row.due_at, row.expires_at)),
        row.state,
        row.standing.words,
        str(row.attempt_count),
        row.standing.lease,
        row.evidence.text,
        row.detail,
    ]


def _filters(query: QueryDict, *, now: datetime, zone: tzinfo) -> tuple[Filter, ...]:
    """Build the drop-downs. Two queries, for the drivers in use and for the events around now."""
    kinds = {value.lower(): str(label) for value, label in CommandKind.choices}
    devices = {value.lower(): str(label) for value, label in DeviceKind.choices}
    names = Device.objects.order_by("driver").values_list("driver", flat=True).distinct()
    drivers = {name: name for name in names}
    events = _events(query, now=now, zone=zone)
    return tuple(
        drop_down(
            name,
            label=label,
            everything=everything,
            options=options,
            current=chosen(query, name, allowed=options),
        )
        for name, label, everything, options in (
            ("kind", "Command", "All commands", kinds),
            ("driver", "Driver", "All drivers", drivers),
            ("device", "Device kind", "All kinds of device", devices),
            ("event", "Event", "All events", events),
            ("due", "Due", "Due at any time", DUE_CHOICES),
        )
    )


def _events(query: QueryDict, *, now: datetime, zone: tzinfo) -> dict[str, str]:
    """Offer the events of the day before and the day after, and the one that is chosen."""
    given = query.get("event", "")
    wanted = int(given) if given.isascii() and given.isdecimal() and len(given) <= 18 else 0
    near = Q(ends_at__gt=now - timedelta(days=1), starts_at__lt=now + timedelta(days=1))
    offered = DispatchEvent.objects.filter(near | Q(pk=wanted)).annotate(is_wanted=Q(pk=wanted))
    rows = with_names(offered).order_by(F("is_wanted").desc(), "-starts_at", "id")[:EVENTS_OFFERED]
    return {
        str(event.pk): f"{owner_of(event).name}, {words.programs(event.programs)} "
        f"{words.window_brief(event.starts_at, event.ends_at, now=now, zone=zone)}"
        for event in rows
    }


def _picked(filters: Iterable[Filter]) -> dict[str, str]:
    return {each.name: choice.key for each in filters for choice in each.choices if choice.is_chosen}


def _found(query: QueryDict, filters: Iterable[Filter], *, now: datetime) -> QuerySet[Command]:
    """Filter by the drop-downs, and by the device's name or id."""
    picked = _picked(filters)
    found = Command.objects.all()
    if "kind" in picked:
        found = found.filter(kind=picked["kind"].upper())
    if "driver" in picked:
        found = found.filter(device__driver=picked["driver"])
    if "device" in picked:
        found = found.filter(device__kind=picked["device"].upper())
    if "event" in picked:
        found = found.filter(of_event(int(picked["event"])))
    if "due" in picked:
        found = found.filter(_due(picked["due"], now=now))
    if search := query.get("q", "").strip():
        named = Q(external_id__icontains=search) | Q(name__icontains=search)
        found = found.filter(device__in=Device.objects.filter(named).values("id"))
    return found


def _due(choice: str, *, now: datetime) -> Q:
    hour, day = timedelta(hours=1), timedelta(days=1)
    return {
        "overdue": Q(due_at__lte=now, expires_at__gt=now, state__in=OPEN_COMMAND_STATES),
        "hour": Q(due_at__gt=now - hour, due_at__lte=now),
        "day": Q(due_at__gt=now - day, due_at__lte=now),
        "next-hour": Q(due_at__gt=now, due_at__lte=now + hour),
        "next-day": Q(due_at__gt=now, due_at__lte=now + day),
    }[choice]


def of_event(event_id: int) -> Q:
    """Match the commands that carry an event to its devices, and those that take it back. One query.

    A command carries it when its schedule does something within the event's window; what follows upon such
    a schedule and does nothing there takes it back.
    """
    event = DispatchEvent.objects.filter(pk=event_id).first()
    if event is None:
        return Q(pk__in=())
    there = ScheduleSegment.objects.filter(starts_at__lt=event.ends_at, ends_at__gt=event.starts_at)
    carries = there.filter(schedule=OuterRef("schedule"))
    before = there.filter(device=OuterRef("device"), schedule__version=OuterRef("schedule__version") - 1)
    return Q(device_id__in=devices_behind(event.recipients_id)) & (
        Exists(carries) | (Q(kind=CommandKind.CLEAR) & Exists(before))
    )


def with_attempts(commands: QuerySet[Command]) -> QuerySet[Any]:
    """Bring device, version, segments, proof and the latest attempts along; two queries more."""
    attempts = CommandAttempt.objects.order_by("-started_at", "-id")[:ATTEMPTS_SHOWN]
    segments = ScheduleSegment.objects.order_by("starts_at")
    first = CommandAttempt.objects.filter(command=OuterRef("pk")).order_by().values("command")
    return (
        with_proof_ids(commands.select_related("device", "schedule"))
        .annotate(first_try_at=first.annotate(at=Min("started_at")).values("at"))
        .prefetch_related(
            Prefetch("attempts", queryset=attempts, to_attr="tries"),
            Prefetch("schedule__segments", queryset=segments, to_attr="carried"),
        )
    )


def open_first(commands: QuerySet[Any], *, now: datetime) -> QuerySet[Any]:
    """Order commands so that set-points in force and what is still to be done come first, as they are due."""
    counts = Q(expires_at__gt=now, schedule__superseded_at__isnull=True)
    is_held = Q(kind=CommandKind.SETPOINT, state=CommandState.ACKNOWLEDGED)
    open_due = Case(When(counts & (Q(state__in=OPEN_COMMAND_STATES) | is_held), then="due_at"))
    return commands.annotate(open_due=open_due).order_by(F("open_due").asc(nulls_last=True), "-id")


def rows_of(commands: Sequence[Any], *, now: datetime, zone: tzinfo) -> tuple[Row, ...]:
    """Turn commands of `with_attempts` into rows."""
    known = read_evidence(commands)
    return tuple(
        _row(command, evidence=known.get(command.pk, NOTHING), now=now, zone=zone) for command in commands
    )


def _row(command: Any, *, evidence: Evidence, now: datetime, zone: tzinfo) -> Row:
    is_current = command.schedule.superseded_at is None and command.expires_at > now
    standing = standing_of(command, evidence=evidence, now=now, zone=zone)
    return Row(
        id=command.pk,
        device_id=command.device_id,
        device=str(command.device),
        external_id=command.device.external_id,
        driver=command.device.driver,
        what=what_it_is(command, command.schedule.carried, now=now, zone=zone),
        version=command.schedule.version,
        created_at=command.created_at,
        due_at=command.due_at,
        expires_at=command.expires_at,
        state=command.get_state_display(),
        standing=standing,
        evidence=evidence,
        detail=command.detail,
        attempts=tuple(_attempt(attempt) for attempt in command.tries),
        attempt_count=command.attempt_count,
        may_retry=is_current and command.state in RETRYABLE and command.due_at <= now,
        is_open=is_current and (command.state in OPEN_COMMAND_STATES or bool(standing.lease)),
    )


def _attempt(attempt: CommandAttempt) -> Attempt:
    took = ""
    if attempt.finished_at:
        seconds = (attempt.finished_at - attempt.started_at).total_seconds()
        took = f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    return Attempt(
        started_at=attempt.started_at,
        outcome=attempt.get_outcome_display(),
        verdict=OUTCOME_VERDICTS.get(AttemptOutcome(attempt.outcome), "plain"),
        took=took,
        detail=attempt.detail,
    )
