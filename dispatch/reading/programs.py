"""Programs: what we are in, with how much, and what is coming; and what else Leap has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum
from django.urls import reverse

from dispatch.domain.programs import short_program
from dispatch.models import ProgramLevel
from dispatch.queries import known_programs
from dispatch.reading.seasons import Season, read_seasons
from dispatch.reading.standing import able_kw_by, dispatchable_kw, read_present
from meters.enrollment_models import Program
from meters.models import EnrollmentStatus, MarketGroup, Meter


@dataclass(frozen=True, slots=True)
class Standing:
    """Meters of a program by Leap's word, the most first, and what they are nominated for."""

    meters: int
    statuses: tuple[tuple[str, int], ...]
    kw: Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """One program. `able_kw`: rated power that could move now, each device once.

    `is_described`: it stands in the table of programs, or an admin wrote of it. `level`: the level at which
    its dispatches are acted upon, empty while undecided.
    """

    program: Program
    short: str
    is_described: bool
    is_ours: bool
    standing: Standing
    groups: int
    able_kw: Decimal
    running: Season | None
    coming: Season | None
    level: str

    @property
    def edit_at(self) -> str:
        """Lead to where an admin describes it; a program without a row gets one there."""
        if self.program.pk:
            return reverse("admin:meters_program_change", args=[self.program.pk])
        return f"{reverse('admin:meters_program_add')}?code={self.program.code}"


@dataclass(frozen=True, slots=True)
class Region:
    """What could move now in one transmission region."""

    name: str
    able_kw: Decimal


@dataclass(frozen=True, slots=True)
class ProgramList:
    """The page. `ours` are those that meters, groups or dispatches name."""

    ours: tuple[Row, ...]
    others: tuple[Row, ...]
    regions: tuple[Region, ...]
    able_kw: Decimal

    @property
    def described(self) -> tuple[Row, ...]:
        """Give the others of which more than their code is known."""
        return tuple(row for row in self.others if row.is_described)

    @property
    def unknown(self) -> tuple[Row, ...]:
        """Give the others of which only their code is known."""
        return tuple(row for row in self.others if not row.is_described)


@dataclass(frozen=True, slots=True)
class ProgramDetail:
    """One program with its delivery periods that run or begin soon, and its market groups."""

    row: Row
    seasons: tuple[Season, ...]
    groups: tuple[tuple[str, str], ...]


def read_programs(*, now: datetime) -> ProgramList:
    """Read the programs. At most eighteen queries, whatever there is."""
    present = read_present(now=now)
    rows = _rows(read_seasons(now=now), able=able_kw_by("programs", present=present), now=now)
    regions = able_kw_by("transmission_region", present=present)
    return ProgramList(
        ours=tuple(row for row in rows if row.is_ours),
        others=tuple(row for row in rows if not row.is_ours),
        regions=tuple(Region(name or "No region", kw) for name, kw in sorted(regions.items())),
        able_kw=dispatchable_kw(present=present),
    )


def read_program(code: str, *, now: datetime) -> ProgramDetail | None:
    """Read one program; None when nobody has heard of it."""
    seasons = read_seasons(now=now, program=code)
    able = able_kw_by("programs", present=read_present(now=now))
    row = next((row for row in _rows(seasons, able=able, now=now) if row.program.code == code), None)
    if row is None:
        return None
    groups = MarketGroup.objects.filter(program=code).order_by("name", "market_group_id")
    return ProgramDetail(
        row=row, seasons=seasons, groups=tuple((one.market_group_id, str(one)) for one in groups)
    )


def _rows(seasons: Sequence[Season], *, able: Mapping[str, Decimal], now: datetime) -> list[Row]:
    """Put together what there is of each program, by region and code. Six queries."""
    stored = {each.code: each for each in Program.objects.all()}
    standings, groups = _standings(), _groups(now=now)
    named = {*known_programs(), *standings, *(one.period.program for one in seasons)} - {""}
    levels = {row.program: row.get_level_display() for row in ProgramLevel.objects.all()}
    by_program: defaultdict[str, list[Season]] = defaultdict(list)
    for one in seasons:
        by_program[one.period.program].append(one)
    rows = []
    for code in stored.keys() | named:
        program = stored.get(code) or Program(code=code)
        running = [one for one in by_program[code] if one.is_running]
        coming = [one for one in by_program[code] if not one.is_running]
        told = (running or coming)[:1]
        rows.append(
            Row(
                program=program,
                short=short_program(code),
                is_described=bool(program.name or program.region or program.note),
                is_ours=code in named or program.first_heard_at is not None,
                standing=_standing_of(told[0]) if told else standings.get(code, NOBODY),
                groups=groups.get(code, 0),
                able_kw=able.get(code, Decimal(0)),
                running=running[0] if running else None,
                coming=coming[0] if coming else None,
                level=levels.get(code, ""),
            )
        )
    return sorted(rows, key=lambda row: (row.program.region or "~", row.program.code))


NOBODY = Standing(0, (), Decimal(0))


def _standing_of(season: Season) -> Standing:
    return Standing(season.verdict.meters, _labelled(season.verdict.statuses), season.verdict.kw)


def _standings() -> dict[str, Standing]:
    """Count meters by the programs their rows name: what is known until Leap tells of periods. One query."""
    is_there = Meter.objects.filter(archived_at__isnull=True).order_by()
    grouped = is_there.values_list("programs", "enrollment_status").annotate(
        count=Count("pk"), kw=Sum("nomination_kw")
    )
    meters: defaultdict[str, dict[str, int]] = defaultdict(dict)
    power: defaultdict[str, Decimal] = defaultdict(Decimal)
    for programs, status, count, kw in grouped:
        for code in programs if isinstance(programs, list) else ():
            counts = meters[str(code)]
            counts[status] = counts.get(status, 0) + count
            power[str(code)] += kw or Decimal(0)
    return {
        code: Standing(
            sum(counts.values()),
            _labelled(tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))),
            power[code],
        )
        for code, counts in meters.items()
    }


def _labelled(statuses: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Write Leap's words as people read them; an unknown one as it came."""
    labels: dict[str, Any] = dict(EnrollmentStatus.choices)
    return tuple((str(labels.get(status, status) or "No status"), count) for status, count in statuses)


def _groups(*, now: datetime) -> dict[str, int]:
    """Count the market groups of each program that are not over. One query."""
    current = MarketGroup.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now)).order_by()
    return dict(current.values_list("program").annotate(count=Count("pk")))
