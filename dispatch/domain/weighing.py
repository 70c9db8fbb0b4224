"""When a new state of charge is worth a new plan: readings come often, and most change nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dispatch.domain.terms import Policy

STEP: Final = 5
"""Percentage points by which it must differ from the one that the latest plan weighed."""


def bears_on_plan(planned: Decimal | None, said: Decimal | None, *, policy: Policy) -> bool:
    """Say whether a plan that weighed `planned` is to be made anew now that `said` is the state of charge.

    Only under a policy that weighs it; and then where it moved by `STEP`, or past where voluntary events are
    looked at. None is unknown.
    """
    below = policy.flexibility.below_percent if policy.flexibility else None
    if below is None and not policy.storage:
        return False
    if planned is None or said is None:
        return planned is not said
    is_past = below is not None and (planned < below) != (said < below)
    return is_past or abs(said - planned) >= STEP
