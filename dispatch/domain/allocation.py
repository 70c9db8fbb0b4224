"""Rule 7: spread an event's kW over its meters, and a meter's over its devices. Sums are exact.

Shares follow weights (the nomination, else the rated power), never exceed a limit (the rated power),
and what a limited one cannot give goes to the others. All in whole watts. What rounding down leaves
goes one watt each to the first in this order: who is full soonest, the largest weight, the position.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple


class Claim(NamedTuple):
    """One who may take a share, by weight and at most `limit` watts. No weight means no share."""

    weight: int
    limit: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """The shares in the order of the claims, and what nobody could give; together the total."""

    shares: tuple[int, ...]
    shortfall: int


class Spreader:
    """Spreads totals over the same claims again and again.

    Equal claims are grouped, so that a total is reckoned by distinct claims, and who claims something else
    for a while costs only the regrouping of those who claimed the same.
    """

    __slots__ = ("_claims", "_limits", "_places", "_turns")

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Group the claims, and put the groups in the order in which they are full."""
        places: defaultdict[Claim, list[int]] = defaultdict(list)
        for place, claim in enumerate(claims):
            places[claim].append(place)
        self._claims = list(claims)
        self._limits = [claim.limit for claim in claims]
        self._places = dict(places)
        self._turns = sorted(places, key=_turn)

    def changed(self, others: Mapping[int, Claim]) -> Spreader:
        """Return a spreader in which those at some places claim something else."""
        spreader = copy(self)
        spreader._claims, spreader._limits = self._claims.copy(), self._limits.copy()
        touched = {*others.values(), *(self._claims[place] for place in others)}
        regrouped = {claim: self._places.get(claim, []).copy() for claim in touched}
        for place, claim in others.items():
            before = regrouped[self._claims[place]]
            del before[bisect_left(before, place)]
            insort(regrouped[claim], place)
            spreader._claims[place], spreader._limits[place] = claim, claim.limit
        places = {**self._places, **regrouped}
        spreader._places = {claim: of for claim, of in places.items() if of}
        spreader._turns = sorted(spreader._places, key=_turn)
        return spreader

    def spread(self, total: int) -> Allocation:
        """Return everyone's share of `total` watts; shares and shortfall sum to it exactly."""
        left, weight = total, sum(claim.weight * len(of) for claim, of in self._places.items())
        shares = self._limits.copy()
        full = 0
        for claim in self._turns:
            if claim.weight and left * claim.weight < claim.limit * weight:
                break
            places = self._places[claim]
            if claim.weight:
                left -= claim.limit * len(places)
                weight -= claim.weight * len(places)
            else:
                _put(shares, places, 0)
            full += 1
        if rest := self._turns[full:]:
            self._put_proportional(shares, rest, total=left, weight=weight)
            left = 0
        return Allocation(tuple(shares), left)

    def _put_proportional(
        self, shares: list[int], claims: Sequence[Claim], *, total: int, weight: int
    ) -> None:
        """Put shares by weight alone, where nobody's limit is reached."""
        floors = [(total * claim.weight // weight, self._places[claim]) for claim in claims]
        odd = total - sum(share * len(places) for share, places in floors)
        for share, places in floors:
            _put(shares, places[:odd], share + 1)
            _put(shares, places[odd:], share)
            odd = max(0, odd - len(places))


def _put(shares: list[int], places: Iterable[int], share: int) -> None:
    for place in places:
        shares[place] = share


def _turn(claim: Claim) -> tuple[int, int]:
    """Return when a claim is full as the total grows, and then its weight, largest first.

    The fraction of limit and weight in whole numbers: two that differ stay apart below 2**47 watts.
    """
    fills = (claim.limit << 96) // claim.weight if claim.weight else 0
    return fills, -claim.weight


def spread(total: int, claims: Sequence[Claim]) -> tuple[int, ...]:
    """Return the shares of one total.

    >>> spread(1000, [Claim(1, 900), Claim(1, 900), Claim(1, 900)])
    (334, 333, 333)
    """
    return Spreader(claims).spread(total).shares
