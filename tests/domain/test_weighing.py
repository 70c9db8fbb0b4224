"""Which new states of charge are worth a new plan, as a table."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dispatch.domain.terms import Flexibility, Limits, Policy, Storage, Voluntary
from dispatch.domain.weighing import bears_on_plan

BELOW_40 = Policy(flexibility=Flexibility("D", Voluntary.SKIP, below_percent=40))
IN_HOURS = Policy(flexibility=Flexibility("D", Voluntary.SKIP))
ENERGY = Policy(storage=Storage("C"))

CASES = {
    "nothing weighs it": (Policy(limits=Limits("B")), "80", "10", False),
    "other conditions do not": (IN_HOURS, "80", "10", False),
    "a little": (ENERGY, "50", "54.99", False),
    "five points up": (ENERGY, "50", "55", True),
    "five points down": (ENERGY, "50", "45", True),
    "a little, past the edge": (BELOW_40, "41", "39.5", True),
    "back from past the edge": (BELOW_40, "39.5", "40", True),
    "a little, short of the edge": (BELOW_40, "41", "40", False),
    "five points, far from the edge": (BELOW_40, "90", "80", True),
    "the first reading": (ENERGY, None, "80", True),
    "none any more": (ENERGY, "80", None, True),
    "none, as before": (BELOW_40, None, None, False),
}


@pytest.mark.parametrize(("policy", "planned", "said", "expected"), CASES.values(), ids=CASES.keys())
def test_a_reading_is_worth_a_plan_where_it_may_change_one(policy, planned, said, expected):
    of = [None if each is None else Decimal(each) for each in (planned, said)]
    assert bears_on_plan(*of, policy=policy) is expected
