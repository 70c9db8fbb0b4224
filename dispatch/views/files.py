"""Lists as files: as the API writes them."""

from __future__ import annotations

from meters.api.csv_export import csv_file as csv_file
