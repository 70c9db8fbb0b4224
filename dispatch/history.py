"""What was known of an event at a time: read from its revisions, which are never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from itertools import pairwise

from dispatch.domain.revisions import EventFields, Kind, fields_from_content, is_ended_early_after
from dispatch.models import DispatchEvent, EventRevision, RecipientSet


def recall(event: DispatchEvent, *, at: datetime) -> bool:
    """Put what was known of the event at a time in place of its current fields; nothing is saved.

    Returns False, and changes nothing, for a time before its first revision.
    """
    revisions = list(event.revisions.filter(received_at__lte=at).order_by("number"))
    if not revisions:
        return False
    known = fields_from_content(revisions[-1].fields)
    for field in fields(EventFields):
        if field.name != "recipients":
            setattr(event, field.name, getattr(known, field.name))
    event.recipients = RecipientSet.objects.get(digest=known.recipients)
    event.revision = revisions[-1].number
    event.is_ended_early = _is_ended_early(revisions)
    return True


def _is_ended_early(revisions: Sequence[EventRevision]) -> bool:
    """Say whether an event with these first revisions counts as ended early."""
    is_ended_early = False
    for before, after in pairwise(revisions):
        is_ended_early = is_ended_early_after(
            Kind(after.kind),
            old=fields_from_content(before.fields),
            new=fields_from_content(after.fields),
            was=is_ended_early,
        )
    return is_ended_early
