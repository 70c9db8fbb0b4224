"""Groups out of step, put into words: whom Leap calls and we do not hold, and the other way round."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, QuerySet

from dispatch.domain.groups_in_step import programs_that_count
from dispatch.models import DispatchEvent, Level
from dispatch.reading import words
from dispatch.step_models import GroupDifference, OutOfStep
from meters.among import Ids
from meters.grouping import in_effect
from meters.models import MarketGroupMembership, Meter

MOST_NAMED = 25
"""How many meters of a side are named; those that will not move come first."""


@dataclass(frozen=True, slots=True)
class Named:
    """A meter of a difference: what it is called, and whether anything behind it would move."""

    meter_id: str
    name: str
    is_known: bool
    devices: int

    @property
    def trouble(self) -> str:
        """Say why a call of it moves nothing; empty when something would move."""
        if not self.is_known:
            return "unknown to the portal"
        return "" if self.devices else "no device"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a difference: how many there are, some of them by name, how many are left out."""

    count: int
    named: tuple[Named, ...]

    @property
    def more(self) -> int:
        """Say how many are not named."""
        return self.count - len(self.named)

    @property
    def stuck(self) -> int:
        """Count those named that a call would not move."""
        return sum(1 for each in self.named if each.trouble)


@dataclass(frozen=True, slots=True)
class Panel:
    """A difference with all that the pages say of it; `events`: how many coming ones share it."""

    title: str
    text: str
    is_standing: bool
    is_group_unknown: bool
    found_at: datetime
    settled_at: datetime | None
    called: int
    held: int
    extra: Side
    missing: Side
    events: int = 1

    @property
    def kind(self) -> str:
        """Say how grave it is: a class of notes and icons."""
        if not self.is_standing:
            return "quiet"
        return "quiet" if self.is_group_unknown else "warn"


def standing(*, now: datetime) -> QuerySet[OutOfStep]:
    """Select what matters still: not settled, and its event neither over nor cancelled. Indexed."""
    return OutOfStep.objects.filter(
        settled_at__isnull=True, event__is_cancelled=False, event__ends_at__gt=now
    )


def standing_of(event_id: int) -> OutOfStep | None:
    """Return what is not settled of an event, with `unknown`: whom of those called nobody knows here."""
    rows = OutOfStep.objects.filter(event_id=event_id, settled_at__isnull=True)
    row = rows.select_related("difference").first()
    if row is not None:
        named = row.difference.called_not_ours
        known = set(Meter.objects.filter(meter_id__among=Ids(named)).values_list("meter_id", flat=True))
        row.unknown = [meter_id for meter_id in named if meter_id not in known]  # type: ignore[attr-defined]
    return row


def is_out_of_step() -> Exists:
    """Say of an event whether its group differs in names: a group nobody knows is no news by itself."""
    rows = OutOfStep.objects.filter(event=OuterRef("pk"), settled_at__isnull=True)
    return Exists(rows.filter(difference__is_group_unknown=False))


def of_event(event: DispatchEvent, *, now: datetime) -> Panel | None:
    """Read an event's difference, settled or not; `None` when there never was one. At most two queries."""
    if event.level != Level.GROUP:
        return None
    row = OutOfStep.objects.filter(event_id=event.pk).select_related("difference").first()
    if row is None:
        return None
    is_live = not event.is_cancelled and event.ends_at > now
    return _panel(row.difference, row, is_standing=row.settled_at is None and is_live)


def of_group(market_group_id: str, *, now: datetime) -> Panel | None:
    """Read how a group differs in the call of it that begins first. At most three queries."""
    rows = standing(now=now).filter(event__market_group_id=market_group_id)
    first = rows.select_related("difference").order_by("event__starts_at", "pk").first()
    if first is None:
        return None
    alike = rows.filter(difference=first.difference_id).count()
    return _panel(first.difference, first, is_standing=True, events=alike)


def _panel(of: GroupDifference, row: OutOfStep, *, is_standing: bool, events: int = 1) -> Panel:
    meters = _meters([*of.called_not_ours, *of.ours_not_called])
    return Panel(
        title=_title(of, is_standing=is_standing),
        text=_text(of),
        is_standing=is_standing,
        is_group_unknown=of.is_group_unknown,
        found_at=row.found_at,
        settled_at=row.settled_at,
        called=of.called,
        held=of.held,
        extra=_side(of.called_not_ours, meters),
        missing=_side(of.ours_not_called, meters),
        events=events,
    )


