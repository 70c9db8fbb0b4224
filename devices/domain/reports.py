"""What devices say of themselves, read from the bytes they sent. Pure.

Whoever may publish may send anything: whatever is not exactly as agreed is None, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec

from devices.domain.wording import one_line

LONGEST_PAYLOAD = 4096
NEWEST_VERSION = 2**31 - 1
MODES = frozenset({"normal", "curtail", "discharge", "export", "idle"})


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A device accepts or refuses one version of its schedule; `detail` says why."""

    version: int
    is_accepted: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device measured at one moment: kW it takes, state of charge in percent if it has one.

    `energy_kwh` is its counter, all taken minus all given; `mode` what it says it does.
    """

    at: datetime
    power_kw: Decimal
    state_of_charge_percent: Decimal | None
    is_online: bool
    energy_kwh: Decimal | None = None
    mode: str = ""


Message = TypeVar("Message")


class NoReading(ValueError):
    """A row is no reading; the message says why."""


class _AcknowledgementMessage(msgspec.Struct):
    version: Annotated[int, msgspec.Meta(ge=0, le=NEWEST_VERSION)]
    status: Literal["accepted", "rejected"]
    detail: str | None = None


class _ReadingMessage(msgspec.Struct):
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    power_kw: float
    soc_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    online: bool = True
    energy_kwh: float | None = None
    mode: str | None = None


class _DeviceReadingMessage(_ReadingMessage, kw_only=True):
    device: str


_acknowledgements = msgspec.json.Decoder(_AcknowledgementMessage)
_readings = msgspec.json.Decoder(_ReadingMessage)


def read_acknowledgement(payload: bytes) -> Acknowledgement | None:
    """Return `{"version": n, "status": "accepted|rejected", "detail"?}` as a value.

    >>> read_acknowledgement(b'{"version": 3, "status": "rejected", "detail": "Too hot."}')
    Acknowledgement(version=3, is_accepted=False, detail='Too hot.')
    """
    message = _read(_acknowledgements, payload)
    if message is None:
        return None
    return Acknowledgement(
        version=message.version,
        is_accepted=message.status == "accepted",
        detail=one_line(message.detail or ""),
    )


def read_reading(payload: bytes) -> Reading | None:
    """Return `{"at", "power_kw", "soc_percent"?, "online"?, "energy_kwh"?, "mode"?}` as a value.

    `at` must say its zone. A mode of its own is as if it said none.
    """
    message = _read(_readings, payload)
    if message is None or not _is_dated(message):
        return None
    return _reading(message, mode=message.mode if message.mode in MODES else "")


def read_row(row: object) -> tuple[str, Reading]:
    """Return a row of many readings, decoded from JSON: the device's own id, and what it measured.

    Raises:
        NoReading: with what is wrong, for whoever sent it.
    """
    try:
        message = msgspec.convert(row, _DeviceReadingMessage)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise NoReading(f"{str(error).rstrip('.')}.") from None
    if not _is_dated(message):
        raise NoReading("The time is not one of these centuries.")
    return message.device, _reading(message, mode=message.mode or "")


def _is_dated(message: _ReadingMessage) -> bool:
    return 1970 < message.at.year < 9999  # far from where a zone's shift would overflow


def _reading(message: _ReadingMessage, *, mode: str) -> Reading:
    soc = message.soc_percent
    return Reading(
        at=message.at.astimezone(UTC),
        power_kw=Decimal(str(message.power_kw)),
        state_of_charge_percent=None if soc is None else round(Decimal(str(soc)), 2),
        is_online=message.online,
        energy_kwh=None if message.energy_kwh is None else Decimal(str(message.energy_kwh)),
        mode=mode,
    )


def read_status(payload: bytes) -> bool | None:
    """Return whether the device says that it is online, or its last will that it is not."""
    return {b"online": True, b"offline": False}.get(payload)


def _read(decoder: msgspec.json.Decoder[Message], payload: bytes) -> Message | None:
    if len(payload) > LONGEST_PAYLOAD:
        return None
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
