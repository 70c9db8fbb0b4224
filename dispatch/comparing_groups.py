"""Stage: whom Leap calls for a market group beside who is in it here → groups out of step.

A group asks by `compare_requested_at`: recording when a call of it is new or means others, the sync and the
admin when its members change. All that is found is written in one transaction with the request's end: a crash
leaves the request standing, and comparing twice finds the same and writes nothing. Constant statements for
up to `MOST_GROUPS` groups, and each set of meters called is laid beside each set of members once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from dispatch.domain.groups_in_step import (
    Difference,
    Group,
    MeterIds,
    Step,
    Stint,
    difference_of,
    members_at,
    step_for,
    stints_at,
    to_read,
)
from dispatch.locking import Stage, try_turn
from dispatch.models import DispatchEvent, Level, RecipientSet, TestKind
from dispatch.queries import groups_to_compare
from dispatch.step_models import GroupDifference, OutOfStep
from meters.among import Ids
from meters.models import MarketGroup, MarketGroupMembership
from meters.rereading import read_again

MOST_GROUPS: Final = 50
MOST_ROUNDS: Final = 20
"""How often it looks again before it leaves the rest to the next wake-up."""


@dataclass(frozen=True, slots=True)
class _Call:
    """An event of a group: whom it names, when it begins, for which programs, and what was raised of it."""

    event_id: int
    market_group_id: str
    recipients_id: int
    starts_at: datetime
    programs: list[str]


@dataclass(frozen=True, slots=True)
class _Found:
    """A call, whom it names, and how that differs; `None` in step."""

    call: _Call
    called: MeterIds
    difference: Difference | None

    @property
    def digest(self) -> str | None:
        return self.difference.digest if self.difference else None


def compare_waiting(*, now: datetime) -> int:
    """Compare the groups that ask, and return how many were; 0 also when somebody else compares."""
    compared = 0
    for _ in range(MOST_ROUNDS):
        some = _compare(now=now)
        compared += some
        if some < MOST_GROUPS:
            break
    return compared


def _compare(*, now: datetime) -> int:
    with transaction.atomic():
        # A second one could write what it read before the first one's last look.
        if not try_turn(Stage.COMPARING):
            return 0
        asking = groups_to_compare(now=now).order_by("pk")[:MOST_GROUPS]
        rows = asking.values_list("pk", "compare_requested_at")
        asked_at = {pk: at for pk, at in rows if at is not None}
        if not asked_at:
            return 0
        calls = _calls(list(asked_at), now=now)
        if calls:
            _note(_found(calls), now=now)
        _let_go(asked_at)
    return len(asked_at)


def _calls(group_ids: Sequence[int], *, now: datetime) -> list[_Call]:
    """Return the events of groups that are to come or going on, tests of the wire alone left out."""
    named = MarketGroup.objects.filter(pk__among=Ids(group_ids)).values("market_group_id")
    live = DispatchEvent.objects.filter(level=Level.GROUP, is_cancelled=False, ends_at__gt=now)
    rows = live.filter(market_group_id__in=named).exclude(test=TestKind.INTEGRATION).order_by("pk")
    columns = ("pk", "market_group_id", "recipients_id", "starts_at", "programs")
    return [_Call(*row) for row in rows.values_list(*columns)]


def _found(calls: Sequence[_Call]) -> list[_Found]:
    """Lay each set of meters called beside each set of members, once."""
    sets = RecipientSet.objects.filter(pk__among=Ids({call.recipients_id for call in calls}))
    called: dict[int, MeterIds] = {pk: frozenset(ids) for pk, ids in sets.values_list("pk", "meter_ids")}
    groups, known = _members(calls)
    seen: dict[tuple[str, int, frozenset[Stint]], Difference | None] = {}
    found = []
    for call in calls:
        stints = groups.get(call.market_group_id, {})
        counted = stints_at(stints, at=call.starts_at, called=call.programs)
        key = (call.market_group_id, call.recipients_id, counted)
        if key not in seen:
            seen[key] = difference_of(
                called[call.recipients_id],
                members_at(stints, at=call.starts_at, called=call.programs),
                is_group_unknown=call.market_group_id not in known,
            )
        found.append(_Found(call, called[call.recipients_id], seen[key]))
    return found


def _members(calls: Sequence[_Call]) -> tuple[Mapping[str, Group], frozenset[str]]:
    """Return who is in each group while its calls begin, and which groups ever had anybody."""
    rows = MarketGroup.objects.filter(market_group_id__among=Ids({call.market_group_id for call in calls}))
    ever = Exists(MarketGroupMembership.objects.filter(group=OuterRef("pk")))
    known = dict(rows.filter(ever).values_list("pk", "market_group_id"))
    starts = [call.starts_at for call in calls]
    then = MarketGroupMembership.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=min(starts)), starts_at__lte=max(starts)
    )
    columns = ("group_id", "program", "starts_at", "ends_at", "meter__meter_id")
    groups: defaultdict[str, defaultdict[Stint, set[str]]] = defaultdict(lambda: defaultdict(set))
    alike: dict[tuple[int, str, datetime, datetime | None], set[str]] = {}
    for *key, meter_id in then.filter(group__among=Ids(known)).values_list(*columns):
        group_id, *times = when = tuple(key)
        if when not in alike:
            alike[when] = groups[known[group_id]][Stint(*times)]
        alike[when].add(meter_id)
    return groups, frozenset(known.values())


def _note(found: Sequence[_Found], *, now: datetime) -> None:
    """Raise what is new, settle what is over, and have the meters of what is new read again."""
    rows = OutOfStep.objects.filter(
        event__among=Ids(each.call.event_id for each in found), settled_at__isnull=True
    )
    standing = dict(rows.values_list("event_id", "difference__digest"))
    steps: defaultdict[Step, list[_Found]] = defaultdict(list)
    for each in found:
        steps[step_for(found=each.digest, standing=standing.get(each.call.event_id))].append(each)
    raised = steps[Step.RAISE]
    _raise(raised, now=now)
    settled = Ids(each.call.event_id for each in steps[Step.SETTLE])
    OutOfStep.objects.filter(event__among=settled).update(settled_at=now)
    asked = {
        (each.call.market_group_id, standing[each.call.event_id])
        for each in found
        if each.call.event_id in standing
    }
    _read_again([each for each in raised if (each.call.market_group_id, each.digest) not in asked], now=now)


def _raise(raised: Sequence[_Found], *, now: datetime) -> None:
    if not raised:
        return
    differences = {each.difference.digest: each.difference for each in raised if each.difference}
    GroupDifference.objects.bulk_create(
        (_row(difference) for difference in differences.values()), ignore_conflicts=True
    )
    stored = dict(GroupDifference.objects.filter(digest__among=Ids(differences)).values_list("digest", "pk"))
    OutOfStep.objects.bulk_create(
        (
            OutOfStep(event_id=each.call.event_id, difference_id=stored[each.digest], found_at=now)
            for each in raised
            if each.digest
        ),
        update_conflicts=True,
        unique_fields=["event"],
        update_fields=["difference", "found_at", "settled_at"],
    )


def _row(difference: Difference) -> GroupDifference:
    return GroupDifference(
        digest=difference.digest,
        called=difference.called,
        held=difference.held,
        called_not_ours=list(difference.called_not_ours),
        called_not_ours_count=len(difference.called_not_ours),
        ours_not_called=list(difference.ours_not_called),
        ours_not_called_count=len(difference.ours_not_called),
        is_group_unknown=difference.is_group_unknown,
    )


def _read_again(new: Iterable[_Found], *, now: datetime) -> None:
    """Ask Leap again about the meters of differences that no call of their group had before."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for each in new:
        if each.difference:
            named[each.call.market_group_id].update(to_read(each.difference, called=each.called))
    if not named or not settings.LEAP_API_KEY:
        return
    which = next(iter(named)) if len(named) == 1 else f"{len(named)} groups"
    read_again(frozenset[str]().union(*named.values()), why=f"group {which} out of step", now=now)


def _let_go(asked_at: Mapping[int, datetime]) -> None:
    """End the requests that were answered; what asked again, or is being written, is compared anew."""
    held = MarketGroup.objects.filter(pk__among=Ids(asked_at)).order_by("pk")
    held = held.select_for_update(skip_locked=True, no_key=True)
    rows = held.values_list("pk", "compare_requested_at")
    answered = [pk for pk, at in rows if at == asked_at[pk]]
    MarketGroup.objects.filter(pk__among=Ids(answered)).update(compare_requested_at=None)
