"""What Leap says of meters: details, which change slowly, and enrollment, which changes often.

Each meter of an answer is read by itself, and its whole body is kept beside what is typed: one odd meter
costs no other, and a field that Leap adds is there before the portal knows of it. Times are aware UTC.
Source: Leap's OpenAPI documents "Get meter detail" 2 and "Meter Information API" 2.0.0.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Generic, TypeVar

import msgspec

from leapvpp.leap.values import decode_answer

Text = Annotated[str, msgspec.Meta(max_length=200)]
Reference = Annotated[str, msgspec.Meta(max_length=256)]
Code = Annotated[str, msgspec.Meta(max_length=32)]
LeapId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Program = Annotated[str, msgspec.Meta(max_length=64)]
Period = Annotated[str, msgspec.Meta(max_length=128)]

OPEN_ENDED_FROM = 2099
"""Leap writes an end that never comes as a year from here on."""
_FRACTION = re.compile(r"\.\d+")
_ANY_NULL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the customer takes part in `[start_time, end_time)`: PARTICIPATE, IDLE or DISENROLL."""

    participation_preference: Code
    start_time: str
    end_time: str | None = None

    def __post_init__(self) -> None:
        read_moment(self.start_time)
        read_moment(self.end_time)


class ProgramEnrollment(msgspec.Struct, frozen=True, kw_only=True):
    """How a meter stands in one program for one delivery period, and in which market group."""

    program_identifier: Program = ""
    delivery_period: Period = ""
    delivery_period_start_date_time: str
    delivery_period_end_date_time: str
    enrollment_status: Code
    market_group_id: LeapId | None = None
    market_group_name: Text | None = None
    enrollment_deadlines: object = ()
    """As it came; read by `meters.domain.enrolling`, where an odd deadline costs itself alone."""

    def __post_init__(self) -> None:
        read_moment(self.delivery_period_start_date_time)
        read_moment(self.delivery_period_end_date_time)


class MeterDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The typed part of a meter's details; `None` is what Leap left out."""

    meter_id: LeapId
    partner_reference: Reference | None = None
    transmission_region: Code | None = None
    meter_type: Code | None = None
    is_archived: bool | None = None


class MeterEnrollment(MeterDetails, frozen=True, kw_only=True):
    """The typed part of a meter's enrollment, which names the meter as its details do."""

    global_enrollment_status: Code | None = None
    participation_preferences: tuple[Preference, ...] = ()
    program_enrollment: tuple[ProgramEnrollment, ...] = ()
    required_actions: object = msgspec.UNSET
    """As it came, `UNSET` where Leap said nothing of it; read by `meters.domain.enrolling`."""


M = TypeVar("M", bound=MeterDetails)


class Received(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """One meter of an answer: all that Leap wrote and what it means, or in `problem` why that is unknown.

    A meter that has both was read without those of its programs that are odd.
    """

    body: dict[str, object]
    meter: M | None = None
    problem: str = ""


class MeterPage(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """One page of a search."""

    meters: tuple[Received[M], ...]
    next_page_token: str | None


class _Answer(msgspec.Struct, frozen=True):
    meters: tuple[msgspec.Raw, ...]
    """Asked for: an answer without them says nothing of meters, least that there are none."""
    next_page_token: str | None = None


def read_page(body: bytes, *, kind: type[M]) -> MeterPage[M]:
    """Read a search's answer. Raises ``UnreadableAnswer`` when it is no list of meters at all."""
    if rb"\u0000" in body:  # PostgreSQL stores a null character nowhere
        body = _ANY_NULL.sub(rb"\1\\ufffd", body)
    answer = decode_answer(body, _Answer)
    return MeterPage(
        meters=tuple(_read_meter(bytes(raw), kind=kind) for raw in answer.meters),
        next_page_token=answer.next_page_token or None,
    )


def _read_meter(raw: bytes, *, kind: type[M]) -> Received[M]:
    try:
        body = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Received(body={}, problem=str(error))
    try:
        return Received(body=body, meter=msgspec.convert(body, kind))
    except msgspec.ValidationError as error:
        problem = f"{body.get('meter_id', 'a meter without an id')}: {error}"
        return Received(body=body, meter=_read_without_odd_programs(body, kind=kind), problem=problem)


def _read_without_odd_programs(body: dict[str, object], *, kind: type[M]) -> M | None:
    """Read a meter of which one program or other cannot be read, if that is all that is odd."""
    programs = read_programs(body.get("program_enrollment"))
    try:
        return msgspec.convert({**body, "program_enrollment": programs}, kind)
    except msgspec.ValidationError:
        return None


def read_programs(said: object) -> tuple[ProgramEnrollment, ...]:
    """Return those entries of a `program_enrollment` that can be read."""
    if not isinstance(said, Sequence) or isinstance(said, str):
        return ()
    try:
        return msgspec.convert(said, tuple[ProgramEnrollment, ...])
    except msgspec.ValidationError:
        return tuple(one for each in said for one in _read_program(each))


def _read_program(entry: object) -> tuple[ProgramEnrollment, ...]:
    try:
        return (msgspec.convert(entry, ProgramEnrollment),)
    except msgspec.ValidationError:
        return ()


@lru_cache(maxsize=4096)  # the periods of a program are those of many meters
def read_moment(text: str | None) -> datetime | None:
    """Return the moment that a time of Leap's means; ``None`` for an end that never comes.

    Fractions are cut off: Leap ends the year 9000 with nine of them, which no clock holds. Raises
    ``ValueError`` for what is no time or has no offset.

    >>> read_moment("9000-12-31T23:59:59.999999999Z"), read_moment("2024-11-01T00:00:00Z").month
    (None, 11)
    """
    if text is None:
        return None
    if re.match(r"\d{4}-", text) and int(text[:4]) >= OPEN_ENDED_FROM:
        return None
    moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text} is before the first of all years") from None
