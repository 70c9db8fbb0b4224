"""By what name a page calls an event: its market group's, its only meter's, or how many meters it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from dispatch.models import DispatchEvent, Level, RecipientMember
from dispatch.reading import words
from dispatch.reading.out_of_step import is_out_of_step
from meters.models import MarketGroup, Meter


def with_names(events: QuerySet[DispatchEvent]) -> QuerySet[Any]:
    """Add the group's or the only meter's name and zone to events, and if the group is out of step.

    All in the same query. The recipients come without their list: a name needs none, and one list may hold
    ten thousand ids.
    """
    group = MarketGroup.objects.filter(market_group_id=OuterRef("market_group_id"))
    member = RecipientMember.objects.filter(recipients_id=OuterRef(OuterRef("recipients_id")))
    meter = Meter.objects.filter(meter_id=Subquery(member.values("meter_id")[:1]))
    return (
        events.select_related("recipients")
        .defer("recipients__meter_ids")
        .annotate(
            group_name=Subquery(group.values("name")[:1]),
            group_zone=Subquery(group.values("zone")[:1]),
            group_timezone=Subquery(group.values("timezone")[:1]),
            meter_name=Subquery(meter.values("name")[:1]),
            meter_region=Subquery(meter.values("transmission_region")[:1]),
            meter_timezone=Subquery(meter.values("timezone")[:1]),
            is_out_of_step=is_out_of_step(),
        )
    )


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is asked: a market group, one meter, or several meters."""

    key: str
    name: str
    zone: str
    timezone: str

    @property
    def first_word(self) -> str:
        """Give as much of the name as fits a narrow column."""
        return self.name.partition(" ")[0]


def owner_of(event: Any) -> Owner:
    """Name who an event of `with_names` asks."""
    if event.level == Level.GROUP:
        name = event.group_name or f"Group {event.market_group_id[:8]}"
        return Owner(
            key=f"group:{event.market_group_id}",
            name=name,
            zone=event.group_zone or "",
            timezone=event.group_timezone or "UTC",
        )
    if event.recipients.size == 1:
        return Owner(
            key=f"meter:{event.recipients_id}",
            name=event.meter_name or "Unknown meter",
            zone=event.meter_region or "",
            timezone=event.meter_timezone or "UTC",
        )
    return Owner(
        key=f"meters:{event.recipients_id}",
        name=words.counted(event.recipients.size, one="meter"),
        zone=event.meter_region or "",
        timezone=event.meter_timezone or "UTC",
    )
