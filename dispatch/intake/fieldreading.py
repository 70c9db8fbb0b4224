"""How one field of Leap's timeslot is read: strict about meaning, lenient about dress.

Each function returns the value, adds to `flags` what was odd, and raises `Unusable` with a sentence when
no value can be had. Never truthiness: `"no"` is not false, `true` is not 1 kW.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

LEAST_KW = Decimal("0.01")
MOST_KW = Decimal(100_000)
WORST_PRIORITY = 10
LONGEST_TEXT = 256
_THOUSANDTH = Decimal("0.001")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NOBODY = "00000000-0000-0000-0000-000000000000"
_EVENT_ID = re.compile(r"[!-~]{1,64}", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?([.,][0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)

Slot = Mapping[str, Any]


class Unusable(ValueError):
    """A field without which the timeslot cannot be used; the message is the quarantine reason."""


def read_meter_id(value: object) -> str:
    """Return Leap's id of a meter, a UUID, in lower case."""
    if isinstance(value, str) and _UUID.fullmatch(value) and value != _NOBODY:
        return value.lower()
    raise Unusable("The meter's id is not a UUID.")


def read_id(value: object, *, name: str) -> str:
    """Return the id of an event or a market group; a UUID in lower case, anything else as it came."""
    if not isinstance(value, str) or not _EVENT_ID.fullmatch(value):
        raise Unusable(f"{name} is missing or not an id.")
    return value.lower() if len(value) == 36 else value


def read_time(value: object, *, name: str, flags: list[str]) -> datetime:
    """Return an aware UTC time. One without a zone is UTC, as all of Leap's times are, and flagged."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Unusable(f"{name} is not a time.")
    day, minute, second, fraction, zone = match.groups()
    is_leap_second = second == ":60"
    text = f"{day}T{minute}{':59' if is_leap_second else second or ':00'}"
    try:
        moment = datetime.fromisoformat(text + _microseconds(fraction) + _offset(zone)).astimezone(UTC)
        moment += timedelta(seconds=1) if is_leap_second else timedelta(0)
    except (ValueError, OverflowError):
        raise Unusable(f"{name} is not a time.") from None
    if zone is None:
        flags.append(f"{name} without a zone, read as UTC")
    if is_leap_second:
        flags.append(f"{name} in a leap second, read as the next second")
    return moment


def _microseconds(fraction: str | None) -> str:
    return "" if fraction is None else f".{fraction[1:7]:0<6}"


def _offset(zone: str | None) -> str:
    return "+00:00" if zone is None or zone in "Zz" else zone


def read_kw(slot: Slot, name: str, *, flags: list[str]) -> Decimal | None:
    """Return power in kW with three places; None when null or absent.

    Source: Leap, Dispatch OpenAPI 2, `energy_kw` 0.01 to 100000. Old bodies sent it as text.
    """
    value = slot.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        flags.append(f"{name} as text")
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unusable(f"{name} is not a number.")
    # Compared before it becomes a Decimal: an int may have thousands of digits.
    if not LEAST_KW <= value <= MOST_KW:
        raise Unusable(f"{name} is out of range.")
    return Decimal(value).quantize(_THOUSANDTH)


def read_nomination(slot: Slot, *, flags: list[str]) -> Decimal | None:
    """Return the nomination; one that cannot be read is not worth losing an event for."""
    try:
        return read_kw(slot, "nomination_kw", flags=flags)
    except Unusable as reason:
        flags.append(f"{str(reason).rstrip('.')}, ignored")
        return None


def read_is_cancelled(slot: Slot, *, flags: list[str]) -> bool:
    """Return `cancelled`. The word "true" or "false" will do; anything else is not guessed at."""
    value = slot.get("cancelled")
    if value is None:
        flags.append("cancelled missing, read as false")
        return False
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        flags.append("cancelled as text")
        return bool(value == "true")
    raise Unusable("cancelled is neither true nor false.")


def read_is_voluntary(slot: Slot, *, flags: list[str]) -> bool:
    """Return `is_voluntary`; unreadable means a commitment, the side on which nothing is lost."""
    value = slot.get("is_voluntary")
    if isinstance(value, bool):
        return value
    flags.append("is_voluntary as text" if value in ("true", "false") else "is_voluntary missing or odd")
    return bool(value == "true")


def read_priority(slot: Slot, *, flags: list[str]) -> int:
    """Return the rank, 1 the highest to 10; unreadable means the worst."""
    value = slot.get("priority")
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,2}", value, re.ASCII):
        flags.append("priority as text")
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= WORST_PRIORITY:
        return value
    flags.append("priority missing or odd, read as the lowest")
    return WORST_PRIORITY


def read_words(slot: Slot, name: str, *, flags: list[str]) -> tuple[str, ...]:
    """Return a list of codes, known to us or not, without repeats."""
    value = slot.get(name)
    words = value if isinstance(value, list) else []
    kept = tuple(dict.fromkeys(clean_text(word) for word in words if isinstance(word, str) and word))
    if not kept or len(kept) != len(words):
        flags.append(f"{name} missing or odd")
    return kept


def read_cap(slot: Slot, *, flags: list[str]) -> str:
    """Return the compensation cap, known to us or not; missing means the least permissive."""
    value = slot.get("performance_compensation_cap")
    if isinstance(value, str) and 0 < len(value) <= 64:
        return clean_text(value)[:64]
    flags.append("performance_compensation_cap missing or odd, read as up-to-nomination")
    return "up-to-nomination"


def is_flagged_as_test(places: tuple[Slot, ...], names: tuple[str, ...], *, flags: list[str]) -> bool | None:
    """Say whether a test flag is set in any place under any name; None when it stands nowhere.

    Anything but a plain false counts as set: a test taken for real moves devices.
    """
    values = [place[name] for place in places for name in names if place.get(name) is not None]
    if any(not isinstance(value, bool) for value in values):
        flags.append(f"{names[0]} is neither true nor false")
    return any(value is not False and value != "false" for value in values) if values else None


def clean_text(text: str) -> str:
    """Return text that every database stores: control characters and lone surrogates escaped, cut at 256."""
    cut = text[:LONGEST_TEXT]
    if cut.isprintable():
        return cut
    escaped = cut.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in escaped)


def clean_extra(value: object, *, depth: int = 8) -> object:
    """Return an unknown field's value in a form that every database stores as JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else "a very long number"
    if isinstance(value, Decimal):
        return float(value) if abs(value) < 2**53 else str(value)[:LONGEST_TEXT]
    if isinstance(value, str):
        return clean_text(value)
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:50]
        return {clean_text(key): clean_extra(child, depth=depth - 1) for key, child in items}
    return (
        [clean_extra(child, depth=depth - 1) for child in list(value)[:50]]
        if isinstance(value, list)
        else "…"
    )
