"""What was said of events, and of whom when a group's timeslot does not name its meters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dispatch.domain.belief import Source
from dispatch.domain.groups_in_step import Group, Stint, members_at
from dispatch.domain.revisions import recipients_digest
from dispatch.intake.payloads import Timeslot
from dispatch.lookups import columns_of
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
    """Give a group's timeslot that names no meters those in the group when it begins, for its programs."""
    groups = {
        one.slot.fields.market_group_id for one in said if one.slot.fields and "recipients" in one.slot.unsaid
    }
    if not groups:
        return said
    members: defaultdict[str, defaultdict[Stint, set[str]]] = defaultdict(lambda: defaultdict(set))
    columns = ("group__market_group_id", "meter__meter_id", "program", "starts_at", "ends_at")
    rows = columns_of(
        groups,
        lambda some: MarketGroupMembership.objects.filter(group__market_group_id__in=some),
        columns,
    )
    for group, meter_id, *stint in rows:
        members[group][Stint(*stint)].add(meter_id)
    return [_with_members(one, members) for one in said]


def _with_members(one: Said, members: Mapping[str, Group]) -> Said:
    fields = one.slot.fields
    if fields is None or "recipients" not in one.slot.unsaid:
        return one
    held = members_at(members[fields.market_group_id], at=fields.starts_at, called=fields.programs)
    meter_ids = tuple(sorted(held))
    named = replace(fields, recipients=recipients_digest(meter_ids))
    return replace(one, slot=replace(one.slot, fields=named, meter_ids=meter_ids))
