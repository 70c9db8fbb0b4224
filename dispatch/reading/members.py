"""Who is in a market group at a time, and how that came about: who joined, who left, for which period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.core.paginator import Page
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, TextField, Window
from django.db.models.functions import Cast, RowNumber

from dispatch.domain.standing import BLOCKING, CAUSES, Code
from dispatch.reading.listing import page_of
from dispatch.reading.standing import Present, with_cause
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter
from meters.sync_models import MeterChange

COMING_SHOWN: Final = 4
PAST_SHOWN: Final = 8
NAMED_A_TURN: Final = 5
PERIODS_SHOWN: Final = 24
RUNS_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Period:
    """A time `[starts_at, ends_at)` for which meters are in the group, for a program's delivery period."""

    program: str
    delivery_period: str
    starts_at: datetime
    ends_at: datetime | None
    meters: int = 0
    when: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A meter in the group at the time asked for, once, with its periods there; `standing` is now's."""

    meter_id: str
    meter: str
    is_ready: bool
    standing: str
    nomination_kw: Decimal | None
    devices: int
    periods: tuple[Period, ...]

    @property
    def starts_at(self) -> datetime:
        """Say since when, for the period that began first."""
        return min(period.starts_at for period in self.periods)

    @property
    def ends_at(self) -> datetime | None:
        """Say until when, for the period that lasts longest; `None`: open."""
        ends = [period.ends_at for period in self.periods]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def programs(self) -> tuple[str, ...]:
        """Name for what, each once; nothing where a person put it there."""
        named = (period.delivery_period or period.program for period in self.periods)
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True)
class Turn:
    """A moment at which meters join or leave; some by name, and how many are in the group from then on."""

    at: datetime
    joined: int
    left: int
    members: int
    is_coming: bool
    joiners: tuple[tuple[str, str], ...] = ()
    leavers: tuple[tuple[str, str], ...] = ()

    @property
    def more_joined(self) -> int:
        """Say how many joined who are not named."""
        return self.joined - len(self.joiners)

    @property
    def more_left(self) -> int:
        """Say how many left who are not named."""
        return self.left - len(self.leavers)

    @property
    def words(self) -> str:
        """Write how many join and leave: "+12, −3"."""
        parts = [f"+{self.joined:,}"] if self.joined else []
        return ", ".join([*parts, *([f"−{self.left:,}"] if self.left else [])])


@dataclass(frozen=True, slots=True)
class Run:
    """A sync that moved meters into or out of the group, and how many."""

    sync_id: int
    at: datetime | None
    meters: int


@dataclass(frozen=True, slots=True)
class History:
    """Who was in the group over time: by period, by moment, by the runs that brought it."""

    periods: tuple[Period, ...]
    turns: tuple[Turn, ...]
    runs: tuple[Run, ...]

    @property
    def following(self) -> Turn | None:
        """Give the next moment at which anything changes."""
        return min((turn for turn in self.turns if turn.is_coming), key=lambda turn: turn.at, default=None)


def read_members(
    group: MarketGroup, *, at: datetime, present: Present, page_number: str
) -> tuple[Page[Any], tuple[Member, ...]]:
    """Read a page of who is in the group at a time, by name, each meter once. Three queries."""
    then = MarketGroupMembership.objects.filter(in_effect(at), group=group)
    meters = with_cause(Meter.objects.filter(pk__in=then.values("meter_id")), present=present)
    page = page_of(meters.annotate(count=Count("meter_devices")).order_by("name", "pk"), number=page_number)
    periods: defaultdict[int, list[Period]] = defaultdict(list)
    rows = then.filter(meter__in=[meter.pk for meter in page]).order_by("program", "starts_at", "pk")
    for row in rows:
        periods[row.meter_id].append(Period(row.program, row.delivery_period, row.starts_at, row.ends_at))
    return page, tuple(_member(meter, periods[meter.pk]) for meter in page)


def _member(meter: Any, periods: Iterable[Period]) -> Member:
    return Member(
        meter_id=meter.meter_id,
        meter=str(meter),
        is_ready=meter.cause not in BLOCKING,
        standing=CAUSES[Code(meter.cause)].brief.capitalize(),
        nomination_kw=meter.nomination_kw,
        devices=meter.count,
        periods=tuple(periods),
    )


def read_history(group: MarketGroup, *, members: int, now: datetime) -> History:
    """Read how the group came to have the `members` that it has now. Six queries, whatever is in it."""
    rows = MarketGroupMembership.objects.filter(group=group).order_by()
    return History(
        periods=_periods(rows, now=now),
        turns=_turns(rows, members=members, now=now),
        runs=_runs(group, rows),
    )


