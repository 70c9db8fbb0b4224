"""What is doubted about an event: what is held beside what else it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from dispatch.models import Doubt, EventRevision
from dispatch.reading.revisions import Change, change_of


@dataclass(frozen=True, slots=True)
class DoubtPanel:
    """One open doubt; each change is what is held, then what taking the other would make it."""

    id: int
    raised_at: datetime
    why: str
    notification_id: int | None
    changes: tuple[Change, ...]


def read_doubts(event_id: int, *, zone: tzinfo) -> tuple[DoubtPanel, ...]:
    """Read an event's open doubts; one query, and one more when there are any."""
    doubts = list(Doubt.objects.filter(event_id=event_id, settled_at__isnull=True).order_by("id"))
    if not doubts:
        return ()
    held = (
        EventRevision.objects.filter(event_id=event_id).order_by("-number").values_list("fields", flat=True)
    )
    content = held.first() or {}
    return tuple(
        DoubtPanel(
            id=doubt.pk,
            raised_at=doubt.raised_at,
            why=doubt.why,
            notification_id=doubt.notification_id,
            changes=_differences(content, doubt.fields, zone=zone),
        )
        for doubt in doubts
    )


def _differences(held: Mapping[str, Any], said: Mapping[str, Any], *, zone: tzinfo) -> tuple[Change, ...]:
    """Say each field in which the two differ."""
    names = [*held, *(name for name in said if name not in held)]
    return tuple(
        Change(field="Meters", old="as held", new="another list")
        if name == "meter_ids"
        else change_of(name, [held.get(name), said.get(name)], zone=zone)
        for name in names
        if held.get(name) != said.get(name)
    )
