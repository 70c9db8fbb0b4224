"""Required actions with the power that waits for them: reads that pages, needs and reminders share.

A meter's power is its nomination, else what its devices are rated together, else not known. SQL by hand, as
sums over a window are beyond the ORM; one statement each, whatever there is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from devices.models import MeterDevice
from meters.domain.actions import Group, Key
from meters.enrollment_models import ActionParty, RequiredAction
from meters.models import Meter

GROUPED_BY: Final = tuple(field.name for field in fields(Key))
MOST_GROUPS: Final = 2000
"""How many groups are ranked, those with the nearest deadlines first; Leap knows some dozens of them."""
MOST_DEADLINES: Final = 6

_RATED: Final = """
rated AS (
  SELECT x.meter_id, SUM(d.rated_power_kw) AS kw
  FROM devices_meterdevice x JOIN devices_device d ON d.id = x.device_id GROUP BY x.meter_id
)"""

_GROUPS: Final = f"""
WITH {_RATED}, asked AS (
  SELECT a.id, a.party, a.action_type, a.action_code, a.program, a.delivery_period, a.deadline_at,
    a.description, a.owner_id, a.resolved_at, COALESCE(m.nomination_kw, rated.kw) AS kw,
    COUNT(*) FILTER (WHERE a.party = 'PARTNER')
      OVER (PARTITION BY a.meter_id, a.program, a.delivery_period)
      - CASE WHEN a.party = 'PARTNER' THEN 1 ELSE 0 END AS others
  FROM meters_requiredaction a
  JOIN meters_meter m ON m.id = a.meter_id
  LEFT JOIN rated ON rated.meter_id = a.meter_id
  WHERE a.resolved_at IS {{null}} AND m.archived_at IS NULL
)
SELECT MIN(id) AS id, party, action_type, action_code, program, delivery_period, deadline_at,
  COUNT(*) AS meters, COUNT(kw) AS known, SUM(kw) AS total_kw,
  COUNT(CASE WHEN others = 0 THEN 1 END) AS alone_meters,
  SUM(CASE WHEN others = 0 THEN kw END) AS alone_kw,
  MIN(description) AS first_description, MAX(description) AS last_description,
  COUNT(owner_id) AS owned, MIN(owner_id) AS first_owner_id, MAX(owner_id) AS last_owner_id,
  MAX(resolved_at) AS resolved_at
FROM asked WHERE id IN ({{chosen}})
GROUP BY party, action_type, action_code, program, delivery_period, deadline_at
ORDER BY deadline_at IS NULL, deadline_at LIMIT {MOST_GROUPS}"""  # noqa: S608 - no value of anybody's

_DEADLINES: Final = f"""
WITH {_RATED}, asked AS (
  SELECT DISTINCT a.meter_id, a.deadline_at, COALESCE(m.nomination_kw, rated.kw) AS kw
  FROM meters_requiredaction a
  JOIN meters_meter m ON m.id = a.meter_id
  LEFT JOIN rated ON rated.meter_id = a.meter_id
  WHERE a.id IN ({{chosen}})
)
SELECT MIN(meter_id) AS id, deadline_at, COUNT(*) AS meters, COUNT(kw) AS known, SUM(kw) AS total_kw
FROM asked GROUP BY deadline_at ORDER BY deadline_at LIMIT {MOST_DEADLINES}"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class Figures:
    """A group with what else is known of it, over its meters."""

    group: Group
    descriptions: tuple[str, str]
    owned: int
    owner_ids: tuple[int | None, int | None]
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    """What waits for one deadline, each meter counted once; `unknown`: meters whose power is not known."""

    deadline_at: datetime
    meters: int
    total_kw: Decimal
    unknown: int


def present(*, is_resolved: bool = False) -> QuerySet[RequiredAction]:
    """Return what is asked, or was, of meters that are not archived."""
    return RequiredAction.objects.filter(resolved_at__isnull=not is_resolved, meter__archived_at__isnull=True)


def due_actions(*, until: datetime, now: datetime) -> QuerySet[RequiredAction]:
    """Return the partner's open actions whose deadline lies in `(now, until]`."""
    return present().filter(party=ActionParty.PARTNER, deadline_at__gt=now, deadline_at__lte=until)


def read_groups(actions: QuerySet[RequiredAction], *, is_resolved: bool = False) -> list[Figures]:
    """Put actions, all of them open or all resolved, into groups. One query.

    What else a meter waits for is looked up among all that is open, not only among these.
    """
    sql, params = actions.order_by().values("pk").query.sql_with_params()
    null = "NOT NULL" if is_resolved else "NULL"
    return [
        _figures(row) for row in RequiredAction.objects.raw(_GROUPS.format(null=null, chosen=sql), params)
    ]


def read_deadlines(actions: QuerySet[RequiredAction]) -> list[Due]:
    """Sum up actions by deadline, the nearest first. One query."""
    dated = actions.filter(deadline_at__isnull=False)
    sql, params = dated.order_by().values("pk").query.sql_with_params()
    return [
        Due(row.deadline_at, row.meters, _kw(row.total_kw), row.meters - row.known)  # type: ignore[arg-type,attr-defined]
        for row in RequiredAction.objects.raw(_DEADLINES.format(chosen=sql), params)
    ]


def with_power(meters: QuerySet[Meter]) -> QuerySet[Any]:
    """Add `kw`, null where it is not known, to the meters of a page or a sum."""
    return meters.annotate(kw=power_at("pk", nomination="nomination_kw"))


def power_at(meter: str, *, nomination: str) -> Coalesce:
    """Return a meter's power where a query has the meter and its nomination at these names."""
    rated = MeterDevice.objects.filter(meter=OuterRef(meter)).order_by().values("meter")
    return Coalesce(F(nomination), Subquery(rated.annotate(kw=Sum("device__rated_power_kw")).values("kw")))


def sum_up(actions: QuerySet[RequiredAction]) -> tuple[int, Decimal]:
    """Return how many meters, and how much power, wait for any of these. One query."""
    row = with_power(Meter.objects.filter(pk__in=actions.values("meter"))).aggregate(
        meters=Count("pk"), total_kw=Sum("kw")
    )
    return row["meters"], row["total_kw"] or Decimal(0)


def _figures(row: Any) -> Figures:
    return Figures(
        group=Group(
            key=Key(**{name: getattr(row, name) for name in GROUPED_BY}),
            meters=row.meters,
            alone_meters=row.alone_meters,
            alone_kw=_kw(row.alone_kw),
            total_kw=_kw(row.total_kw),
            unknown=row.meters - row.known,
        ),
        descriptions=(row.first_description, row.last_description),
        owned=row.owned,
        owner_ids=(row.first_owner_id, row.last_owner_id),
        resolved_at=row.resolved_at,
    )


def _kw(value: Any) -> Decimal:
    """Return a sum of power; SQLite sums in floating point."""
    return round(Decimal(str(value or 0)), 3)
