"""Rows as a CSV file that no spreadsheet runs and that can be read again as it was."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from meters.formulas import disarm


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> HttpResponse:
    """Write rows as a CSV file to keep; no cell of it is a formula to a spreadsheet."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow(columns)
    writer.writerows([disarm(cell) for cell in row] for row in rows)
    return response
