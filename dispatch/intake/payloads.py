"""Leap's body → typed timeslots: the only place where Leap's field names are read.

A body holds `meter_dispatches` or `group_dispatches` (webhook) or `results` (search), each a list of
recipients with their timeslots. Every timeslot is read on its own: one that cannot be used keeps its reason,
its neighbours run. Unknown fields and unknown codes are kept.
Source: Leap, "Dispatch Event Processing" and Dispatch OpenAPI 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from dispatch.domain.belief import Source
from dispatch.domain.revisions import EventFields, Test, recipients_digest
from dispatch.intake.document import DoubledKeys
from dispatch.intake.fieldreading import (
    Unusable,
    clean_extra,
    clean_text,
    is_flagged_as_test,
    read_cap,
    read_id,
    read_is_cancelled,
    read_is_voluntary,
    read_kw,
    read_meter_id,
    read_nomination,
    read_priority,
    read_time,
    read_words,
)

METER: Final = "METER"
GROUP: Final = "GROUP"
LONGEST_EVENT = timedelta(days=31)
FARTHEST_START = timedelta(days=366)
MOST_TIMESLOTS_OF_ONE = 5_000

_NOTHING_KNOWN = "Nothing in it is known to the portal: no list of dispatches with a timeslot."
_LISTS = (("meter_dispatches", METER), ("group_dispatches", GROUP), ("results", ""))
_EVENT_ID_FIELDS = {METER: "meter_event_id", GROUP: "market_group_event_id"}
_INTEGRATION_FLAGS = ("integration_test_notification", "is_integration_test_notification", "integration_test")
_COMMUNICATION_FLAGS = ("communication_test", "is_communication_test")
_KNOWN_SLOT_FIELDS = frozenset(
    (
        *_EVENT_ID_FIELDS.values(),
        *_INTEGRATION_FLAGS,
        *_COMMUNICATION_FLAGS,
        "start_time",
        "end_time",
        "cancelled",
        "performance_compensation_cap",
        "priority",
        "is_voluntary",
        "dispatch_event_types",
        "programs",
        "energy_kw",
        "nomination_kw",
    )
)
_KNOWN_RECIPIENT_FIELDS = frozenset(("meter_id", "market_group_id", "meter_ids", "timeslots"))

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeslot:
    """One timeslot as read. With a `problem` it is not used and `fields` is None.

    `unsaid` names fields that a search's answer left out: what is held stays. `meter_ids` is empty when a
    group's list is missing.
    """

    level: str
    leap_event_id: str = ""
    problem: str = ""
    fields: EventFields | None = None
    meter_ids: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipient:
    """Whom a list of timeslots is for."""

    level: str
    meter_ids: tuple[str, ...]
    digest: str
    market_group_id: str
    flags: tuple[str, ...]
    extra: Mapping[str, object]


def level_of(document: Object) -> str:
    """Return METER or GROUP, or "" when the body names both or neither."""
    levels = {level for name, level in _LISTS if level and document.get(name)}
    return levels.pop() if len(levels) == 1 else ""


def problem_of(slots: Sequence[Timeslot]) -> str:
    """Return why nothing in a body can be used; "" when something can."""
    if any(slot.fields for slot in slots):
        return ""
    return slots[0].problem if slots else _NOTHING_KNOWN


def is_anything_usable(document: Object, *, now: datetime) -> bool:
    """Say whether at least one timeslot can be used; stops at the first."""
    return any(not slot.problem for slot in _read_slots(document, source=Source.WEBHOOK, now=now))


def read_timeslots(document: Object, *, source: Source, now: datetime) -> list[Timeslot]:
    """Return every timeslot of a body in order, used or not; empty when the body's shape is unknown.

    `now` bounds the horizon: longer than 31 days or beginning more than 366 days ahead is not believed.
    """
    slots: list[Timeslot] = []
    recipient_by_event: dict[tuple[str, str], str] = {}
    counts: Counter[str] = Counter()
    for slot in _read_slots(document, source=source, now=now):
        if slot.fields is None:
            slots.append(slot)
            continue
        recipient = slot.fields.market_group_id or slot.fields.recipients
        counts[recipient] += 1
        problem = ""
        if recipient_by_event.setdefault((slot.level, slot.leap_event_id), recipient) != recipient:
            problem = "The event's id stands under another recipient of the same body."
        elif counts[recipient] > MOST_TIMESLOTS_OF_ONE:
            problem = f"More than {MOST_TIMESLOTS_OF_ONE} timeslots for one recipient."
        slots.append(_refused(slot, problem) if problem else slot)
    return slots


def _refused(slot: Timeslot, problem: str) -> Timeslot:
    return Timeslot(level=slot.level, leap_event_id=slot.leap_event_id, problem=problem)


def _read_slots(document: Object, *, source: Source, now: datetime) -> Iterator[Timeslot]:
    if isinstance(document, DoubledKeys):
        yield Timeslot(level="", problem="A key stands twice in the body.")
        return
    for name, level in _LISTS:
        dispatches = document.get(name)
        if dispatches is None:
            continue
        if not isinstance(dispatches, list):
            yield Timeslot(level=level, problem=f"{name} is not a list.")
            continue
        for dispatch in dispatches:
            yield from _read_dispatch(dispatch, level=level, top=document, source=source, now=now)


def _read_dispatch(
    dispatch: object, *, level: str, top: Object, source: Source, now: datetime
) -> Iterator[Timeslot]:
    if not isinstance(dispatch, dict):
        yield Timeslot(level=level, problem="A dispatch is not an object.")
        return
    level = level or (GROUP if "market_group_id" in dispatch else METER)
    timeslots = dispatch.get("timeslots")
    if not isinstance(timeslots, list):
        yield Timeslot(level=level, problem="A dispatch has no list of timeslots.")
        return
    try:
        recipient = _read_recipient(dispatch, level=level)
    except Unusable as reason:
        for slot in timeslots:
            yield Timeslot(level=level, leap_event_id=_id_at_a_glance(slot, level), problem=str(reason))
        return
    for slot in timeslots:
        yield _read_slot(slot, recipient=recipient, top=top, source=source, now=now)


def _read_recipient(dispatch: Object, *, level: str) -> _Recipient:
    if isinstance(dispatch, DoubledKeys):
        raise Unusable("A key stands twice in the dispatch.")
    flags: list[str] = []
    group = ""
    if level == GROUP:
        group = read_id(dispatch.get("market_group_id"), name="market_group_id")
        meter_ids = _read_meter_ids(dispatch.get("meter_ids"), flags=flags)
    else:
        meter_ids = (read_meter_id(dispatch.get("meter_id")),)
    return _Recipient(
        level=level,
        meter_ids=meter_ids,
        digest=recipients_digest(meter_ids),
        market_group_id=group,
        flags=tuple(flags),
        extra=_extra_of(dispatch, known=_KNOWN_RECIPIENT_FIELDS),
    )


def _read_meter_ids(value: object, *, flags: list[str]) -> tuple[str, ...]:
    """Return the group's meters, sorted; unusable ids are counted, not believed."""
    named = value if isinstance(value, list) else []
    meter_ids: set[str] = set()
    unusable = 0
    for meter_id in named:
        try:
            meter_ids.add(read_meter_id(meter_id))
        except Unusable:
            unusable += 1
    if named and not meter_ids:
        raise Unusable("None of the meters' ids is a UUID.")
    if unusable:
        flags.append(f"{unusable} of {len(named)} meter ids are not UUIDs, left out")
    if not named:
        flags.append("names no meters")
    return tuple(sorted(meter_ids))


