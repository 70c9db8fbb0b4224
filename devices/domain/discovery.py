"""What devices announce of themselves at the broker, in the words of Home Assistant's MQTT discovery. Pure.

Of a device that speaks the portal's topics, and of no other. Whoever may publish may announce anything:
what is not as agreed is refused with a reason, or passed over, and never an error.

Source: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from devices.domain.wording import one_line

LONGEST_CONFIG: Final = 16 * 1024
LONGEST_NAME: Final = 200
"""Bytes; the broker is asked to keep larger messages to itself anyway."""
MOST_COMPONENTS: Final = 200
MOST_KW: Final = Decimal(100_000)
NODE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
TOPIC: Final = re.compile(r"leapvpp/devices/([^/+#]{1,128})/(?:schedule|ack|status|telemetry)")

FULL_NAMES: Final = {
    "dev": "device",
    "cmps": "components",
    "p": "platform",
    "mf": "manufacturer",
    "mdl": "model",
    "dev_cla": "device_class",
    "unit_of_meas": "unit_of_measurement",
}
KINDS: Final = frozenset({"BATTERY", "THERMOSTAT", "EV_CHARGER", "HVAC", "WATER_HEATER", "GENERATOR", "LOAD"})
PLATFORM_KINDS: Final = {"water_heater": "WATER_HEATER", "climate": "THERMOSTAT"}
WORDS: Final = (
    ("EV_CHARGER", re.compile(r"\b(wall ?box|evse|charger|charging (point|station))\b")),
    ("BATTERY", re.compile(r"\b(battery|batteries|powerwall|energy storage|accumulator)\b")),
    ("WATER_HEATER", re.compile(r"\b(water heater|boiler|hot water)\b")),
    ("THERMOSTAT", re.compile(r"\bthermostat\b")),
    ("HVAC", re.compile(r"\b(hvac|heat ?pump|air condition(er|ing)|chiller|rooftop unit)\b")),
    ("GENERATOR", re.compile(r"\b(generator|genset)\b")),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A device as it announces itself. What it does not say is "", 0 kW or, of the kind, "".

    `may_export` and `capacity_kwh` only where it says them under our own key.
    """

    external_id: str
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    kind: str = ""
    rated_kw: Decimal = Decimal(0)
    capacity_kwh: Decimal | None = None
    may_export: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """What stands under one config topic; `found` None: nothing any more, it was taken away."""

    topic: str
    found: Found | None


class Refused(ValueError):
    """An announcement that names our topics and cannot be taken up; the message says why."""


def platform_of(topic: str, *, prefixes: Iterable[str]) -> str | None:
    """Return what a config topic announces: `device`, or the platform of a component; None: it is none.

    >>> platform_of("homeassistant/sensor/bat-1/power/config", prefixes=["homeassistant"])
    'sensor'
    """
    for prefix in prefixes:
        head, _, rest = topic.partition(f"{prefix}/")
        parts = rest.split("/")
        if not head and 3 <= len(parts) <= 4 and parts[-1] == "config":
            return parts[0] if all(NODE.fullmatch(part) for part in parts[:-1]) else None
    return None


def read_announcement(topic: str, payload: bytes, *, prefixes: Iterable[str]) -> Announcement | None:
    """Return what a device says under its config topic; None: nothing of ours.

    A device's config and the older one of a single component look alike: the latter is its only component,
    which its topic names.

    Raises:
        Refused: it names topics of ours, and cannot be taken up.
    """
    platform = platform_of(topic, prefixes=prefixes)
    if platform is None or len(payload) > LONGEST_CONFIG:
        return None
    if not payload:
        return Announcement(topic, None)
    try:
        given = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    config = _in_full(given)
    components = list(_components(config, platform=platform))
    external_id = _external_id(config, components)
    return Announcement(topic, _found(external_id, config, components)) if external_id else None


def _in_full(given: Mapping[Any, Any]) -> dict[str, Any]:
    return {FULL_NAMES.get(str(key), str(key)): value for key, value in given.items()}


