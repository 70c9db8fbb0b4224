"""Who is in a market group at a time, as Leap's words change it, and asking that it be laid beside its calls.

The only writer of groups and memberships that Leap names, called by `meters.syncing` within its transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from meters.among import Ids
from meters.domain.memberships import Following, Membership, Row, follow, timed
from meters.domain.syncing import GroupNamed
from meters.models import MarketGroup, MarketGroupMembership


@dataclass(frozen=True, slots=True)
class Grouped:
    """A meter's groups as Leap named them last and names them now.

    `was_heard`: Leap was heard of the meter before. `is_without_rows`: it was heard before memberships were
    kept with their periods.
    """

    meter_pk: int
    groups: tuple[GroupNamed, ...]
    before: frozenset[Membership]
    heard: frozenset[Membership]
    was_heard: bool
    is_without_rows: bool

    @property
    def is_moved(self) -> bool:
        """Say whether any row may change."""
        return self.is_without_rows or timed(self.before) != timed(self.heard)


def in_effect(at: datetime) -> Q:
    """Select the memberships that hold at a time; a meter may have several in one group."""
    return Q(starts_at__lte=at) & (Q(ends_at__isnull=True) | Q(ends_at__gt=at))


def request_comparison(market_group_ids: Collection[str], *, now: datetime) -> None:
    """Have groups, by Leap's ids, compared with the calls of them. One statement.

    The rows are taken in order of id, so that nobody who asks for several locks another out.
    """
    named = MarketGroup.objects.filter(market_group_id__among=Ids(market_group_ids))
    held = named.order_by("pk").select_for_update(no_key=True)
    with transaction.atomic(savepoint=False):
        MarketGroup.objects.filter(pk__in=held.values("pk")).update(compare_requested_at=now)


def store_groups(grouped: Sequence[Grouped], *, now: datetime) -> None:
    """Name the groups that have no name yet, and let memberships follow where Leap's words changed.

    A constant number of statements, however many meters.
    """
    named = {group.market_group_id: group for each in grouped for group in each.groups}
    known = MarketGroup.objects.filter(market_group_id__among=Ids(named))
    groups = {group.market_group_id: group for group in known}
    MarketGroup.objects.bulk_create(
        (
            MarketGroup(market_group_id=one.market_group_id, name=one.name, program=one.program)
            for one in named.values()
            if one.market_group_id not in groups
        ),
        ignore_conflicts=True,
    )
    unnamed = [group for group in groups.values() if not group.name or not group.program]
    for group in unnamed:
        group.name = group.name or named[group.market_group_id].name
        group.program = group.program or named[group.market_group_id].program
    MarketGroup.objects.bulk_update(unnamed, ["name", "program"])
    _adopt([each for each in grouped if each.is_without_rows])
    _store_memberships([each for each in grouped if each.is_moved], now=now)


def _store_memberships(moved: Sequence[Grouped], *, now: datetime) -> None:
    rows = _rows_of(each.meter_pk for each in moved if each.was_heard)
    following = {
        each.meter_pk: follow(
            # Where there are no rows of before, all that is heard is put as Leap words it.
            before=frozenset() if each.is_without_rows else each.before,
            heard=each.heard,
            rows=rows.get(each.meter_pk, ()),
            was_heard=each.was_heard and not each.is_without_rows,
            now=now,
        )
        for each in moved
    }
    request_comparison(
        {one.market_group_id for each in moved for one in each.before ^ each.heard}
        | {one.market_group_id for each in following.values() for one in each.put},
        now=now,
    )
    dropped = [pk for each in following.values() for pk in each.drop]
    MarketGroupMembership.objects.filter(pk__among=Ids(dropped)).delete()
    until = {pk: end for each in following.values() for pk, end in each.until.items()}
    MarketGroupMembership.objects.bulk_update(
        [MarketGroupMembership(pk=pk, ends_at=end) for pk, end in sorted(until.items())],
        ["ends_at"],
        batch_size=500,
    )
    _put(following)


def _rows_of(meter_pks: Iterable[int]) -> Mapping[int, list[Row]]:
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    columns = ("group__market_group_id", "program", "delivery_period", "starts_at", "ends_at")
    stored = MarketGroupMembership.objects.filter(meter__among=Ids(meter_pks))
    for pk, meter, *fields in stored.values_list("pk", "meter_id", *columns):
        rows[meter].append(Row(pk, Membership(*fields)))
    return rows


def _put(following: Mapping[int, Following]) -> None:
    new = [(meter_pk, one) for meter_pk, each in following.items() for one in each.put]
    named = MarketGroup.objects.filter(market_group_id__among=Ids({one.market_group_id for _, one in new}))
    groups: dict[str, int] = dict(named.values_list("market_group_id", "pk"))
    MarketGroupMembership.objects.bulk_create(
        (
            MarketGroupMembership(
                meter_id=meter_pk,
                group_id=groups[one.market_group_id],
                program=one.program,
                delivery_period=one.delivery_period,
                starts_at=one.starts_at,
                ends_at=one.ends_at,
            )
            for meter_pk, one in new
        ),
        update_conflicts=True,
        unique_fields=["group", "meter", "program", "delivery_period", "starts_at"],
        update_fields=["ends_at"],
    )


def _adopt(grouped: Sequence[Grouped]) -> None:
    """Give memberships their program and period that were stored before either was kept."""
    nameless = MarketGroupMembership.objects.filter(
        meter__among=Ids(each.meter_pk for each in grouped), program="", delivery_period=""
    ).select_related("group")
    stored = {(row.meter_id, row.group.market_group_id, row.starts_at): row for row in nameless}
    adopted = []
    for each in grouped:
        for one in sorted(each.before | each.heard):
            row = stored.pop((each.meter_pk, one.market_group_id, one.starts_at), None)
            if row is not None:
                row.program, row.delivery_period = one.program, one.delivery_period
                adopted.append(row)
    MarketGroupMembership.objects.bulk_update(adopted, ["program", "delivery_period"], batch_size=250)
