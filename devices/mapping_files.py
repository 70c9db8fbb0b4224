"""Pairs of meters and devices as a file: what its rows mean, and what it would change.

A file that is written and read again changes nothing, whatever its cells hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from devices.mapping import Pair
from devices.models import Device, MeterDevice
from meters.among import Ids
from meters.models import Meter

KEYS: Final = ("meter_id", "external_id")
FOR_PEOPLE: Final = ("meter_name", "partner_reference", "device_name")
"""Written for whoever reads the file, and passed over when it is read."""
COLUMNS: Final = (*KEYS, *FOR_PEOPLE)
FIRST_ROW: Final = 2  # the header is row 1, as a spreadsheet counts


@dataclass(frozen=True, slots=True)
class FileDiff:
    """What a file would change: pairs by primary keys."""

    added: tuple[Pair, ...]
    removed: tuple[Pair, ...]
    unchanged: int


def resolve(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Pair], dict[int, dict[str, list[str]]]]:
    """Return the pairs that the rows name, and by position what is wrong with a row. Two queries.

    An id is looked for as it stands, then without the blanks around it.
    """
    meters = _known(Meter, "meter_id", {row["meter_id"] for row in rows}, lowers=True)
    devices = _known(Device, "external_id", {row["external_id"] for row in rows}, lowers=False)
    pairs: dict[Pair, int] = {}
    errors: dict[int, dict[str, list[str]]] = {}
    for position, row in enumerate(rows):
        meter, device = meters.get(row["meter_id"]), devices.get(row["external_id"])
        wrong = {}
        if meter is None:
            wrong["meter_id"] = [f"No meter has the id “{row['meter_id']}”. Sync meters, or remove the row."]
        if device is None:
            wrong["external_id"] = [f"No device has the external id “{row['external_id']}”."]
        if meter is not None and device is not None:
            first = pairs.setdefault((meter, device), position)
            if first != position:
                wrong["external_id"] = [f"Row {first + FIRST_ROW} says the same. Take one of them out."]
        if wrong:
            errors[position] = wrong
    return list(pairs), errors


def _known(model: Any, field: str, named: set[str], *, lowers: bool) -> dict[str, int]:
    """Return the primary key of each name that is known, under the name as it was written."""
    plain = {name: name.strip().lower() if lowers else name.strip() for name in named}
    rows = model.objects.filter(**{f"{field}__among": Ids({*named, *plain.values()})})
    stored = dict(rows.values_list(field, "pk"))
    found = {name: stored.get(name, stored.get(plain[name])) for name in named}
    return {name: pk for name, pk in found.items() if pk is not None}


def compare(pairs: Sequence[Pair], *, is_whole: bool) -> FileDiff:
    """Lay pairs beside those that are mapped. One query.

    `is_whole`: the file is the whole truth for the meters it names, so what it does not say of them goes.
    """
    meters = Ids({meter for meter, _ in pairs})
    held = set(MeterDevice.objects.filter(meter_id__among=meters).values_list("meter_id", "device_id"))
    named = set(pairs)
    return FileDiff(
        added=tuple(sorted(named - held)),
        removed=tuple(sorted(held - named)) if is_whole else (),
        unchanged=len(named & held),
    )


def cells_of(pairs: QuerySet[MeterDevice]) -> Iterator[tuple[str, ...]]:
    """Yield pairs as rows of a file, by meter and device. One query."""
    in_order = pairs.select_related(None).order_by("meter__meter_id", "device__external_id")
    yield from in_order.values_list(
        "meter__meter_id", "device__external_id", "meter__name", "meter__partner_reference", "device__name"
    ).iterator(chunk_size=5000)
