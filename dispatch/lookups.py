"""Reads by long lists of ids: one statement per ten thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from devices.models import MeterDevice
from dispatch.models import RecipientSet
from meters.among import Ids

BATCH: Final = 10_000  # SQLite takes 32,766 parameters

T = TypeVar("T")


def batches(ids: Collection[T]) -> Iterable[Sequence[T]]:
    """Cut ids into as many as one statement takes."""
    ordered = list(ids)
    return (ordered[first : first + BATCH] for first in range(0, len(ordered), BATCH))


def columns_of(
    ids: Collection[T], query: Callable[[Sequence[T]], QuerySet[Any]], columns: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """Return the columns of what the query finds for the ids."""
    return [row for batch in batches(ids) for row in query(batch).values_list(*columns)]


def sets_named(digests: Collection[str]) -> list[tuple[str, int]]:
    """Return (digest, primary key) of the sets of recipients that are rows."""
    return columns_of(
        digests, lambda some: RecipientSet.objects.filter(digest__among=Ids(some)), ("digest", "id")
    )


def links_of(*, device_ids: Collection[int] = (), meter_ids: Collection[str] = ()) -> list[tuple[str, int]]:
    """Return (Leap's meter id, device id) for the given devices and for the given meters."""
    links = MeterDevice.objects.order_by("device_id")
    columns = ("meter__meter_id", "device_id")
    by_device = columns_of(device_ids, lambda ids: links.filter(device_id__among=Ids(ids)), columns)
    return by_device + columns_of(
        meter_ids, lambda ids: links.filter(meter__meter_id__among=Ids(ids)), columns
    )
