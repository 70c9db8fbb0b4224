"""Utility meter or device: what a meter is made of, what else its devices answer to, what looks wrong.

Source: Leap, "Utility Meters vs Devices": a dispatch of a utility meter is for all devices there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from devices.domain.mapping_rules import ONE_DEVICE
from devices.models import Device
from dispatch.reading.words import counted
from meters.models import Meter

UTILITY = "UTILITY_METER"
KINDS = {UTILITY: "utility meter", "DEVICE": "device meter", "SUBMETER": "submeter"}
NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Shared:
    """A device, and the other meters that it sits behind."""

    id: int
    name: str
    meters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a meter is, in a sentence; which of its devices answer to others, too; what looks wrong."""

    text: str
    shared: tuple[Shared, ...]
    warnings: tuple[str, ...]


def kind_of(meter: Meter) -> str:
    """Name the type of a meter as people say it."""
    return KINDS.get(meter.meter_type.upper(), "meter")


def shape_of_meter(meter: Meter) -> Shape:
    """Read what a meter is made of. Two queries."""
    others = Prefetch("meters", Meter.objects.exclude(pk=meter.pk).order_by("name", "id"), to_attr="others")
    behind = Device.objects.filter(meters=meter).select_related("site").prefetch_related(others)
    devices: list[Any] = list(behind.order_by("name", "id"))
    shared = tuple(
        Shared(device.pk, str(device), _with_kinds(device.others)) for device in devices if device.others
    )
    return Shape(text=_text(meter, devices), shared=shared, warnings=_warnings(meter, devices))


def _text(meter: Meter, devices: Sequence[Device]) -> str:
    kind = kind_of(meter)
    what = f"{kind[0].upper()}{kind[1:]} with {counted(len(devices), one='device')}"
    return f"{what}: a dispatch of it is for all of them." if len(devices) > 1 else f"{what}."


def _warnings(meter: Meter, devices: Sequence[Device]) -> tuple[str, ...]:
    found = []
    if meter.meter_type.upper() in ONE_DEVICE and len(devices) > 1:
        found.append(
            f"Leap calls it a {kind_of(meter)}, one device, and {len(devices)} are mapped. Check the mapping."
        )
    own = meter.site or next((device.site for device in devices if device.site), None)
    away = [device for device in devices if device.site_id and own and device.site_id != own.pk]
    if away and own:
        names = ", ".join(str(device) for device in away[:NAMES_SHOWN])
        more = f" and {len(away) - NAMES_SHOWN} more" if len(away) > NAMES_SHOWN else ""
        belong = "belongs" if len(away) == 1 else "belong"
        found.append(f"{names}{more} {belong} to another site than {own}. Check that the meter is right.")
    return tuple(found)


def meters_of_device(device_id: int) -> tuple[tuple[str, str], ...]:
    """Name each meter that a device sits behind with its type: (Leap's id, words). One query."""
    return _with_kinds(Meter.objects.filter(devices=device_id).order_by("name", "id"))


def _with_kinds(meters: Iterable[Meter]) -> tuple[tuple[str, str], ...]:
    return tuple((one.meter_id, f"{one} ({kind_of(one)})") for one in meters)
