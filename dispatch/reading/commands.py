"""What was sent to devices, with every attempt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import QueryDict

from devices.models import (
    AttemptOutcome,
    Command,
    CommandAttempt,
    CommandKind,
    CommandState,
    DeviceKind,
)
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, ordering, page_of, tabs

STATE_TABS = {
    "": "All",
    "pending": "Pending",
    "sent": "Sent",
    "acknowledged": "Acknowledged",
    "failed": "Failed",
    "expired": "Expired",
    "superseded": "Superseded",
}
STATE_VERDICTS = {
    CommandState.PENDING: "plain",
    CommandState.SENT: "warn",
    CommandState.ACKNOWLEDGED: "ok",
    CommandState.FAILED: "bad",
    CommandState.EXPIRED: "bad",
    CommandState.SUPERSEDED: "plain",
}
OUTCOME_VERDICTS = {
    AttemptOutcome.STARTED: "plain",
    AttemptOutcome.ACKNOWLEDGED: "ok",
    AttemptOutcome.REJECTED: "bad",
    AttemptOutcome.ERROR: "bad",
    AttemptOutcome.LOST: "warn",
}
RETRYABLE = (CommandState.FAILED, CommandState.SENT)
SORTS = {"due": "due_at", "made": "created_at", "attempts": "attempt_count"}


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
    what: str
    version: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    state: str
    verdict: str
    detail: str
    attempts: tuple[Attempt, ...]
    may_retry: bool


@dataclass(frozen=True, slots=True)
class CommandList:
    """The list with what stands above it."""

    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


def read_list(query: QueryDict, *, now: datetime) -> CommandList:
    """Read one page of commands, the newest first. Four queries."""
    state = chosen(query, "state", allowed=STATE_TABS)
    kind = chosen(query, "kind", allowed=[value.lower() for value in CommandKind.values])
    device_kind = chosen(query, "device", allowed=[value.lower() for value in DeviceKind.values])
    search = query.get("q", "").strip()
    found = _found(kind=kind, device_kind=device_kind, search=search)
    counted = dict(found.values_list("state").annotate(count=Count("id")))
    counts = {key: counted.get(key.upper(), 0) for key in STATE_TABS if key}
    shown = found.filter(state=state.upper()) if state else found
    order = ordering(query, offered=SORTS, default="-made")
    page = page_of(with_attempts(shown).order_by(*order), number=query.get("page", ""))
    return CommandList(
        tabs=tabs(STATE_TABS, current=state, counts={"": sum(counted.values()), **counts}),
        filters=(
            _choices("kind", "Command", "All commands", CommandKind.choices, kind),
            _choices("device", "Device kind", "All kinds of device", DeviceKind.choices, device_kind),
        ),
        search=search,
        page=page,
        rows=rows_of(page, now=now),
    )


def _choices(
    name: str, label: str, everything: str, options: Iterable[tuple[Any, Any]], current: str
) -> Filter:
    shown = {str(value).lower(): str(words) for value, words in options}
    return drop_down(name, label=label, everything=everything, options=shown, current=current)


def _found(*, kind: str, device_kind: str, search: str) -> QuerySet[Command]:
    """Filter by what is sent, the kind of device and the device's name or id."""
    found = Command.objects.all()
    if kind:
        found = found.filter(kind=kind.upper())
    if device_kind:
        found = found.filter(device__kind=device_kind.upper())
    if search:
        found = found.filter(Q(device__external_id__icontains=search) | Q(device__name__icontains=search))
    return found


def with_attempts(commands: QuerySet[Command]) -> QuerySet[Any]:
    """Bring device, version, number of segments and attempts along; one query more."""
    attempts = CommandAttempt.objects.order_by("-started_at", "-id")
    return (
        commands.select_related("device", "schedule")
        .annotate(segment_count=Count("schedule__segments", distinct=True))
        .prefetch_related(Prefetch("attempts", queryset=attempts, to_attr="tries"))
    )


def rows_of(commands: Iterable[Any], *, now: datetime) -> tuple[Row, ...]:
    """Turn commands of `with_attempts` into rows."""
    return tuple(_row(command, now=now) for command in commands)


def _row(command: Any, *, now: datetime) -> Row:
    return Row(
        id=command.pk,
        device_id=command.device_id,
        device=str(command.device),
        external_id=command.device.external_id,
        what=_what(command),
        version=command.schedule.version,
        created_at=command.created_at,
        due_at=command.due_at,
        expires_at=command.expires_at,
        state=command.get_state_display(),
        verdict=STATE_VERDICTS.get(CommandState(command.state), "plain"),
        detail=command.detail,
        attempts=tuple(_attempt(attempt) for attempt in command.tries),
        may_retry=_may_retry(command, now=now),
    )


def _may_retry(command: Any, *, now: datetime) -> bool:
    """Say whether another try makes sense: not done, not over, and no newer schedule took its place."""
    is_current = command.schedule.superseded_at is None
    return is_current and command.state in RETRYABLE and command.expires_at > now


def _what(command: Any) -> str:
    """Say what the command carries."""
    if command.kind == CommandKind.CLEAR:
        return "Back to normal"
    return f"Schedule, {command.segment_count} segment{'' if command.segment_count == 1 else 's'}"


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
