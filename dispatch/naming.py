"""What a change of recipients says of meters: their ids, or how many they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatch.lookups import columns_of
from dispatch.models import EventRevision, RecipientSet

MOST_METERS_TOLD: Final = 100
"""More ids than this on one side of a change are told as a number."""


def name_meters(revisions: Sequence[EventRevision]) -> None:
    """Tell a change of recipients by the meters' ids instead of by the names of the sets."""
    moved = [row for row in revisions if "meter_ids" in row.changes]
    if not moved:
        return
    digests = {digest for row in moved for digest in row.changes["meter_ids"]}
    sets = columns_of(
        digests, lambda some: RecipientSet.objects.filter(digest__in=some), ("digest", "size", "meter_ids")
    )
    told = {digest: _as_told(size, meter_ids) for digest, size, meter_ids in sets}
    for row in moved:
        row.changes["meter_ids"] = [told[digest] for digest in row.changes["meter_ids"]]


def _as_told(size: int, meter_ids: list[str]) -> list[str] | str:
    return meter_ids if size <= MOST_METERS_TOLD else f"{size} meters"
