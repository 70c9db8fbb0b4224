"""What Leap says and is told, as typed values.

Reading is liberal: unknown fields are ignored and unknown enum values pass as text, because Leap
adds both without a new version and its own documents disagree on the list of programs. Numbers
may come as strings. The bytes of every timeslot are kept beside the value, so that what a search
found can walk the same way as what a webhook brought.

Power is kW, times are aware UTC, windows are half-open ``[start, end)``.
Source: Leap's OpenAPI documents "Dispatch" 2 and "Webhook Subscription API" 1.1.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from leapvpp.leap.errors import UnreadableAnswer

T = TypeVar("T")
UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
_encoder = msgspec.json.Encoder(decimal_format="number")


class Level(StrEnum):
    """Whom a dispatch names: one meter, or a market group with its list of meters."""

    METER = "meter"
    GROUP = "group"

    @property
    def recipient_field(self) -> str:
        return "meter_id" if self is Level.METER else "market_group_id"

    @property
    def event_id_field(self) -> str:
        return "meter_event_id" if self is Level.METER else "market_group_event_id"

    @property
    def notification_field(self) -> str:
        """The list's name in a webhook body; a search answers ``results`` instead."""
        return f"{self.value}_dispatches"


class Timeslot(msgspec.Struct, frozen=True, kw_only=True):
    """One event as Leap words it.

    ``energy_kw`` is power for the whole window; ``None`` (absent or null) asks for the most the
    assets can do. ``priority`` 1 is the highest.
    """

    meter_event_id: str | None = None
    market_group_event_id: str | None = None
    start_time: UtcTime
    end_time: UtcTime
    cancelled: bool
    energy_kw: Decimal | None = None
    nomination_kw: Decimal | None = None
    performance_compensation_cap: str | None = None
    priority: int | None = None
    is_voluntary: bool | None = None
    dispatch_event_types: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    communication_test: bool | None = None
    is_communication_test: bool | None = None

    def __post_init__(self) -> None:
        if not self.event_id:
            raise ValueError("neither meter_event_id nor market_group_event_id is set")
        for power in (self.energy_kw, self.nomination_kw):
            if power is not None and not power.is_finite():
                raise ValueError("a power is not a finite number")

    @property
    def event_id(self) -> str:
        return self.meter_event_id or self.market_group_event_id or ""

    @property
    def is_test(self) -> bool:
        """True for a communication test, under either of the two names Leap uses."""
        return bool(self.communication_test or self.is_communication_test)


class ReceivedTimeslot(msgspec.Struct, frozen=True, kw_only=True):
    """A timeslot's own bytes and, unless ``problem`` says why not, what they mean."""

    raw: bytes
    timeslot: Timeslot | None = None
    problem: str = ""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient with its timeslots. Meters and partner references are not aligned."""

    level: Level
    recipient_id: str
    meter_ids: tuple[str, ...]
    partner_references: tuple[str, ...]
    timeslots: tuple[ReceivedTimeslot, ...]


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a dispatch search, with the body it was read from."""

    level: Level
    body: bytes
    results: tuple[msgspec.Raw, ...]
    next_page_token: str | None

    @classmethod
    def from_body(cls, *, level: Level, body: bytes) -> "SearchPage":
        """Read a search answer. Raises ``UnreadableAnswer`` when it has no list of results."""
        answer = decode_answer(body, _SearchAnswer)
        token = answer.next_page_token or answer.page_token
        return cls(level=level, body=body, results=answer.results, next_page_token=token)

    def as_notification(self) -> bytes:
        """Return the results as the webhook body that would have said the same."""
        return _encoder.encode({self.level.notification_field: self.results})

    def dispatches(self) -> tuple[Dispatch, ...]:
        """Return the results as values; an unusable timeslot keeps its bytes and a reason.

        A result that names no recipient or has no timeslots is left out: one odd row must not cost the rest.
        """
        return tuple(found for raw in self.results if (found := _read_dispatch(level=self.level, raw=raw)))


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A header that Leap sends with each notification. Its value is a secret: never shown."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"Header(name={self.name!r}, value=<hidden>)"


class DispatchWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where Leap posts the dispatches of one level; one per level and account."""

    url: str
    headers: tuple[Header, ...] = ()


class IntegrationTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What our own webhook answered to a test that Leap sent it."""

    sent_time: UtcTime
    received_time: UtcTime | None = None
    http_status: int | None = None
    body: str | None = None
    error_message: str | None = None


class CommunicationTest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a communication test on meters; ``approved=False`` is only a dry run.

    An approved test is stored by Leap and delivered like a real event, so devices may move.
    """

    start_time: UtcTime
    end_time: UtcTime
    program: str
    meter_uuids: tuple[str, ...]
    dispatch_quantity_kw: Decimal | None = None
    test_event: bool = False
    approved: bool = False


class CommunicationTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What Leap made of a communication test."""

    dispatch_status: str | None = None
    start_time: UtcTime | None = None
    end_time: UtcTime | None = None
    program: str | None = None
    approved: bool | None = None
    transmission_region: str | None = None
    market_type: str | None = None
    meter_count: int | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription to Leap's platform events (meters, enrollment, Connect sessions)."""

    webhook_id: str
    receiver_url: str
    event_types: tuple[str, ...] = ()
    headers: tuple[Header, ...] = ()


class SubscriptionTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What our receiver answered to a test event of the webhook platform."""

    is_successful: bool
    status_code: int | None = None
    response_time_ms: int | None = None
    error: str | None = None


class _SearchAnswer(msgspec.Struct, frozen=True):
    results: tuple[msgspec.Raw, ...]
    next_page_token: str | None = None
    page_token: str | None = None


class _Result(msgspec.Struct, frozen=True):
    timeslots: tuple[msgspec.Raw, ...]
    meter_id: str | None = None
    market_group_id: str | None = None
    meter_ids: tuple[str, ...] | None = None
    partner_reference: str | None = None
    partner_references: tuple[str, ...] | None = None


def decode_answer(body: bytes, kind: type[T]) -> T:
    """Decode a JSON answer into ``kind``. Raises ``UnreadableAnswer``."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last: nested too deep
        raise UnreadableAnswer(f"Leap's answer could not be read: {error}") from error


def encode_request(content: object) -> bytes:
    """Encode a request body; decimals become JSON numbers."""
    return _encoder.encode(content)


def read_timeslot(raw: bytes) -> ReceivedTimeslot:
    """Read one timeslot and keep its bytes, whatever they hold."""
    try:
        return ReceivedTimeslot(raw=raw, timeslot=msgspec.json.decode(raw, type=Timeslot, strict=False))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ReceivedTimeslot(raw=raw, problem=str(error))


def timeslot_as_json(timeslot: Timeslot, *, level: Level) -> dict[str, object]:
    """Return the timeslot as Leap would write it at this level, without test flags."""
    content: dict[str, object] = {level.event_id_field: timeslot.event_id}
    for field in _SENT_FIELDS:
        content[field] = getattr(timeslot, field)
    return content


_SENT_FIELDS: Sequence[str] = (
    "start_time",
    "end_time",
    "cancelled",
    "energy_kw",
    "nomination_kw",
    "performance_compensation_cap",
    "priority",
    "is_voluntary",
    "dispatch_event_types",
    "programs",
)


def _read_dispatch(*, level: Level, raw: msgspec.Raw) -> Dispatch | None:
    try:
        result = msgspec.json.decode(raw, type=_Result, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    recipient_id = result.meter_id if level is Level.METER else result.market_group_id
    if not recipient_id:
        return None
    references = result.partner_references or ()
    if result.partner_reference:
        references = (result.partner_reference, *references)
    return Dispatch(
        level=level,
        recipient_id=recipient_id,
        meter_ids=(recipient_id,) if level is Level.METER else result.meter_ids or (),
        partner_references=references,
        timeslots=tuple(read_timeslot(bytes(slot)) for slot in result.timeslots),
    )
