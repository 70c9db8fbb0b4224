"""Sets Django up when imported, before anything that needs its models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.db import connection

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()


@contextmanager
def empty_database() -> Iterator[None]:
    """Give the block a migrated database of its own."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"{name}.bench"  # a file: memory would flatter it
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
