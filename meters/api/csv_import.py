"""Rows from a CSV file: read, checked one by one, applied all or none.

A dry run unless `?commit=true`. An empty cell leaves a value as it is; lists are split at blanks and `;`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from django.db.models import Model
from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request

from meters.formulas import restore

LARGEST_FILE = 10 * 1024 * 1024  # bytes
MOST_ROWS = 20_000
FIRST_ROW = 2  # the header is row 1, as a spreadsheet counts

Values = dict[str, Any]
RowErrors = dict[int, Mapping[str, Any]]


class CsvBody(BaseParser):
    """The request's body as bytes, whatever its declared type: clients seldom declare CSV."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read no more than can be accepted, and one byte."""
        return stream.read(LARGEST_FILE + 1)


CSV_PARSERS = [MultiPartParser, CsvBody]
CSV_BODY = {
    "text/csv": {"type": "string"},
    "multipart/form-data": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
}
COMMIT = OpenApiParameter("commit", bool, description="Apply; a dry run otherwise.")


class ImportOut(serializers.Serializer):
    """What an import did, or would do."""

    applied = serializers.BooleanField(help_text="False is a dry run.")
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    errors = serializers.DictField(  # type: ignore[assignment]  # a field that is called so
        help_text='`{row: {column: ["why"]}}`, the header being row 1.'
    )


def run_import(
    request: Request,
    *,
    row_serializer: type[serializers.Serializer],
    check: Callable[[Sequence[Values]], RowErrors],
    apply: Callable[[Sequence[Values], bool], tuple[int, int]],
) -> Values:
    """Check every row, then apply all of them if asked to and none is wrong.

    `check` sees the values of rows that are well-formed and answers errors by position; `apply`
    stores them when its flag is set and counts the created and the updated either way.

    Raises: serializers.ValidationError for a file that cannot be read, and for wrong rows on commit.
    """
    rows = read_rows(request, row_serializer=row_serializer)
    is_commit = request.query_params.get("commit", "").lower() in {"true", "1"}
    checked = row_serializer(data=rows, many=True)
    checked.is_valid()
    errors = dict(checked.errors) or check(checked.validated_data)
    by_row = {str(position + FIRST_ROW): error for position, error in sorted(errors.items())}
    if by_row and is_commit:
        raise serializers.ValidationError(by_row)
    created, updated = (0, 0) if by_row else apply(checked.validated_data, is_commit)
    return {"applied": is_commit, "created": created, "updated": updated, "errors": by_row}


def read_rows(request: Request, *, row_serializer: type[serializers.Serializer]) -> list[Values]:
    """Read the file's rows as values that the serializer can check.

    Raises: serializers.ValidationError when the file is too large, no UTF-8, no CSV, or has unknown columns.
    """
    return rows_of(text_of(request), row_serializer=row_serializer)


def rows_of(text: str, *, row_serializer: type[serializers.Serializer]) -> list[Values]:
    """Read the rows of a file's text as values that the serializer can check.

    Raises: serializers.ValidationError when it is no CSV, or has unknown columns.
    """
    fields = row_serializer().fields
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if unknown := sorted(set(reader.fieldnames or []) - set(fields)):
            raise _refused(f"Unknown columns: {', '.join(unknown)}. Known: {', '.join(fields)}.")
        rows = list(reader)
        if any(None in row for row in rows):
            raise _refused("A row has more cells than the header.")
    except csv.Error as broken:
        raise _refused(f"The file is not CSV: {broken}.") from None
    if not rows or len(rows) > MOST_ROWS:
        raise _refused(f"The file must have between 1 and {MOST_ROWS} rows under its header.")
    return [_values(row, fields=fields) for row in rows]


def text_of(request: Request) -> str:
    """Return the file that a request brings, as text. Raises: serializers.ValidationError."""
    data: Any = request.data
    if isinstance(data, QueryDict):
        upload = request.FILES.get("file")
        data = upload.read(LARGEST_FILE + 1) if upload else b""
    if not isinstance(data, bytes) or not data:
        raise _refused("Send CSV as the body, or as the field “file” of a form.")
    if len(data) > LARGEST_FILE:
        raise _refused("The file is larger than 10 MiB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused("The file is not UTF-8.") from None


def _values(row: Mapping[str, Any], *, fields: Mapping[str, serializers.Field]) -> Values:
    """Leave out empty cells, and cut lists."""
    cells = {name: restore(cell) for name, cell in row.items() if cell}
    return {name: _cell(cell, field=fields[name]) for name, cell in cells.items()}


def _cell(cell: str, *, field: serializers.Field) -> Any:
    if isinstance(field, serializers.ListField):
        return re.findall(r"[^\s;]+", cell)
    if isinstance(field, serializers.DictField):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell  # which the field refuses with a sentence
    return cell


def _refused(sentence: str) -> serializers.ValidationError:
    return serializers.ValidationError({"file": [sentence]})


def store_or_count(
    rows: Sequence[Values],
    *,
    key: str,
    model: type[Model],
    register: Callable[..., tuple[int, int]],
    is_commit: bool,
) -> tuple[int, int]:
    """Store rows under their key when asked to; count the new and the known either way.

    `register` takes `wanted={key: fields}` and `now`, and answers what it created and changed.
    """
    wanted = {row[key]: {name: value for name, value in row.items() if name != key} for row in rows}
    if is_commit:
        return register(wanted=wanted, now=timezone.now())
    known = model._default_manager.filter(**{f"{key}__in": wanted}).count()
    return len(wanted) - known, known


def repeated(rows: Sequence[Values], *, key: str) -> RowErrors:
    """Name the rows whose key an earlier row has already."""
    seen: set[str] = set()
    errors: RowErrors = {}
    for position, row in enumerate(rows):
        if row[key] in seen:
            errors[position] = {key: ["An earlier row has the same."]}
        seen.add(row[key])
    return errors
