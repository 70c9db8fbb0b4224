"""One at a time: stages that read much and write little take turns.

PostgreSQL: an advisory lock held to the end of the transaction. SQLite: every transaction is
immediate, so whoever began first is alone already.
"""

from __future__ import annotations

from enum import IntEnum

from django.db import connection


class Stage(IntEnum):
    """The stages that take turns; the numbers are the advisory locks' keys."""

    RECORDING = 7_310_001
    PLANNING = 7_310_002
    REPLAYING = 7_310_003
    COMPARING = 7_310_004


def take_turn(stage: Stage) -> None:
    """Wait until no other transaction works at this stage. Call first thing inside `atomic`."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(stage)])


def try_turn(stage: Stage) -> bool:
    """Take the turn unless another transaction has it, and say so. Call first thing inside `atomic`."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int(stage)])
        return bool(cursor.fetchone()[0])