def _periods(rows: QuerySet[MarketGroupMembership], *, now: datetime) -> tuple[Period, ...]:
    alike = rows.values("program", "delivery_period", "starts_at", "ends_at")
    found = alike.annotate(meters=Count("meter", distinct=True))
    newest = found.order_by("-starts_at", "program", "delivery_period", "ends_at")[:PERIODS_SHOWN]
    return tuple(Period(**row, when=_when(row["starts_at"], row["ends_at"], now=now)) for row in newest)


def _when(starts_at: datetime, ends_at: datetime | None, *, now: datetime) -> str:
    if starts_at > now:
        return "coming"
    return "over" if ends_at is not None and ends_at <= now else "now"


def _joins(rows: QuerySet[MarketGroupMembership]) -> QuerySet[MarketGroupMembership]:
    """Select the memberships with which a meter comes in: no other one of it reaches up to their start."""
    before = Q(ends_at__isnull=True) | Q(ends_at__gte=OuterRef("starts_at"))
    others = rows.filter(before, meter=OuterRef("meter"), starts_at__lt=OuterRef("starts_at"))
    return rows.filter(~Exists(others))


def _leaves(rows: QuerySet[MarketGroupMembership]) -> QuerySet[MarketGroupMembership]:
    """Select the memberships with which a meter goes out: no other one of it goes on after their end."""
    after = Q(ends_at__isnull=True) | Q(ends_at__gt=OuterRef("ends_at"))
    others = rows.filter(after, meter=OuterRef("meter"), starts_at__lte=OuterRef("ends_at"))
    return rows.filter(~Exists(others), ends_at__isnull=False)


def _turns(rows: QuerySet[MarketGroupMembership], *, members: int, now: datetime) -> tuple[Turn, ...]:
    """Read the moments at which anybody joins or leaves, those to come and the latest, newest first."""
    joins, leaves = _joins(rows), _leaves(rows)
    joined, left = _counted(joins, "starts_at"), _counted(leaves, "ends_at")
    moments = sorted(joined.keys() | left.keys())
    coming = [at for at in moments if at > now][:COMING_SHOWN]
    past = [at for at in moments if at <= now][-PAST_SHOWN:]
    joiners, leavers = _named(joins, "starts_at", past + coming), _named(leaves, "ends_at", past + coming)
    turns = []
    for at in reversed(past):
        turns.append((at, members))
        members -= joined.get(at, 0) - left.get(at, 0)
    turns.reverse()
    members = turns[-1][1] if turns else members
    for at in coming:
        members += joined.get(at, 0) - left.get(at, 0)
        turns.append((at, members))
    return tuple(
        Turn(
            at=at,
            joined=joined.get(at, 0),
            left=left.get(at, 0),
            members=count,
            is_coming=at > now,
            joiners=tuple(joiners[at]),
            leavers=tuple(leavers[at]),
        )
        for at, count in reversed(turns)
    )


def _counted(rows: QuerySet[MarketGroupMembership], moment: str) -> dict[datetime, int]:
    counted = rows.values(moment).annotate(meters=Count("meter", distinct=True))
    return {row[moment]: row["meters"] for row in counted}


def _named(
    rows: QuerySet[MarketGroupMembership], moment: str, moments: Collection[datetime]
) -> defaultdict[datetime, list[tuple[str, str]]]:
    """Read the first few meters of each moment by name: Leap's id and what it is called."""
    order = Window(RowNumber(), partition_by=F(moment), order_by=["meter__name", "meter_id"])
    some = rows.filter(**{f"{moment}__in": moments}).annotate(number=order).filter(number__lte=NAMED_A_TURN)
    found: defaultdict[datetime, list[tuple[str, str]]] = defaultdict(list)
    for row in some.select_related("meter").order_by("meter__name", "meter_id"):
        named = (row.meter.meter_id, str(row.meter))
        if named not in found[getattr(row, moment)]:
            found[getattr(row, moment)].append(named)
    return found


def _runs(group: MarketGroup, rows: QuerySet[MarketGroupMembership]) -> tuple[Run, ...]:
    """Read the runs whose diff names the group as one that a meter of it came into or left."""
    changes = MeterChange.objects.filter(meter__in=rows.values("meter_id"))
    named = changes.annotate(text=Cast("fields", TextField())).filter(
        text__contains="market_groups", text__icontains=group.market_group_id
    )
    runs = named.values("sync_id", at=F("sync__requested_at")).annotate(meters=Count("meter", distinct=True))
    return tuple(Run(**row) for row in runs.order_by("-sync_id")[:RUNS_SHOWN])