def _read_slot(
    slot: object, *, recipient: _Recipient, top: Object, source: Source, now: datetime
) -> Timeslot:
    leap_event_id = _id_at_a_glance(slot, recipient.level)
    try:
        if not isinstance(slot, dict):
            raise Unusable("A timeslot is not an object.")
        if isinstance(slot, DoubledKeys):
            raise Unusable("A key stands twice in the timeslot.")
        return _read_fields(slot, recipient=recipient, top=top, source=source, now=now)
    except Unusable as reason:
        return Timeslot(level=recipient.level, leap_event_id=leap_event_id, problem=str(reason))


def _read_fields(
    slot: Object, *, recipient: _Recipient, top: Object, source: Source, now: datetime
) -> Timeslot:
    flags = list(recipient.flags)
    unsaid: list[str] = []
    id_field = _EVENT_ID_FIELDS[recipient.level]
    leap_event_id = read_id(slot.get(id_field), name=id_field)
    starts_at, ends_at = _read_window(slot, flags=flags, now=now)
    is_cancelled = read_is_cancelled(slot, flags=flags)
    energy_kw = _read_energy(slot, source=source, is_cancelled=is_cancelled, flags=flags, unsaid=unsaid)
    test = _read_test(top, slot, source=source, flags=flags, unsaid=unsaid)
    unsaid.extend(_left_out(slot, recipient=recipient, source=source))
    fields = EventFields(
        starts_at=starts_at,
        ends_at=ends_at,
        is_cancelled=is_cancelled,
        energy_kw=energy_kw,
        nomination_kw=read_nomination(slot, flags=flags),
        priority_rank=read_priority(slot, flags=flags),
        is_voluntary=read_is_voluntary(slot, flags=flags),
        cap=read_cap(slot, flags=flags),
        dispatch_event_types=read_words(slot, "dispatch_event_types", flags=flags),
        programs=read_words(slot, "programs", flags=flags),
        test=test,
        market_group_id=recipient.market_group_id,
        recipients=recipient.digest,
    )
    return Timeslot(
        level=recipient.level,
        leap_event_id=leap_event_id,
        fields=fields,
        meter_ids=recipient.meter_ids,
        flags=tuple(flags),
        extra={**recipient.extra, **_extra_of(slot, known=_KNOWN_SLOT_FIELDS)},
        unsaid=tuple(unsaid),
    )


