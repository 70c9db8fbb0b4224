"""The simulator's truth: every version of every event, in memory and, if asked, in a file."""

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from leapvpp.leap.values import Level, Timeslot, UtcTime, encode_request, timeslot_as_json

REAL_TIME_TYPES = frozenset({"5m", "15m"})
Ids = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one event; ``version`` is the ledger's own count, unknown to Leap's bodies."""

    level: Level
    recipient_id: str
    meter_ids: tuple[str, ...]
    timeslot: Timeslot
    partner_references: tuple[str, ...] = ()
    version: int = 0

    @property
    def event_id(self) -> str:
        return self.timeslot.event_id


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch search as Leap documents it; both levels, as the names of the ids differ."""

    start_date: UtcTime
    end_date: UtcTime
    exclude_real_time_events: bool = True
    exclude_voluntary_events: bool = False
    page_token: str | None = None
    meter_ids: Ids | None = None
    meter_event_ids: Ids | None = None
    market_group_ids: Ids | None = None
    market_group_event_ids: Ids | None = None

    def __post_init__(self) -> None:
        if not self.start_date < self.end_date <= self.start_date + timedelta(days=31):
            raise ValueError("end_date must be after start_date and at most 31 days later")

    def matches(self, event: LedgerEvent) -> bool:
        """Whether the event overlaps the window and passes every filter that is set."""
        slot = event.timeslot
        at_meter = event.level is Level.METER
        event_ids = self.meter_event_ids if at_meter else self.market_group_event_ids
        recipient_ids = self.meter_ids if at_meter else self.market_group_ids
        return (
            slot.start_time < self.end_date
            and slot.end_time > self.start_date
            and (event_ids is None or event.event_id in event_ids)
            and (recipient_ids is None or event.recipient_id in recipient_ids)
            and not (self.exclude_real_time_events and REAL_TIME_TYPES.issuperset(slot.dispatch_event_types))
            and not (self.exclude_voluntary_events and bool(slot.is_voluntary))
        )


class Ledger:
    """Events by id with all their versions; safe to use from several threads."""

    def __init__(self, *, path: Path | None = None) -> None:
        """Start empty, or with what an earlier run left at ``path``."""
        self._path = path
        self._lock = threading.Lock()
        self._versions: dict[str, list[LedgerEvent]] = {}
        if path is not None and path.exists():
            for event in msgspec.json.decode(path.read_bytes(), type=list[LedgerEvent]):
                self._versions.setdefault(event.event_id, []).append(event)

    def put(self, event: LedgerEvent) -> LedgerEvent:
        """Store the event as the next version of its id and return it with that number."""
        with self._lock:
            versions = self._versions.setdefault(event.event_id, [])
            stored = msgspec.structs.replace(event, version=len(versions) + 1)
            versions.append(stored)
            self._save()
        return stored

    def current(self) -> tuple[LedgerEvent, ...]:
        """Return the latest version of every event, by start and id."""
        with self._lock:
            latest = [versions[-1] for versions in self._versions.values()]
        return tuple(sorted(latest, key=lambda event: (event.timeslot.start_time, event.event_id)))

    def versions(self, event_id: str) -> tuple[LedgerEvent, ...]:
        with self._lock:
            return tuple(self._versions.get(event_id, ()))

    def search(self, *, level: Level, query: SearchQuery) -> list[dict[str, object]]:
        """Return the matching events as the ``results`` of a search."""
        found = [event for event in self.current() if event.level is level and query.matches(event)]
        return as_dispatches(found, with_flags=True)

    def _save(self) -> None:
        if self._path is not None:
            everything = [event for versions in self._versions.values() for event in versions]
            unfinished = self._path.with_suffix(".unfinished")
            unfinished.write_bytes(encode_request(everything))
            unfinished.replace(self._path)


def as_dispatches(events: Iterable[LedgerEvent], *, with_flags: bool) -> list[dict[str, object]]:
    """Return events of one level in Leap's shape, timeslots gathered by recipient.

    A search tells a communication test in the timeslot (``with_flags``), a webhook at the top.
    """
    gathered: dict[tuple[str, tuple[str, ...]], tuple[LedgerEvent, list[dict[str, object]]]] = {}
    for event in events:
        slot = timeslot_as_json(event.timeslot, level=event.level)
        if with_flags:
            slot["communication_test"] = event.timeslot.is_test
        gathered.setdefault((event.recipient_id, event.meter_ids), (event, []))[1].append(slot)
    return [_as_dispatch(event, timeslots) for event, timeslots in gathered.values()]


def _as_dispatch(event: LedgerEvent, timeslots: Sequence[dict[str, object]]) -> dict[str, object]:
    dispatch: dict[str, object] = {event.level.recipient_field: event.recipient_id}
    if event.level is Level.GROUP:
        dispatch |= {"meter_ids": event.meter_ids, "partner_references": event.partner_references}
    elif event.partner_references:
        dispatch["partner_reference"] = event.partner_references[0]
    return dispatch | {"timeslots": timeslots}
