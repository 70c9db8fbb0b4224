"""Rows of meters → how they stand with Leap, for `meters.domain.participation`. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from leapvpp.leap.meters import Preference
from meters.among import Ids
from meters.domain.participation import Days, Standing
from meters.models import Meter
from meters.participation_models import IdleListing, IdlePeriod
from meters.sync_models import MeterAtLeap


@dataclass(frozen=True, slots=True)
class Stood:
    """A meter's row and how it stands."""

    meter: Meter
    standing: Standing


def load_standings(meter_ids: Collection[str], *, now: datetime) -> dict[str, Stood]:
    """Return how meters stand, by Leap's id; those without a row are not among them. Four queries."""
    meters = list(Meter.objects.filter(meter_id__among=Ids(meter_ids)).order_by("pk"))
    keys = Ids(meter.pk for meter in meters)
    at_leap = {
        pk: (gone_at, said)
        for pk, gone_at, said in MeterAtLeap.objects.filter(meter__among=keys).values_list(
            "meter_id", "gone_at", "enrollment__participation_preferences"
        )
    }
    idle: defaultdict[int, set[Days]] = defaultdict(set)
    for pk, first, last in IdlePeriod.objects.filter(meter__among=keys).values_list(
        "meter_id", "starts_on", "ends_on"
    ):
        idle[pk].add(Days(first, last))
    was_read = IdleListing.objects.filter(read_at__isnull=False).exists()
    return {
        meter.meter_id: Stood(
            meter=meter,
            standing=Standing(
                meter_id=meter.meter_id,
                timezone=meter.timezone,
                is_archived=meter.archived_at is not None and meter.archived_at <= now,
                is_listed=None if meter.pk not in at_leap else at_leap[meter.pk][0] is None,
                preferences=read_preferences(at_leap.get(meter.pk, (None, ()))[1]),
                idle=frozenset(idle[meter.pk]) if was_read else None,
            ),
        )
        for meter in meters
    }


def read_preferences(said: Any) -> tuple[Preference, ...]:
    """Read the preferences of an enrollment as Leap wrote them; one that cannot be read is left out."""
    return tuple(one for each in _listed(said) if (one := _read(each)) is not None)


def _listed(said: Any) -> Iterable[Any]:
    return said if isinstance(said, list) else ()


def _read(said: Any) -> Preference | None:
    try:
        return msgspec.convert(said, Preference)
    except msgspec.ValidationError:
        return None
