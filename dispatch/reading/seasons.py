"""Season check: the delivery periods that run or begin soon, and whether their meters are ready for them.

The database groups enrollments into kinds that are alike, which `dispatch.domain.seasons` judges: three
queries for any number of meters and periods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.db.models import (
    Case,
    Count,
    DecimalField,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest, TruncDate, Upper

from devices.models import MeterDevice
from dispatch.domain.seasons import (
    AHEAD,
    LACKS,
    SILENT_FOR,
    WARNED_AHEAD,
    Kind,
    Lack,
    State,
    Verdict,
    is_ready,
    judge,
    lacks_of,
    needs_somebody,
)
from dispatch.reading import words
from leapvpp.leap.meters import read_moment
from meters.enrollment_models import ActionParty, Enrollment, RequiredAction
from meters.models import EnrollmentStatus, Participation
from meters.participation_models import IdlePeriod

POWER: Final = DecimalField(max_digits=16, decimal_places=3)
CSV_COLUMNS: Final = (
    "program",
    "delivery_period",
    "begins_at",
    "ends_at",
    "meter_id",
    "name",
    "partner_reference",
    "status",
    "kw",
    "ready",
    "lacks",
)
_FACTS: Final = (
    "said",
    "sits_out",
    "has_device",
    "is_silent",
    "has_group",
    "has_nomination",
    "has_action",
)


class Period(NamedTuple):
    """A delivery period by its key."""

    program: str
    delivery_period: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Deadline:
    """When all must be done, when meters eligible then become active, and how many are not active yet."""

    at: datetime
    activation_at: datetime | None
    days: int
    meters: int


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist: what some meters lack, and where it is mended."""

    code: Lack
    text: str
    remedy: str
    meters: int
    kw: Decimal
    is_grave: bool
    href: str


@dataclass(frozen=True, slots=True)
class Season:
    """A delivery period and whether it is ready. `groups`: the market groups that its meters are in."""

    period: Period
    ends_at: datetime | None
    is_running: bool
    days: int
    verdict: Verdict
    items: tuple[Item, ...]
    deadlines: tuple[Deadline, ...]
    groups: int

    @property
    def query(self) -> str:
        """Name it in an address."""
        return urlencode(
            {
                "program": self.period.program,
                "period": self.period.delivery_period,
                "begins": self.period.starts_at.isoformat(),
            }
        )

    @property
    def line(self) -> str:
        """Say the verdict in one line."""
        found = self.verdict
        kw, ready_kw = words.power(found.kw), words.power(found.ready_kw)
        if found.state is State.READY:
            return f"Ready: {words.counted(found.meters, one='meter')}, {kw}"
        who = f"{found.ready:,} of {words.counted(found.meters, one='meter')}, {ready_kw} of {kw}"
        return f"Ready: {who}" if found.ready else f"Not ready: {who}"

    @property
    def chip(self) -> str:
        """Name the look of its verdict."""
        return {State.READY: "ok", State.PARTLY: "warn", State.NOBODY: "bad"}[self.verdict.state]


def current(*, now: datetime) -> QuerySet[Enrollment]:
    """Select what runs or begins soon, of meters that are not archived."""
    is_open = Q(ends_at__isnull=True) | Q(ends_at__gt=now)
    is_there = Q(meter__archived_at__isnull=True) | Q(meter__archived_at__gt=now)
    return Enrollment.objects.filter(is_open, is_there, starts_at__lte=now + AHEAD)


def read_seasons(
    *, now: datetime, program: str | None = None, enrollments: QuerySet[Enrollment] | None = None
) -> tuple[Season, ...]:
    """Read the periods, those that begin next first, then those that run. Three queries."""
    rows = current(now=now) if enrollments is None else enrollments
    if program is not None:
        rows = rows.filter(program=program)
    kinds, ends = _kinds(rows, now=now)
    deadlines, groups = _deadlines(rows, now=now), _groups(rows)
    seasons = [
        _season(
            period,
            kinds[period],
            ends_at=ends[period],
            deadlines=deadlines.get(period, ()),
            groups=groups.get(period, 0),
            now=now,
        )
        for period in kinds
    ]
    return tuple(sorted(seasons, key=lambda one: (one.is_running, one.period.starts_at, one.period)))


def begin_soon(*, now: datetime) -> QuerySet[Enrollment]:
    """Select what begins so soon that somebody is told of it."""
    return current(now=now).filter(starts_at__gt=now, starts_at__lte=now + WARNED_AHEAD)


