"""Many rows of one table at once: COPY on PostgreSQL, one prepared insert on SQLite.

For the one place where a quarter of a million rows are written in a transaction: the segments of new
schedules. Many devices share the same segments, so their columns are put into the database's form once per
distinct segment, and a row costs a concatenation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from django.db import connection
from psycopg.types.json import Jsonb

from devices.domain.schedule import Segment
from devices.models import DeviceSchedule, ScheduleSegment

ROWS_AT_ONCE = 2_000

T = TypeVar("T")
Held = tuple[DeviceSchedule, Sequence[Segment]]

_OWN = ("schedule_id", "device_id")
_COLUMNS = (
    "starts_at",
    "ends_at",
    "mode",
    "target_kw",
    "cap",
    "is_commitment",
    "leap_event_ids",
    "reason",
    "precondition_from",
    "ramp_seconds",
    "recover_until",
)
_TABLE = ScheduleSegment._meta.db_table
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NAMES = ", ".join((*_OWN, *_COLUMNS))


def insert_segments(schedules: Iterable[Held]) -> None:
    """Store the segments of stored schedules. Call inside a transaction; nothing is returned or read back."""
    if connection.vendor == "postgresql":
        _copy(schedules)
    else:
        _insert(schedules)


def _copy(schedules: Iterable[Held]) -> None:
    lines = (
        f"{schedule.pk}\t{schedule.device_id}\t{tail}\n"
        for schedule, tail in _with_tails(schedules, _as_copy_text)
    )
    with connection.cursor() as cursor, cursor.copy(f"COPY {_TABLE} ({_NAMES}) FROM STDIN") as copy:
        while text := "".join(islice(lines, ROWS_AT_ONCE)):
            copy.write(text)


def _insert(schedules: Iterable[Held]) -> None:
    rows = ((schedule.pk, schedule.device_id, *tail) for schedule, tail in _with_tails(schedules, _as_values))
    marks = ", ".join(["%s"] * (len(_OWN) + len(_COLUMNS)))
    with connection.cursor() as cursor:
        while portion := list(islice(rows, ROWS_AT_ONCE)):
            cursor.executemany(f"INSERT INTO {_TABLE} ({_NAMES}) VALUES ({marks})", portion)  # noqa: S608 - no input


def _with_tails(
    schedules: Iterable[Held],
    form: Callable[[DeviceSchedule, Segment], T],
) -> Iterator[tuple[DeviceSchedule, T]]:
    """Return every row's schedule and the rest of its columns, formed once per segment object."""
    formed: dict[int, tuple[Segment, T]] = {}  # holds the segment, so that its number is not used again
    for schedule, segments in schedules:
        for segment in segments:
            known = formed.get(id(segment))
            if known is None:
                known = formed[id(segment)] = (segment, form(schedule, segment))
            yield schedule, known[1]


def _as_values(schedule: DeviceSchedule, segment: Segment) -> tuple[Any, ...]:
    """Return the columns in the database's form, as Django's fields put them."""
    row = ScheduleSegment.from_value(segment, schedule=schedule)
    fields = {field.column: field for field in ScheduleSegment._meta.concrete_fields}
    return tuple(
        [fields[name].get_db_prep_save(getattr(row, fields[name].attname), connection) for name in _COLUMNS]
    )


def _as_copy_text(schedule: DeviceSchedule, segment: Segment) -> str:
    """Return the columns as COPY reads them: tabs between, backslashes before what has a meaning."""
    return "\t".join([_copy_value(value) for value in _as_values(schedule, segment)])


def _copy_value(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, Jsonb):
        value = json.dumps(value.obj)
    return str(value).translate(_ESCAPES)
