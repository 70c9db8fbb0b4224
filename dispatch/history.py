"""What was known of an event at a time: read from its revisions, which are never changed."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from dispatch.domain.revisions import EventFields, fields_from_content
from dispatch.models import DispatchEvent, RecipientSet, RevisionKind


def recall(event: DispatchEvent, *, at: datetime) -> bool:
    """Put what was known of the event at a time in place of its current fields; nothing is saved.

    Returns False, and changes nothing, for a time before its first revision.
    """
    revision = event.revisions.filter(received_at__lte=at).order_by("-number").first()
    if revision is None:
        return False
    known = fields_from_content(revision.fields)
    for field in fields(EventFields):
        if field.name != "recipients":
            setattr(event, field.name, getattr(known, field.name))
    event.recipients = RecipientSet.objects.get(digest=known.recipients)
    event.revision = revision.number
    event.is_ended_early = revision.kind == RevisionKind.ENDED_EARLY
    return True
