"""What was said of events, and of whom when a group's timeslot does not name its meters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dispatch.domain.belief import Source
from dispatch.domain.revisions import recipients_digest
from dispatch.intake.payloads import Timeslot
from dispatch.lookups import batches
from meters.models import MarketGroupMembership

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One timeslot as said: by which notification, at which position, when."""

    notification_id: int | None
    position: int
    slot: Timeslot
    source: Source
    at: datetime
    is_replay: bool = False
    is_repeat: bool = False

    @property
    def key(self) -> Key:
        return (self.slot.level, self.slot.leap_event_id)


def with_known_members(said: Sequence[Said]) -> Sequence[Said]:
    """Give a group's timeslot that names no meters those that are in the group when it begins."""
    groups = {
        one.slot.fields.market_group_id for one in said if one.slot.fields and "recipients" in one.slot.unsaid
    }
    if not groups:
        return said
    members: dict[str, list[MarketGroupMembership]] = defaultdict(list)
    rows = MarketGroupMembership.objects.select_related("group", "meter")
    for batch in batches(groups):
        for row in rows.filter(group__market_group_id__in=batch):
            members[row.group.market_group_id].append(row)
    return [_with_members(one, members) for one in said]


def _with_members(one: Said, members: dict[str, list[MarketGroupMembership]]) -> Said:
    fields = one.slot.fields
    if fields is None or "recipients" not in one.slot.unsaid:
        return one
    meter_ids = tuple(
        sorted(
            row.meter.meter_id
            for row in members[fields.market_group_id]
            if row.starts_at <= fields.starts_at and (row.ends_at is None or fields.starts_at < row.ends_at)
        )
    )
    named = replace(fields, recipients=recipients_digest(meter_ids))
    return replace(one, slot=replace(one.slot, fields=named, meter_ids=meter_ids))
