"""Which groups Leap puts a meter in, beside the rows of it → which rows begin, end otherwise or never were.

Leap words a membership by its delivery period. Who is put into another group in the middle of a period is in
it from when that was heard: until then the meter was in the group of before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from leapvpp.leap.meters import ProgramEnrollment, read_moment


@dataclass(frozen=True, slots=True, order=True)
class Membership:
    """A meter in a market group, for a program's period, during `[starts_at, ends_at)`; `None`: open end."""

    market_group_id: str
    program: str
    delivery_period: str
    starts_at: datetime
    ends_at: datetime | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A membership as it is stored, by its row's id."""

    pk: int
    one: Membership

    def is_of(self, said: Membership) -> bool:
        """Say whether it is of what Leap said: it begins within, at the latest when that was heard."""
        mine = (self.one.market_group_id, self.one.program, self.one.delivery_period)
        if mine != (said.market_group_id, said.program, said.delivery_period):
            return False
        return said.starts_at <= self.one.starts_at and not _is_over(said, at=self.one.starts_at)


@dataclass(frozen=True, slots=True)
class Following:
    """How the rows of a meter follow: what begins, `{row: end}` of what ends otherwise, what never was."""

    put: tuple[Membership, ...]
    until: dict[int, datetime | None]
    drop: tuple[int, ...]


def memberships_of(programs: Sequence[ProgramEnrollment]) -> frozenset[Membership]:
    """Return the groups that the delivery periods name, once per period and start, with the latest end."""
    found: dict[Membership, Membership] = {}
    for each in programs:
        start = read_moment(each.delivery_period_start_date_time)
        end = read_moment(each.delivery_period_end_date_time)
        if not each.market_group_id or start is None or (end is not None and end <= start):
            continue
        group_id = each.market_group_id.lower()
        one = Membership(group_id, each.program_identifier, each.delivery_period, start, end)
        known = found.get(one)  # the end does not tell two of them apart
        if known is None or (known.ends_at is not None and (end is None or end > known.ends_at)):
            found[one] = one
    return frozenset(found.values())


def follow(
    *,
    before: frozenset[Membership],
    heard: frozenset[Membership],
    rows: Sequence[Row],
    was_heard: bool,
    now: datetime,
) -> Following:
    """Return how the rows of a meter follow what Leap says now; `before`: what it said last.

    What is over stays as it was: who was in the group then. Rows that Leap never named, a person's, are left
    alone. `was_heard`: Leap was heard of the meter before, so that what is new to us begins now.
    """
    drop: list[int] = []
    until: dict[int, datetime | None] = {}
    put: list[Membership] = []
    for one in before - heard:
        mine = [row for row in rows if row.is_of(one) and not _is_over(row.one, at=now)]
        drop += [row.pk for row in mine if row.one.starts_at >= now]
        until |= {row.pk: now for row in mine if row.one.starts_at < now}
    said_before = {one: one for one in before}
    for one in sorted(heard):
        last = said_before.get(one)
        if last is not None and last.ends_at == one.ends_at:
            continue
        row = _latest(rows, of=last or one, now=now, is_new=last is None)
        if row is not None and not _is_over(one, at=row.one.starts_at):
            until[row.pk] = one.ends_at
        elif row is not None:
            drop.append(row.pk)
        else:
            put.append(_begun(one, now=now) if was_heard and last is None else one)
    return Following(tuple(put), until, tuple(drop))


def timed(memberships: Iterable[Membership]) -> set[tuple[object, ...]]:
    """Return memberships so that two with different ends differ."""
    return {(one, one.ends_at) for one in memberships}


def _latest(rows: Sequence[Row], *, of: Membership, now: datetime, is_new: bool) -> Row | None:
    """Find the row that goes on for what Leap said; one that is over does not begin again."""
    mine = [row for row in rows if row.is_of(of) and not (is_new and _is_over(row.one, at=now))]
    return max(mine, key=lambda row: row.one.starts_at, default=None)


def _begun(one: Membership, *, now: datetime) -> Membership:
    return replace(one, starts_at=now) if one.starts_at < now and not _is_over(one, at=now) else one


def _is_over(one: Membership, *, at: datetime) -> bool:
    return one.ends_at is not None and one.ends_at <= at