def _read_window(slot: Object, *, flags: list[str], now: datetime) -> tuple[datetime, datetime]:
    starts_at = read_time(slot.get("start_time"), name="start_time", flags=flags)
    ends_at = read_time(slot.get("end_time"), name="end_time", flags=flags)
    if ends_at <= starts_at:
        raise Unusable("It ends before it begins.")
    if ends_at - starts_at > LONGEST_EVENT or starts_at - now > FARTHEST_START:
        raise Unusable("Its window is outside the horizon: 31 days long, 366 days ahead.")
    return starts_at, ends_at


def _read_energy(
    slot: Object, *, source: Source, is_cancelled: bool, flags: list[str], unsaid: list[str]
) -> Decimal | None:
    """Return the power asked for. A cancellation counts whatever its power says."""
    if "energy_kw" not in slot and source is not Source.POLL:
        flags.append("energy_kw missing, read as the maximum")
    try:
        return read_kw(slot, "energy_kw", flags=flags)
    except Unusable as reason:
        if not is_cancelled:
            raise
        flags.append(f"{str(reason).rstrip('.')}, ignored")
        unsaid.append("energy_kw")
        return None


def _read_test(top: Object, slot: Object, *, source: Source, flags: list[str], unsaid: list[str]) -> Test:
    """Return the kind of test. The flags may stand at the top or in the timeslot, under either name."""
    places = (top, slot)
    if is_flagged_as_test(places, _INTEGRATION_FLAGS, flags=flags):
        return Test.INTEGRATION
    is_communication = is_flagged_as_test(places, _COMMUNICATION_FLAGS, flags=flags)
    if is_communication:
        return Test.COMMUNICATION
    if source is Source.POLL and is_communication is None:
        unsaid.append("test")
    return Test.NONE


def _left_out(slot: Object, *, recipient: _Recipient, source: Source) -> list[str]:
    """Name what is not said: a search's answer may hold fewer fields than the webhook's, and denies none."""
    powers = ("energy_kw", "nomination_kw") if source is Source.POLL else ()
    absent = [name for name in powers if name not in slot]
    return absent if recipient.meter_ids else [*absent, "recipients"]


def _id_at_a_glance(slot: object, level: str) -> str:
    value = slot.get(_EVENT_ID_FIELDS[level]) if isinstance(slot, dict) else None
    return clean_text(value)[:64].lower() if isinstance(value, str) else ""


def _extra_of(place: Object, *, known: frozenset[str]) -> dict[str, object]:
    return {clean_text(name): clean_extra(value) for name, value in place.items() if name not in known}
