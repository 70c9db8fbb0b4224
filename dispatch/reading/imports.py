"""What a CSV file would change, row by row, before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from devices.driver_settings import DEFAULT_DRIVER, shown
from devices.models import Device
from meters.models import Meter, Site

FIRST_ROW = 2  # the header is row 1, as a spreadsheet counts
METER_COLUMNS = (
    "meter_id",
    "partner_reference",
    "name",
    "transmission_region",
    "meter_type",
    "enrollment_status",
    "participation",
    "programs",
    "timezone",
    "nomination_kw",
)
DEVICE_COLUMNS = (
    "external_id",
    "name",
    "kind",
    "driver",
    "site",
    "meter_ids",
    "rated_power_kw",
    "energy_capacity_kwh",
    "may_export",
    "policy",
    "commitments_only",
    "state_of_charge_percent",
    "state_of_charge_at",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One cell that would change; `old` is empty on a new row."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the file beside what is stored. `kind`: NEW, CHANGED or SAME."""

    row: int
    key: str
    kind: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """The whole file: how many rows are new, changed and the same; the first of those that matter."""

    new: int
    changed: int
    same: int
    shown: tuple[Change, ...]

    @property
    def hidden(self) -> int:
        """Count the rows that matter and are not shown."""
        return self.new + self.changed - len(self.shown)


ROWS_SHOWN = 200


def meter_diff(rows: Sequence[Mapping[str, Any]]) -> Diff:
    """Compare rows of a file with the meters stored. One query."""
    ids = [row["meter_id"] for row in rows]
    stored = {meter.meter_id: meter for meter in Meter.objects.filter(meter_id__in=ids)}
    return _diff(
        _change(n, row, key="meter_id", stored=stored.get(row["meter_id"])) for n, row in enumerate(rows)
    )


def device_diff(rows: Sequence[Mapping[str, Any]]) -> Diff:
    """Compare rows of a file with the devices stored, their sites and their meters. Two queries."""
    ids = [row["external_id"] for row in rows]
    found = Device.objects.filter(external_id__in=ids).select_related("site").prefetch_related("meters")
    stored = {device.external_id: device for device in found}
    return _diff(
        _change(n, _without_secrets(row, one), key="external_id", stored=one)
        for n, row in enumerate(rows)
        for one in [stored.get(row["external_id"])]
    )


def _without_secrets(row: Mapping[str, Any], stored: Device | None) -> Mapping[str, Any]:
    """Return the row with the driver's settings as they may be shown; the stored ones are masked in place."""
    if "settings" not in row:
        return row
    held = (stored.driver, stored.settings) if stored else (DEFAULT_DRIVER, {})
    new = shown(row.get("driver", held[0]), row["settings"], beside=held[1])
    if stored:
        stored.settings = shown(*held)
    return {**row, "settings": new}


def _change(position: int, row: Mapping[str, Any], *, key: str, stored: Any | None) -> Change:
    fields = []
    for name, value in row.items():
        if name == key:
            continue
        new = in_words(value)
        old = in_words(_stored(stored, name)) if stored else ""
        if new != old:
            fields.append(Field(name=name, old=old, new=new))
    kind = "NEW" if stored is None else "CHANGED" if fields else "SAME"
    return Change(row=position + FIRST_ROW, key=row[key], kind=kind, fields=tuple(fields))


def _stored(row: Any, name: str) -> Any:
    return row.meters.all() if name == "meters" else getattr(row, name)


def in_words(value: Any) -> str:
    """Write a cell so that equal values look equal: numbers without spare zeros, lists in order.

    >>> in_words(Decimal("9.600")), in_words(["b", "a"]), in_words(None)
    ('9.6', 'a; b', '')
    """
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Meter):
        return value.meter_id
    if isinstance(value, Site):
        return value.name
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, Iterable):
        return "; ".join(sorted(in_words(part) for part in value))
    return str(value)


def _diff(changes: Iterable[Change]) -> Diff:
    listed = list(changes)
    kinds = [change.kind for change in listed]
    return Diff(
        new=kinds.count("NEW"),
        changed=kinds.count("CHANGED"),
        same=kinds.count("SAME"),
        shown=tuple(change for change in listed if change.kind != "SAME")[:ROWS_SHOWN],
    )


def meter_cells(meter: Meter) -> list[str]:
    """Write a meter as a row that could be imported again."""
    return [in_words(getattr(meter, name)).replace("; ", ";") for name in METER_COLUMNS]


def device_cells(device: Device) -> list[str]:
    """Write a device as a row that could be imported again."""
    values = {name: in_words(getattr(device, name)) for name in DEVICE_COLUMNS if name != "meter_ids"}
    values["meter_ids"] = in_words(device.meters.all()).replace("; ", ";")
    for name in ("may_export", "commitments_only"):
        values[name] = "true" if getattr(device, name) else "false"
    return [values[name] for name in DEVICE_COLUMNS]