def _title(of: GroupDifference, *, is_standing: bool) -> str:
    if of.is_group_unknown:
        return "We hold no members of this group" if is_standing else "We held no members of this group"
    return "Group out of step" if is_standing else "Group was out of step"


def _text(of: GroupDifference) -> str:
    """Say in a sentence how many differ on each side, and whom the event asks."""
    if of.is_group_unknown:
        called = words.counted(of.called, one="meter")
        return f"Leap calls {called}; those are asked. The sync from Leap brings who is in the group."
    return f"{difference_words(of.called_not_ours_count, of.ours_not_called_count)} Those called are asked."


def difference_words(called_not_ours: int, ours_not_called: int) -> str:
    """Write both sides: "Leap calls 3 meters that are no members here and leaves out 2 that are."."""
    parts = []
    if called_not_ours:
        are = "is no member" if called_not_ours == 1 else "are no members"
        parts.append(f"calls {words.counted(called_not_ours, one='meter')} that {are} here")
    if ours_not_called:
        are = "is" if ours_not_called == 1 else "are"
        whom = "" if called_not_ours else f" {'member' if ours_not_called == 1 else 'members'} here"
        parts.append(f"leaves out {ours_not_called:,}{whom or f' that {are}'}")
    return f"Leap {' and '.join(parts)}."


def _meters(meter_ids: Collection[str]) -> dict[str, tuple[Meter, int]]:
    """Read the known ones with the number of their devices. One query."""
    rows = Meter.objects.filter(meter_id__among=Ids(meter_ids)).annotate(count=Count("meter_devices"))
    return {row.meter_id: (row, row.count) for row in rows.only("meter_id", "name", "partner_reference")}


def _side(meter_ids: Sequence[str], meters: dict[str, tuple[Meter, int]]) -> Side:
    named = [_named(meter_id, meters.get(meter_id)) for meter_id in meter_ids]
    named.sort(key=lambda each: (each.is_known, bool(each.devices), each.name))
    return Side(len(meter_ids), tuple(named[:MOST_NAMED]))


def _named(meter_id: str, known: tuple[Meter, int] | None) -> Named:
    if known is None:
        return Named(meter_id, "Unknown meter", is_known=False, devices=0)
    row, devices = known
    return Named(meter_id, str(row), is_known=True, devices=devices)


def members_then(event: DispatchEvent) -> int | None:
    """Count who is in an event's group as it begins, for its programs. Two queries; none at meter level."""
    if event.level != Level.GROUP:
        return None
    then = MarketGroupMembership.objects.filter(
        in_effect(event.starts_at), group__market_group_id=event.market_group_id
    )
    held = then.order_by().values_list("program", flat=True).distinct()
    counted = programs_that_count(held, called=event.programs)
    found: dict[str, int] = then.filter(program__in=counted).aggregate(meters=Count("meter", distinct=True))
    return found["meters"]


@dataclass(frozen=True, slots=True)
class Differs:
    """A group that differs, how in the call that begins next, and when that is."""

    market_group_id: str
    is_group_unknown: bool
    called_not_ours: int
    ours_not_called: int
    next_at: datetime


def differing_groups(*, now: datetime) -> list[Differs]:
    """Return the ways in which groups differ, the next called first. One query."""
    rows = standing(now=now).values_list(
        "event__market_group_id",
        "difference__is_group_unknown",
        "difference__called_not_ours_count",
        "difference__ours_not_called_count",
    )
    told = rows.annotate(next_at=Min("event__starts_at")).order_by("next_at", "event__market_group_id")
    return [Differs(*row) for row in told]


def groups_that_differ(kind: str, *, now: datetime) -> QuerySet[Any]:
    """Select Leap's ids of the groups that differ: `out` by names, `unknown` as nobody is held."""
    rows = standing(now=now).filter(difference__is_group_unknown=kind == "unknown")
    return rows.values("event__market_group_id")