def unready(*, now: datetime) -> tuple[Season, ...]:
    """Read the periods that begin so soon that they need somebody. One to four queries."""
    soon = begin_soon(now=now)
    if not soon.exists():
        return ()
    seasons = read_seasons(now=now, enrollments=soon)
    return tuple(
        one for one in seasons if needs_somebody(one.verdict, starts_at=one.period.starts_at, now=now)
    )


def _season(
    period: Period,
    kinds: Sequence[Kind],
    *,
    ends_at: datetime | None,
    deadlines: tuple[Deadline, ...],
    groups: int,
    now: datetime,
) -> Season:
    is_running = period.starts_at <= now
    verdict = judge(kinds, is_running=is_running)
    return Season(
        period=period,
        ends_at=ends_at,
        is_running=is_running,
        days=max(0, (period.starts_at - now).days),
        verdict=verdict,
        items=tuple(
            Item(
                code=each.lack,
                text=f"{words.counted(each.meters, one='meter')} {LACKS[each.lack].brief}",
                remedy=LACKS[each.lack].remedy,
                meters=each.meters,
                kw=each.kw,
                is_grave=each.is_grave,
                href=_mended_at(each.lack, period),
            )
            for each in verdict.missing
        ),
        deadlines=deadlines,
        groups=groups,
    )


def _mended_at(lack: Lack, period: Period) -> str:
    program = {"program": period.program}
    return {
        Lack.NOT_PARTICIPATING: f"/meters/?{urlencode(program | {'cause': 'IDLE'})}",
        Lack.INELIGIBLE: f"/actions/?{urlencode(program)}",
        Lack.PENDING: f"/actions/?{urlencode(program)}",
        Lack.NO_DEVICE: f"/meters/?{urlencode(program | {'cause': 'NO_DEVICE'})}",
        Lack.SILENT: f"/meters/?{urlencode(program | {'cause': 'OFFLINE'})}",
        Lack.NO_GROUP: f"/groups/?{urlencode({'q': period.program})}",
        Lack.NO_NOMINATION: f"/meters/?{urlencode(program | {'sort': 'nomination'})}",
        Lack.OPEN_ACTION: f"/actions/?{urlencode(program)}",
    }[lack]


def _with_facts(rows: QuerySet[Enrollment], *, now: datetime) -> QuerySet[Any]:
    """Add to each enrollment what its meter has and lacks for the period, and its power in kW."""
    behind = MeterDevice.objects.filter(meter=OuterRef("meter"))
    heard = behind.filter(Q(device__is_online=True) | Q(device__last_seen_at__gte=now - SILENT_FOR))
    rated = behind.order_by().values("meter").annotate(kw=Sum("device__rated_power_kw")).values("kw")
    asked = RequiredAction.objects.filter(
        meter=OuterRef("meter"),
        party=ActionParty.PARTNER,
        program=OuterRef("program"),
        delivery_period=OuterRef("delivery_period"),
        resolved_at__isnull=True,
    )
    stays_idle = Q(meter__at_leap__turns_at__isnull=True) | Q(meter__at_leap__turns_at__gt=F("starts_at"))
    # Idle days are of the meter's clock and periods begin at its midnight, which in America is the same date.
    day = TruncDate(Greatest(F("starts_at"), Value(now)), tzinfo=UTC)
    idle = IdlePeriod.objects.filter(
        meter=OuterRef("meter"), starts_on__lte=OuterRef("day"), ends_on__gte=OuterRef("day")
    )
    sits_out = (
        Q(meter__participation__iexact=Participation.DISENROLL)
        | (Q(meter__participation__iexact=Participation.IDLE) & stays_idle)
        | Q(Exists(idle))
    )
    return rows.annotate(day=day).annotate(
        said=Upper("status"),
        sits_out=_flag(sits_out),
        has_device=Exists(behind),
        is_silent=~Exists(heard),
        has_group=_flag(~Q(market_group_id="")),
        has_nomination=_flag(Q(meter__nomination_kw__isnull=False)),
        has_action=Exists(asked),
        kw=Coalesce("meter__nomination_kw", Subquery(rated), Value(Decimal(0)), output_field=POWER),
    )


def _flag(condition: Q) -> Case:
    return Case(When(condition, then=Value(value=True)), default=Value(value=False))


def _kind(row: dict[str, Any]) -> Kind:
    return Kind(
        status=row["said"],
        meters=row["meters"],
        kw=row["total_kw"] or Decimal(0),
        sits_out=row["sits_out"],
        has_device=row["has_device"],
        is_silent=row["is_silent"],
        has_group=row["has_group"],
        has_nomination=row["has_nomination"],
        has_action=row["has_action"],
    )


