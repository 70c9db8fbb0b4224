"""Many rows of one table at once: COPY on PostgreSQL, one prepared insert on SQLite.

For the places where tens or hundreds of thousands of rows are written in a transaction: new schedules,
their segments, their commands, readings. Rows are much alike, so a value is put into the database's form
once, and a row costs a few look-ups; segments, which many devices share whole, a concatenation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, TypeVar

from django.db import connection
from django.db.models import Field, Model
from psycopg.types.json import Jsonb

from devices.domain.schedule import Segment
from devices.models import ScheduleSegment

ROWS_AT_ONCE = 2_000

T = TypeVar("T")
Column = Literal["bigint", "boolean", "numeric", "timestamptz"]
Held = tuple[int, int, Sequence[Segment]]
"""A stored schedule's key, its device's, and the segments."""

_OWN = ("schedule_id", "device_id")
SEGMENT_COLUMNS = (
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
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def insert_rows(
    model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[object]], **shared: object
) -> None:
    """Store rows of values in the order of `columns`, which with `shared` are all that have no null.

    Values can be hashed, or are lists that live until all rows are stored. Call inside a transaction; keys
    are given by the database and not read back.
    """
    fields = [_field(model, name) for name in (*columns, *shared)]
    known: list[dict[object, Any]] = [{} for _ in columns]
    as_is = connection.vendor != "postgresql"
    form = _as_stored if as_is else _as_copied
    tail = tuple([form(_field(model, name), value) for name, value in shared.items()])

    def formed() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            values = []
            for field, mine, value in zip(fields, known, row, strict=False):
                if type(value) is int:  # a key or a number of its own: nothing to form, nothing to share
                    values.append(value if as_is else str(value))
                    continue
                key = id(value) if type(value) is list else value
                if key not in mine:
                    mine[key] = form(field, value)
                values.append(mine[key])
            yield (*values, *tail)

    names = [str(field.column) for field in fields]
    if connection.vendor == "postgresql":
        _copy(model, names, ("\t".join(values) + "\n" for values in formed()))
    else:
        _insert(model, names, formed())


def update_rows(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write values in the order of `columns` to stored rows, each row's key last: one prepared update.

    `QuerySet.bulk_update` takes a millisecond of processor a row to build its statement.
    """
    fields = [_field(model, name) for name in columns]
    sets = ", ".join(f"{field.column} = %s" for field in fields)
    statement = f"UPDATE {model._meta.db_table} SET {sets} WHERE id = %s"  # noqa: S608 - no input
    stored = [
        (*(_as_stored(field, value) for field, value in zip(fields, row, strict=False)), row[-1])
        for row in rows
    ]
    if stored:
        with connection.cursor() as cursor:
            cursor.executemany(statement, stored)


def insert_segments(schedules: Iterable[Held]) -> None:
    """Store the segments of stored schedules. Call inside a transaction; nothing is returned or read back."""
    names = (*_OWN, *SEGMENT_COLUMNS)
    if connection.vendor == "postgresql":
        lines = _with_tails(schedules, lambda row: "\t".join(_shared_columns(row, _as_copied)))
        _copy(ScheduleSegment, names, (f"{pk}\t{device_id}\t{tail}\n" for pk, device_id, tail in lines))
    else:
        rows = _with_tails(schedules, lambda row: _shared_columns(row, _as_stored))
        _insert(ScheduleSegment, names, ((pk, device_id, *tail) for pk, device_id, tail in rows))


def as_table(
    table: str, columns: Mapping[str, Column], rows: Sequence[Sequence[object]]
) -> tuple[str, list[Any]]:
    """Return SQL for a FROM that reads rows as a table, and its parameters; one statement for any number."""
    if connection.vendor == "postgresql":
        kinds = ", ".join(f"%s::{kind}[]" for kind in columns.values())
        arrays = [list(values) for values in zip(*rows, strict=True)] or [[] for _ in columns]
        return f"unnest({kinds}) AS {table}({', '.join(columns)})", arrays
    parts = ", ".join(
        f"json_extract(value, '$[{place}]') AS {column}" for place, column in enumerate(columns)
    )
    times = {value for row in rows for value in row if isinstance(value, datetime)}
    texts = {value: connection.ops.adapt_datetimefield_value(value) for value in times}
    as_text = json.dumps([[_in_json(value, texts) for value in row] for row in rows])
    return f"(SELECT {parts} FROM json_each(%s)) AS {table}", [as_text]  # noqa: S608 - names are ours


def _in_json(value: object, texts: Mapping[datetime, str | None]) -> object:
    """Return a value as SQLite would hold it."""
    if isinstance(value, datetime):
        return texts[value]
    return str(value) if isinstance(value, Decimal) else value


def _copy(model: type[Model], names: Iterable[str], lines: Iterator[str]) -> None:
    statement = f"COPY {model._meta.db_table} ({', '.join(names)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        while text := "".join(islice(lines, ROWS_AT_ONCE)):
            copy.write(text)


def _insert(model: type[Model], names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join(["%s"] * len(names))
    statement = f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - no input
    with connection.cursor() as cursor:
        while portion := list(islice(rows, ROWS_AT_ONCE)):
            cursor.executemany(statement, portion)


def _with_tails(
    schedules: Iterable[Held], form: Callable[[ScheduleSegment], T]
) -> Iterator[tuple[int, int, T]]:
    """Return every row's schedule and device and the rest of its columns, formed once per segment object."""
    formed: dict[int, tuple[Segment, T]] = {}  # holds the segment, so that its number is not used again
    for schedule_id, device_id, segments in schedules:
        for segment in segments:
            known = formed.get(id(segment))
            if known is None:
                row = ScheduleSegment.from_value(segment, schedule_id=schedule_id, device_id=device_id)
                known = formed[id(segment)] = (segment, form(row))
            yield schedule_id, device_id, known[1]


def _shared_columns(row: ScheduleSegment, form: Callable[[Field[Any, Any], Any], T]) -> list[T]:
    """Return what schedules share of a segment, in the database's form."""
    return [form(_field(ScheduleSegment, name), getattr(row, name)) for name in SEGMENT_COLUMNS]


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    field = model._meta.get_field(name)
    assert isinstance(field, Field)  # noqa: S101 - for mypy: no column is a relation from elsewhere
    return field


def _as_stored(field: Field[Any, Any], value: object) -> Any:
    """Return a value in the database's form, as Django's field puts it."""
    return field.get_db_prep_save(value, connection)


def _as_copied(field: Field[Any, Any], value: object) -> str:
    """Return a value as COPY reads it: backslashes before what has a meaning."""
    stored = _as_stored(field, value)
    if stored is None:
        return "\\N"
    if isinstance(stored, Jsonb):
        stored = json.dumps(stored.obj)
    return str(stored).translate(_ESCAPES)
