"""Who does a required action, and what they note: the only writer of `owner` and `note`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Case, F, QuerySet, TextField, Value, When

from meters.enrollment_models import RequiredAction

LONGEST_NOTE: Final = 500


@dataclass(frozen=True, slots=True)
class Assignment:
    """What to write. `sets_owner`: whether `owner_id` counts, null for nobody; `note`: `None` leaves it.

    `keeps_notes`: a note that is there stays.
    """

    sets_owner: bool = False
    owner_id: int | None = None
    note: str | None = None
    keeps_notes: bool = False


def assign(actions: QuerySet[RequiredAction], wanted: Assignment, *, by: str, now: datetime) -> int:
    """Write owner and note of actions, and who did; return of how many. One statement."""
    values: dict[str, Any] = {}
    if wanted.sets_owner:
        values["owner_id"] = wanted.owner_id
    if wanted.note is not None:
        note = wanted.note.strip()[:LONGEST_NOTE]
        kept = Case(When(note="", then=Value(note)), default=F("note"), output_field=TextField())
        values["note"] = kept if wanted.keeps_notes else note
    if not values:
        return 0
    return actions.order_by().update(**values, noted_by=by[:150], noted_at=now)
