"""An event of Leap's platform → what it hints at: meters to read again, a group to compare, a connect event.

An event carries neither time nor sequence, so nothing that it says is believed: the resource is read again.
Source: Leap's OpenAPI document "Webhook Subscription API" 1.1; "Webhook Setup".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from leapvpp.leap.errors import storable
from leapvpp.leap.meters import read_moment
from meters.domain.connecting import AUTHORIZATION, SESSION

OF_A_METER: Final = frozenset(
    {
        "meter.created",
        "meter.enrollment.global-status.updated",
        "meter.enrollment.participation-status.updated",
        "meter.enrollment.required-actions.updated",
    }
)
OF_A_GROUP: Final = "meter.enrollment.group.updated"
OF_CONNECT: Final = {
    "connect_session.updated": SESSION,
    "connect_session.authorization_updated": AUTHORIZATION,
}
Window = tuple[str, datetime | None, datetime | None]
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Malformed(ValueError):
    """An event of a known type that does not say what it is about; the message is the reason in words."""


@dataclass(frozen=True, slots=True)
class MetersHint:
    """Read these meters again."""

    meter_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupHint:
    """Read again who is in a group and who was in `[starts_at, ends_at)`; `None`: no end on that side.

    `odd`: how many of the ids that Leap named are no ids.
    """

    market_group_id: str
    starts_at: datetime | None
    ends_at: datetime | None
    meter_ids: frozenset[str]
    odd: int = 0

    @property
    def window(self) -> Window:
        """The group and the time that are meant."""
        return self.market_group_id, self.starts_at, self.ends_at


@dataclass(frozen=True, slots=True)
class ConnectHint:
    """A step of a customer through Leap Connect, in Leap's words; `utility_name`: "" of a session."""

    kind: str
    partner_reference: str
    status: str
    utility_name: str


Hint = MetersHint | GroupHint | ConnectHint


def read_hint(payload: Mapping[str, object]) -> Hint | None:
    """Return what an event hints at; `None` for a type that is not known. Raises Malformed."""
    kind = payload.get("webhook_event_type")
    if not isinstance(kind, str):
        return None
    if kind in OF_A_METER:
        return MetersHint(frozenset({_id(payload, "meter_id")}))
    if kind == OF_A_GROUP:
        return _group(payload)
    if kind in OF_CONNECT:
        return ConnectHint(
            kind=OF_CONNECT[kind],
            partner_reference=_text(payload, "partner_reference"),
            status=storable(_text(payload, "status")),
            utility_name=storable(_text(payload, "utility_name"))
            if OF_CONNECT[kind] == AUTHORIZATION
            else "",
        )
    return None


def named_in(body: bytes) -> frozenset[str]:
    """Return the meters that an event's body names; none where it cannot be read."""
    try:
        hint = read_hint(read_payload(body))
    except Malformed:
        return frozenset()
    return frozenset() if hint is None or isinstance(hint, ConnectHint) else hint.meter_ids


def read_payload(body: bytes) -> Mapping[str, object]:
    """Return the payload of an event as it was sent. Raises Malformed."""
    try:
        payload = msgspec.json.decode(body, type=dict[str, object]).get("payload")
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Malformed(f"The body cannot be read: {problem}.") from None
    if not isinstance(payload, Mapping):
        raise Malformed("The payload is not an object.")
    return payload


def _group(payload: Mapping[str, object]) -> GroupHint:
    said = payload.get("meter_ids")
    if not isinstance(said, list):
        raise Malformed("The payload has no list of meter_ids.")
    ids = [each.lower() for each in said if is_id(each)]
    if said and not ids:
        raise Malformed("None of the meter_ids is a UUID.")
    return GroupHint(
        market_group_id=_id(payload, "market_group_id"),
        starts_at=_moment(payload, "start_date_time"),
        ends_at=_moment(payload, "end_date_time"),
        meter_ids=frozenset(ids),
        odd=len(said) - len(ids),
    )


def is_id(value: object) -> bool:
    """Say whether a value is an id as Leap gives them to meters, a UUID in any case."""
    return isinstance(value, str) and _UUID.fullmatch(value.lower()) is not None


def _id(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if isinstance(value, str) and is_id(value):
        return value.lower()
    raise Malformed(f"The payload's {name} is {'missing' if value is None else 'no UUID'}.")


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if isinstance(value, str) and value:
        return value
    is_missing = value is None or value == ""
    raise Malformed(f"The payload's {name} is {'missing' if is_missing else 'no text'}.")


def _moment(payload: Mapping[str, object], name: str) -> datetime | None:
    """Return a side of the window; one that cannot be read is open, so that rather more is read again."""
    value = payload.get(name)
    try:
        return read_moment(value) if isinstance(value, str) else None
    except ValueError:
        return None
