"""Which meters somebody means: ids or references as pasted, a group, a program, a file, a list's filters."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Q
from django.http import QueryDict

from dispatch.reading.meters import export_rows
from meters.among import Ids
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter

FILTERS: Final = ("q", "ready", "group", "program", "region")
"""What the list of meters can be narrowed by in its address."""
ID_COLUMNS: Final = ("meter_id", "partner_reference")
SHOWN: Final = 5
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Picked:
    """Leap's ids of the meters meant, in order and as often as named; `unknown`: what names no meter."""

    meter_ids: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def unknown_words(self) -> str:
        """Name the first of what is unknown."""
        more = f" and {len(self.unknown) - SHOWN:,} more" if len(self.unknown) > SHOWN else ""
        return f"{', '.join(self.unknown[:SHOWN])}{more}"


def by_name(names: Sequence[str]) -> Picked:
    """Find meters by Leap's ids in any case, or by partner references that only one meter has. One query."""
    wanted = {name: name.lower() for name in names}
    rows = Meter.objects.filter(
        Q(meter_id__among=Ids(list(wanted.values()))) | Q(partner_reference__among=Ids(list(wanted)))
    ).values_list("meter_id", "partner_reference")
    known: dict[str, str] = {}
    references: dict[str, set[str]] = {}
    for meter_id, reference in rows:
        known[meter_id] = meter_id
        references.setdefault(reference, set()).add(meter_id)
    known |= {
        reference: next(iter(ids)) for reference, ids in references.items() if reference and len(ids) == 1
    }
    found = [known.get(wanted[name]) or known.get(name) for name in names]
    return Picked(
        meter_ids=tuple(each for each in found if each),
        unknown=tuple(name for name, each in zip(names, found, strict=True) if not each),
    )


def names_in(text: str) -> list[str]:
    """Take pasted names apart: one a line, or with commas or semicolons between; ids also by spaces.

    >>> names_in("Site 7, Site 8"), len(names_in(2 * "abae2779-e392-4f00-b0cf-32e716204f78 "))
    (['Site 7', 'Site 8'], 2)
    """
    pieces = (piece.strip() for piece in re.split(r"[\n\r,;]+", text))
    return [name for piece in pieces if piece for name in _words_of(piece)]


def _words_of(piece: str) -> list[str]:
    words = piece.split()
    return words if all(_UUID.fullmatch(word) for word in words) else [piece]


def names_in_csv(text: str) -> list[str]:
    """Take the meters from a file with a column `meter_id` or `partner_reference`.

    Raises:
        ValueError: it has neither; the message is a sentence.
    """
    reader = csv.DictReader(io.StringIO(text))
    try:
        column = next((name for name in ID_COLUMNS if name in (reader.fieldnames or ())), None)
        if column is None:
            raise ValueError("The file has no column meter_id or partner_reference in its first row.")
        return [name for row in reader if (name := (row.get(column) or "").strip())]
    except csv.Error as error:
        raise ValueError(f"The file is no CSV: {error}.") from None


def of_group(market_group_id: str, *, now: datetime) -> tuple[str, ...]:
    """List the meters that are in a group now. One query."""
    stays = MarketGroupMembership.objects.filter(in_effect(now), group__market_group_id=market_group_id)
    return _once(stays.order_by("meter_id").values_list("meter__meter_id", flat=True))


def of_program(program: str) -> tuple[str, ...]:
    """List the meters that are not archived and are in a program. One query."""
    meters = Meter.objects.filter(archived_at__isnull=True, programs__icontains=f'"{program}"')
    return _once(meters.order_by("pk").values_list("meter_id", flat=True))


def of_list(query: QueryDict, *, now: datetime) -> tuple[str, ...]:
    """List the meters that the page of meters shows with these filters; none without any."""
    if not any(query.get(name) for name in FILTERS):
        return ()
    return _once(export_rows(query, now=now).values_list("meter_id", flat=True))


def groups_offered() -> list[tuple[str, str]]:
    """Offer market groups by name. One query."""
    return [(each.market_group_id, str(each)) for each in MarketGroup.objects.order_by("name", "id")[:500]]


def programs_offered() -> list[tuple[str, str]]:
    """Offer the programs that meters are in. One query."""
    lists = Meter.objects.filter(archived_at__isnull=True).order_by().values_list("programs", flat=True)
    return [(each, each) for each in sorted({name for names in lists.distinct() for name in names})]


def _once(meter_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(meter_ids))