def _components(config: Mapping[str, Any], *, platform: str) -> Iterator[dict[str, Any]]:
    """Give the parts of a device; of the older form the config itself."""
    held = config.get("components")
    if not isinstance(held, dict):
        yield {"platform": platform, **config}
        return
    for component in list(held.values())[:MOST_COMPONENTS]:
        if isinstance(component, dict):
            yield _in_full(component)


def _external_id(config: Mapping[str, Any], components: list[dict[str, Any]]) -> str:
    """Return the device whose topics are named; "" if none of ours are."""
    base = config.get("~")
    named = {
        external_id
        for part in (config, *components)
        for external_id in _named(part, base=part.get("~", base))
    }
    if len(named) > 1:
        raise Refused(f"It names the topics of {len(named)} devices.")
    external_id = next(iter(named), "")
    if external_id and (not external_id.isprintable() or external_id != external_id.strip()):
        raise Refused("It names topics with a sign that no device's id can have.")
    return external_id


def _named(part: Mapping[str, Any], *, base: Any) -> Iterator[str]:
    """Give the devices whose topics stand in a part, also in its list of availabilities."""
    for value in part.values():
        entries = value if isinstance(value, list) else [value]
        for entry in entries[:MOST_COMPONENTS]:
            for text in entry.values() if isinstance(value, list) and isinstance(entry, dict) else [entry]:
                if isinstance(text, str) and (match := TOPIC.fullmatch(_expanded(text, base=base))):
                    yield match[1]


def _expanded(text: str, *, base: Any) -> str:
    """Put the base topic where its sign stands, at either end."""
    if not isinstance(base, str) or len(text) > LONGEST_CONFIG:
        return text
    if text.startswith("~"):
        return base + text[1:]
    return text[:-1] + base if text.endswith("~") else text


def _found(external_id: str, config: Mapping[str, Any], components: list[dict[str, Any]]) -> Found:
    device, own = _in_full(_map(config.get("device"))), _map(config.get("leapvpp"))
    name, model = _text(device.get("name")), _text(device.get("model"))
    said = str(own.get("kind", "")).upper()
    return Found(
        external_id=external_id,
        name=name,
        manufacturer=_text(device.get("manufacturer")),
        model=model,
        kind=said if said in KINDS else _guessed_kind(f"{name} {model}", components),
        rated_kw=_number(own.get("rated_power_kw")) or _greatest_kw(components),
        capacity_kwh=_number(own.get("energy_capacity_kwh")) or None,
        may_export=own.get("may_export") is True,
    )


def _guessed_kind(words: str, components: list[dict[str, Any]]) -> str:
    """Return the kind that its parts or its name tell; "" if they tell none."""
    platforms = [str(component.get("platform")) for component in components]
    for platform, kind in PLATFORM_KINDS.items():
        if platform in platforms:
            return kind
    words = words.lower().replace("_", " ").replace("-", " ")
    named = next((kind for kind, pattern in WORDS if pattern.search(words)), "")
    stores = any(component.get("device_class") == "energy_storage" for component in components)
    return named or ("BATTERY" if stores else "")


def _greatest_kw(components: list[dict[str, Any]]) -> Decimal:
    """Return the most that a number in kW or W can be set to; 0 if there is none."""
    found = [Decimal(0)]
    for component in components:
        factor = {"kW": Decimal(1), "W": Decimal("0.001")}.get(str(component.get("unit_of_measurement")))
        if component.get("platform") == "number" and factor is not None:
            found.append(_number(component.get("max"), factor=factor))
    return max(found)


def _number(given: Any, *, factor: Decimal = Decimal(1)) -> Decimal:
    """Return a figure of kW or kWh to the watt; 0 for what is none, negative or beyond any device."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return Decimal(0)
    number = Decimal(str(given)) * factor
    return round(number, 3) if number.is_finite() and 0 < number <= MOST_KW else Decimal(0)


def _map(given: Any) -> Mapping[Any, Any]:
    return given if isinstance(given, dict) else {}


def _text(given: Any) -> str:
    return one_line(given, longest=LONGEST_NAME) if isinstance(given, str) else ""
