"""How the rows of a meter's memberships follow what Leap says: a table of cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from meters.domain.memberships import Membership, Row, follow

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER, JANUARY = NOVEMBER.replace(month=12), NOVEMBER.replace(year=2027, month=1)
EARLIER = NOVEMBER.replace(day=10)
A = Membership("a", "CCA", "NOV", NOVEMBER, DECEMBER)
B = replace(A, market_group_id="b")
NEXT_A = Membership("a", "CCA", "DEC", DECEMBER, JANUARY)
NEXT_B = replace(NEXT_A, market_group_id="b")
LAST = Membership("a", "CCA", "OCT", NOVEMBER.replace(month=10), NOVEMBER)


@dataclass(frozen=True)
class Case:
    """`rows`: what is stored, numbered from 1; the rest is what must come of it."""

    name: str
    before: tuple[Membership, ...] = ()
    heard: tuple[Membership, ...] = ()
    rows: tuple[Membership, ...] = ()
    was_heard: bool = True
    put: tuple[Membership, ...] = ()
    until: tuple[tuple[int, datetime | None], ...] = ()
    drop: tuple[int, ...] = ()


CASES = (
    Case("heard first: as Leap words it", heard=(A,), was_heard=False, put=(A,)),
    Case("put into a group in mid-period: from now on", heard=(A,), put=(replace(A, starts_at=NOW),)),
    Case("assigned for the next period: from its start", heard=(NEXT_A,), put=(NEXT_A,)),
    Case("told late of a period that is over: as Leap words it", heard=(LAST,), put=(LAST,)),
    Case("nothing new", before=(A,), heard=(A,), rows=(A,)),
    Case(
        "regrouped in mid-period: one ends as the other begins",
        before=(A,),
        heard=(B,),
        rows=(A,),
        put=(replace(B, starts_at=NOW),),
        until=((1, NOW),),
    ),
    Case(
        "regrouped back: the second stay is a row of its own",
        before=(B,),
        heard=(A,),
        rows=(replace(A, ends_at=EARLIER), replace(B, starts_at=EARLIER)),
        put=(replace(A, starts_at=NOW),),
        until=((2, NOW),),
    ),
    Case(
        "regrouped before the period: never was in it",
        before=(NEXT_A,),
        heard=(NEXT_B,),
        rows=(NEXT_A,),
        put=(NEXT_B,),
        drop=(1,),
    ),
    Case(
        "the period grows: whoever joined in its middle goes on",
        before=(A,),
        heard=(replace(A, ends_at=JANUARY),),
        rows=(replace(A, starts_at=EARLIER),),
        until=((1, JANUARY),),
    ),
    Case("taken out", before=(A,), rows=(replace(A, starts_at=EARLIER),), until=((1, NOW),)),
    Case("what is over stays", before=(LAST,), rows=(LAST,)),
    Case(
        "a person's row stays",
        before=(A,),
        rows=(replace(A, program="", delivery_period=""), A),
        until=((2, NOW),),
    ),
    Case("a row that somebody deleted is missed by nobody", before=(A,)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_follow(case: Case) -> None:
    found = follow(
        before=frozenset(case.before),
        heard=frozenset(case.heard),
        rows=[Row(pk, one) for pk, one in enumerate(case.rows, start=1)],
        was_heard=case.was_heard,
        now=NOW,
    )
    assert [(one, one.ends_at) for one in found.put] == [(one, one.ends_at) for one in case.put]
    assert found.until == dict(case.until)
    assert found.drop == case.drop