def _kinds(
    rows: QuerySet[Enrollment], *, now: datetime
) -> tuple[dict[Period, list[Kind]], dict[Period, datetime | None]]:
    """Group the enrollments of each period into kinds. One query."""
    grouped = (
        _with_facts(rows, now=now)
        .order_by()
        .values("program", "delivery_period", "starts_at", *_FACTS)
        .annotate(meters=Count("pk"), total_kw=Sum("kw"), latest=Max("ends_at"))
    )
    kinds: defaultdict[Period, list[Kind]] = defaultdict(list)
    ends: defaultdict[Period, list[datetime]] = defaultdict(list)
    for row in grouped:
        period = Period(row["program"], row["delivery_period"], row["starts_at"])
        kinds[period].append(_kind(row))
        ends[period] += [row["latest"]] if row["latest"] else []
    return kinds, {period: max(ends[period], default=None) for period in kinds}


def _deadlines(rows: QuerySet[Enrollment], *, now: datetime) -> dict[Period, tuple[Deadline, ...]]:
    """Read the deadlines that are still to come. One query; many meters share the same."""
    not_yet = Count("pk", filter=~Q(status__iexact=EnrollmentStatus.ACTIVE))
    found: defaultdict[Period, dict[tuple[datetime, datetime | None], int]] = defaultdict(dict)
    grouped = rows.order_by().values_list("program", "delivery_period", "starts_at", "deadlines")
    for program, delivery_period, starts_at, pairs, count in grouped.annotate(count=not_yet):
        for at, activation_at in _moments(pairs):
            if at > now:
                counts = found[Period(program, delivery_period, starts_at)]
                counts[at, activation_at] = counts.get((at, activation_at), 0) + count
    return {
        period: tuple(
            Deadline(at=at, activation_at=activation_at, days=(at - now).days, meters=count)
            for (at, activation_at), count in sorted(counts.items(), key=lambda each: each[0][0])
        )
        for period, counts in found.items()
    }


def _moments(pairs: Any) -> Iterator[tuple[datetime, datetime | None]]:
    """Read pairs of deadline and activation as Leap writes them; what is no time is left out."""
    for pair in pairs if isinstance(pairs, list) else ():
        moments = [_moment(each) for each in pair[:2]] if isinstance(pair, list) else []
        if moments and moments[0] is not None:
            yield moments[0], moments[1] if len(moments) > 1 else None


def _moment(said: Any) -> datetime | None:
    try:
        return read_moment(said) if isinstance(said, str) else None
    except ValueError:
        return None


def _groups(rows: QuerySet[Enrollment]) -> dict[Period, int]:
    """Count the market groups of each period. One query."""
    grouped = rows.exclude(market_group_id="").order_by()
    counted = grouped.values_list("program", "delivery_period", "starts_at").annotate(
        groups=Count("market_group_id", distinct=True)
    )
    return {Period(program, name, starts_at): count for program, name, starts_at, count in counted}


def checklist(
    *, now: datetime, program: str, delivery_period: str, starts_at: datetime | None
) -> Iterator[Sequence[str]]:
    """Give the meters of the periods asked for, of all without any, as lines of a file."""
    rows = current(now=now)
    if starts_at is not None:
        rows = rows.filter(program=program, delivery_period=delivery_period, starts_at=starts_at)
    elif program:
        rows = rows.filter(program=program)
    facts = _with_facts(rows, now=now).annotate(meters=Value(1), total_kw=F("kw"))
    columns = (
        *("program", "delivery_period", "starts_at", "ends_at", "status", "meters", "total_kw"),
        *("meter__meter_id", "meter__name", "meter__partner_reference"),
        *_FACTS,
    )
    ordered = facts.order_by("starts_at", "program", "delivery_period", "meter__name", "meter__meter_id")
    for row in ordered.values(*columns).iterator(chunk_size=2_000):
        yield _line(row, now=now)


def _line(row: dict[str, Any], *, now: datetime) -> tuple[str, ...]:
    lacks = lacks_of(_kind(row), is_running=row["starts_at"] <= now)
    return (
        row["program"],
        row["delivery_period"],
        _iso(row["starts_at"]),
        _iso(row["ends_at"]),
        row["meter__meter_id"],
        row["meter__name"],
        row["meter__partner_reference"],
        row["status"],
        f"{row['total_kw']:f}",
        "yes" if is_ready(lacks) else "no",
        _listed(lacks),
    )


def _iso(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""


def _listed(lacks: Iterable[Lack]) -> str:
    return "; ".join(LACKS[lack].brief for lack in lacks)
