"""Devices that were found at the broker and wait for somebody to map or dismiss them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from devices.discovering import waiting_devices

SHOWN = 20


@dataclass(frozen=True, slots=True)
class FoundRow:
    """One found device; `maker`: manufacturer and model as far as it says them."""

    id: int
    name: str
    external_id: str
    kind: str
    maker: str
    rated_power_kw: Decimal
    found_at: datetime
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundList:
    """The latest found devices and how many more there are."""

    rows: tuple[FoundRow, ...]
    more: int


def read_found() -> FoundList:
    """Read the devices that wait, latest first; one query, two where there are many."""
    waiting = waiting_devices().select_related("device").order_by("-found_at", "-pk")
    found = list(waiting[: SHOWN + 1])
    rows = tuple(
        FoundRow(
            id=each.device_id,
            name=str(each.device),
            external_id=each.device.external_id,
            kind=each.device.get_kind_display(),
            maker=" ".join(part for part in (each.manufacturer, each.model) if part),
            rated_power_kw=each.device.rated_power_kw,
            found_at=each.found_at,
            gone_at=each.gone_at,
        )
        for each in found[:SHOWN]
    )
    return FoundList(rows, more=waiting.count() - SHOWN if len(found) > SHOWN else 0)
