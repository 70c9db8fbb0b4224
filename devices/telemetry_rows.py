"""How telemetry reads and writes its rows: any number of devices and intervals in one statement each.

Part of the stage `devices.telemetry`. Every row of a batch goes to the database as one table (`as_table`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import connection

from devices.bulk import Column, as_table
from devices.domain.intervals import Sample
from devices.models import Device

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Known(NamedTuple):
    """What is known of a device now; as in `_DEVICE`."""

    id: int
    power_kw: Decimal | None
    power_at: datetime | None
    state_of_charge_percent: Decimal | None
    state_of_charge_at: datetime | None
    is_online: bool
    last_seen_at: datetime | None
    weigh_requested_at: datetime | None


class Added(NamedTuple):
    """What is added to an interval; as in `_INTERVAL`."""

    device_id: int
    minutes: int
    starts_at: datetime
    watt_milliseconds: int
    covered_milliseconds: int
    state_of_charge_percent: Decimal | None
    state_of_charge_at: datetime | None


Place = tuple[Sample | None, Sample | None]
"""The readings before and after a new one."""


_INTERVAL: Final[dict[str, Column]] = {
    "device_id": "bigint",
    "minutes": "bigint",
    "starts_at": "timestamptz",
    "watt_milliseconds": "bigint",
    "covered_milliseconds": "bigint",
    "state_of_charge_percent": "numeric",
    "state_of_charge_at": "timestamptz",
}
_DEVICE: Final[dict[str, Column]] = {
    "id": "bigint",
    "power_kw": "numeric",
    "power_at": "timestamptz",
    "state_of_charge_percent": "numeric",
    "state_of_charge_at": "timestamptz",
    "is_online": "boolean",
    "last_seen_at": "timestamptz",
    "weigh_requested_at": "timestamptz",
}

_NEIGHBOURS: Final = """
WITH found AS (
  SELECT
    wanted.place,
    (SELECT id FROM devices_reading AS r WHERE r.device_id = wanted.device_id AND r.at <= wanted.at
     ORDER BY r.at DESC LIMIT 1) AS earlier,
    (SELECT id FROM devices_reading AS r WHERE r.device_id = wanted.device_id AND r.at > wanted.at
     ORDER BY r.at LIMIT 1) AS later
  FROM {wanted}
)
SELECT
  found.place,
  e.at, CAST(ROUND(e.power_kw * 1000) AS bigint), CAST(ROUND(e.energy_kwh * 1000) AS bigint),
  l.at, CAST(ROUND(l.power_kw * 1000) AS bigint), CAST(ROUND(l.energy_kwh * 1000) AS bigint)
FROM found
LEFT JOIN devices_reading AS e ON e.id = found.earlier
LEFT JOIN devices_reading AS l ON l.id = found.later
"""
_ADD: Final = """
INSERT INTO devices_powerinterval AS kept (
  device_id, minutes, starts_at, watt_milliseconds, covered_milliseconds,
  state_of_charge_percent, state_of_charge_at
)
SELECT * FROM {given} WHERE true
ON CONFLICT (device_id, minutes, starts_at) DO UPDATE SET
  watt_milliseconds = kept.watt_milliseconds + excluded.watt_milliseconds,
  covered_milliseconds = kept.covered_milliseconds + excluded.covered_milliseconds,
  state_of_charge_percent = CASE
    WHEN excluded.state_of_charge_at IS NULL OR kept.state_of_charge_at >= excluded.state_of_charge_at
    THEN kept.state_of_charge_percent ELSE excluded.state_of_charge_percent END,
  state_of_charge_at = CASE
    WHEN excluded.state_of_charge_at IS NULL OR kept.state_of_charge_at >= excluded.state_of_charge_at
    THEN kept.state_of_charge_at ELSE excluded.state_of_charge_at END
"""

# For what covers less than before: PostgreSQL checks a row to be inserted even where it adds it to another.
_TAKE_AWAY: Final = """
UPDATE devices_powerinterval AS kept SET
  watt_milliseconds = kept.watt_milliseconds + given.watt_milliseconds,
  covered_milliseconds = kept.covered_milliseconds + given.covered_milliseconds
FROM {given}
WHERE kept.device_id = given.device_id AND kept.minutes = given.minutes AND kept.starts_at = given.starts_at
"""

_NOTE: Final = """
UPDATE devices_device SET
  power_kw = given.power_kw, power_at = given.power_at,
  state_of_charge_percent = given.state_of_charge_percent, state_of_charge_at = given.state_of_charge_at,
  is_online = given.is_online, last_seen_at = given.last_seen_at,
  weigh_requested_at = given.weigh_requested_at
FROM {given} WHERE devices_device.id = given.id
"""


def lock_devices(ids: Collection[int]) -> dict[int, Known]:
    """Return what is known of devices, which nobody else writes until the transaction ends."""
    rows = Device.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {row[0]: Known(*row) for row in rows.values_list(*Known._fields)}


def neighbours(readings: Sequence[tuple[int, datetime]]) -> list[Place | None]:
    """Return what is known around each device and time; None for what is known itself."""
    if not readings:
        return []
    wanted, parameters = as_table(
        "wanted",
        {"place": "bigint", "device_id": "bigint", "at": "timestamptz"},
        [(place, *reading) for place, reading in enumerate(readings)],
    )
    found: list[Place | None] = [None] * len(readings)
    with connection.cursor() as cursor:
        cursor.execute(_NEIGHBOURS.format(wanted=wanted), parameters)
        for place, *values in cursor:
            before, after = _sample(*values[:3]), _sample(*values[3:])
            if before is None or before.at != milliseconds(readings[place][1]):
                found[place] = before, after
    return found


def _sample(at: datetime | None, watts: int, watt_hours: int | None) -> Sample | None:
    if at is None:
        return None
    return Sample(milliseconds(at if at.tzinfo else at.replace(tzinfo=UTC)), watts, watt_hours)


def milliseconds(at: datetime) -> int:
    """Return a time as whole milliseconds since 1970."""
    return (at - EPOCH) // _MILLISECOND


def add_energy(rows: Sequence[Added]) -> None:
    """Add to intervals, which are made where there are none, and take away from those that cover less now."""
    less = [row for row in rows if row.covered_milliseconds < 0]
    more = [row for row in rows if row.covered_milliseconds >= 0]
    more += [row._replace(watt_milliseconds=0, covered_milliseconds=0) for row in less]
    _write(_TAKE_AWAY, _INTERVAL, less)
    _write(_ADD, _INTERVAL, more)


def write_known(rows: Sequence[Known]) -> None:
    """Write what is now known of devices."""
    _write(_NOTE, _DEVICE, rows)


def _write(statement: str, columns: Mapping[str, Column], rows: Sequence[Sequence[object]]) -> None:
    """Run a statement over rows `given` to it."""
    if rows:
        given, parameters = as_table("given", columns, rows)
        with connection.cursor() as cursor:
            cursor.execute(statement.format(given=given), parameters)
