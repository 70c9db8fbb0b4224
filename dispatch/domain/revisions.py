"""What one timeslot says about its event, and what a new version of it changes.

Pure values. Power is kW with three places; times are aware UTC; windows are half-open.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

Content = dict[str, object]

_THOUSANDTH = Decimal("0.001")
# Lists whose order means nothing: Leap's search and its webhook may list them differently.
_SETS = ("dispatch_event_types", "programs")


class Kind(StrEnum):
    """What a revision did to its event."""

    CREATED = "CREATED"
    MODIFIED = "MODIFIED"
    CANCELLED = "CANCELLED"
    ENDED_EARLY = "ENDED_EARLY"
    EXTENDED = "EXTENDED"
    REINSTATED = "REINSTATED"


class Test(StrEnum):
    """Which kind of test an event is; NONE for a real one."""

    NONE = ""
    COMMUNICATION = "COMMUNICATION"
    INTEGRATION = "INTEGRATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFields:
    """Everything an event's current revision says.

    `energy_kw` is power, None for the maximum. `priority_rank` 1 is the highest. `recipients` is the
    digest of the set of meters named.
    """

    starts_at: datetime
    ends_at: datetime
    is_cancelled: bool
    energy_kw: Decimal | None
    nomination_kw: Decimal | None
    priority_rank: int
    is_voluntary: bool
    cap: str
    dispatch_event_types: tuple[str, ...]
    programs: tuple[str, ...]
    test: str
    market_group_id: str
    recipients: str

    def as_content(self) -> Content:
        """Return the fields under the names and in the forms of the REST API."""
        return {
            "start_time": as_utc_text(self.starts_at),
            "end_time": as_utc_text(self.ends_at),
            "cancelled": self.is_cancelled,
            "energy_kw": _as_number(self.energy_kw),
            "nomination_kw": _as_number(self.nomination_kw),
            "priority": self.priority_rank,
            "is_voluntary": self.is_voluntary,
            "performance_compensation_cap": self.cap,
            "dispatch_event_types": list(self.dispatch_event_types),
            "programs": list(self.programs),
            "test": self.test.lower() or None,
            "market_group_id": self.market_group_id or None,
            "meter_ids": self.recipients,
        }

    @property
    def digest(self) -> str:
        """The hash of the content; two timeslots that say the same have the same."""
        canonical = json.dumps(_comparable(self.as_content()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def cancelled(self) -> EventFields:
        """Return the same event, cancelled."""
        return replace(self, is_cancelled=True)


def fields_from_content(content: Content) -> EventFields:
    """Return the fields that `as_content` wrote."""
    return EventFields(
        starts_at=datetime.fromisoformat(str(content["start_time"])),
        ends_at=datetime.fromisoformat(str(content["end_time"])),
        is_cancelled=content["cancelled"] is True,
        energy_kw=_as_kw(content["energy_kw"]),
        nomination_kw=_as_kw(content["nomination_kw"]),
        priority_rank=int(str(content["priority"])),
        is_voluntary=content["is_voluntary"] is True,
        cap=str(content["performance_compensation_cap"]),
        dispatch_event_types=_as_words(content["dispatch_event_types"]),
        programs=_as_words(content["programs"]),
        test=str(content["test"] or "").upper(),
        market_group_id=str(content["market_group_id"] or ""),
        recipients=str(content["meter_ids"]),
    )


def changes_between(old: EventFields, new: EventFields) -> dict[str, list[object]]:
    """Return `{field: [old, new]}` for what differs; meters by the digests of their sets."""
    before, after = old.as_content(), new.as_content()
    told, tells = _comparable(before), _comparable(after)
    return {name: [before[name], after[name]] for name in before if told[name] != tells[name]}


def kind_of_change(old: EventFields, new: EventFields, *, at: datetime) -> Kind:
    """Return what the step from `old` to `new`, heard of at `at`, is called.

    Before the start a moved window is MODIFIED, or EXTENDED when only its end grows. From the start
    on, an earlier end is ENDED_EARLY: Leap sends it up to minutes after the fact, with `cancelled` false.
    Source: Leap, "Dispatch Event Processing", "Updates to Existing Events".
    """
    if new.is_cancelled and not old.is_cancelled:
        return Kind.CANCELLED
    if old.is_cancelled and not new.is_cancelled:
        return Kind.REINSTATED
    if new.starts_at == old.starts_at and new.ends_at > old.ends_at:
        return Kind.EXTENDED
    if new.starts_at == old.starts_at and new.ends_at < old.ends_at and old.starts_at <= at:
        return Kind.ENDED_EARLY
    return Kind.MODIFIED


def is_ended_early_after(kind: Kind, *, old: EventFields, new: EventFields, was: bool) -> bool:
    """Say whether the event counts as ended early once a revision of this kind is in."""
    if kind is Kind.ENDED_EARLY:
        return True
    is_window_moved = (old.starts_at, old.ends_at) != (new.starts_at, new.ends_at)
    return was and not is_window_moved and kind is not Kind.REINSTATED


def recipients_digest(meter_ids: tuple[str, ...]) -> str:
    """Return the name of a set of meters: the hash of its sorted ids."""
    return hashlib.sha256("\n".join(sorted(set(meter_ids))).encode()).hexdigest()


def as_utc_text(moment: datetime) -> str:
    """Return ISO 8601 in UTC, ending in Z.

    >>> as_utc_text(datetime(2026, 1, 2, 3, tzinfo=UTC))
    '2026-01-02T03:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _comparable(content: Content) -> Content:
    return {
        name: sorted(map(str, value)) if name in _SETS and isinstance(value, list) else value
        for name, value in content.items()
    }


def _as_number(kw: Decimal | None) -> float | None:
    return None if kw is None else float(kw)


def _as_kw(number: object) -> Decimal | None:
    return None if number is None else Decimal(str(number)).quantize(_THOUSANDTH)


def _as_words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, list) else ()
