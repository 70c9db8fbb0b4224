"""Devices under terms, step by step: what those decide alike that differ in their energy is decided once.

Every battery has a charge of its own, so no two share a plan. But nothing before rule 5 looks at what is
stored, but for the one condition of flexibility that does, and limits look at it in no case.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from dispatch.domain.consolidation import Decided, carry_out, decide, restrain
from dispatch.domain.envelope import Request
from dispatch.domain.overruling import Ruling
from dispatch.domain.plans import DevicePlan, Traits, UnservedSlice
from dispatch.domain.terms import Terms


class Steps:
    """Plans under terms, by what each step looks at: equal requests must be one object, and stay."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._decided: dict[tuple[object, ...], Decided] = {}
        self._restrained: dict[tuple[object, ...], Decided] = {}

    def consolidate(
        self,
        requests: Sequence[Request],
        *,
        rulings: tuple[Ruling, ...],
        traits: Traits,
        terms: Terms,
        settled: tuple[UnservedSlice, ...],
    ) -> DevicePlan:
        """Return the plan of a device."""
        asked = (*map(id, requests), rulings, traits, *_looked_at(terms))
        if asked not in self._decided:
            self._decided[asked] = decide(requests, rulings=rulings, traits=traits, terms=terms)
        decided = self._decided[asked]
        if settled or terms.limits:
            under = (asked, settled, terms.ran)
            if under not in self._restrained:
                self._restrained[under] = restrain(
                    decided, traits=traits, terms=terms, settled=settled, now=self._now
                )
            decided = self._restrained[under]
        return carry_out(decided, rulings=rulings, traits=traits, terms=terms, now=self._now)


def _looked_at(terms: Terms) -> tuple[object, ...]:
    """Return what of the terms bears on a plan before its energy does."""
    return (
        terms.zone,
        terms.limits,
        terms.storage,
        terms.flexibility,
        terms.commitments_only,
        terms.prices,
        _weighed(terms),
    )


def _weighed(terms: Terms) -> Decimal | None:
    """Return the charge where flexibility's condition holds for it; all that do not meet it are alike."""
    below = terms.flexibility.below_percent if terms.flexibility else None
    charge = terms.charge_percent
    return charge if below is not None and charge is not None and charge < below else None
