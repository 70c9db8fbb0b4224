"""Rule 7: spread an event's kW over its meters, and a meter's over its devices. Sums are exact.

Shares follow weights (the nomination, else the rated power), never exceed a limit (the rated power),
and what a limited one cannot give goes to the others. All in whole watts. What rounding down leaves
goes one watt each to the first in this order: who is full soonest, the largest weight, the position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
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

    Equal claims are grouped once, so that a total costs by the number of distinct claims.
    """

    __slots__ = ("_back", "_groups")

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Sort and group the claims."""
        positions: defaultdict[Claim, list[int]] = defaultdict(list)
        for position, claim in enumerate(claims):
            positions[claim].append(position)
        turns = sorted(positions, key=_turn)
        self._groups = [(claim, len(positions[claim])) for claim in turns]
        order = [position for claim in turns for position in positions[claim]]
        self._back = [0] * len(claims)
        for place, position in enumerate(order):
            self._back[position] = place

    def spread(self, total: int) -> Allocation:
        """Return everyone's share of `total` watts; shares and shortfall sum to it exactly."""
        left, weight = total, sum(claim.weight * count for claim, count in self._groups)
        shares: list[int] = []
        full = 0
        for claim, count in self._groups:
            if claim.weight and left * claim.weight < claim.limit * weight:
                break
            given = claim.limit if claim.weight else 0
            shares += [given] * count
            left -= given * count
            weight -= claim.weight * count
            full += 1
        if rest := self._groups[full:]:
            shares += _proportional(rest, total=left, weight=weight)
            left = 0
        return Allocation(tuple([shares[place] for place in self._back]), left)


def _turn(claim: Claim) -> tuple[Fraction, int]:
    """Return when a claim is full as the total grows, and then its weight, largest first."""
    fills = Fraction(claim.limit, claim.weight) if claim.weight else Fraction(0)
    return fills, -claim.weight


def _proportional(groups: Sequence[tuple[Claim, int]], *, total: int, weight: int) -> list[int]:
    """Return shares by weight alone, where nobody's limit is reached."""
    floors = [(total * claim.weight // weight, count) for claim, count in groups]
    odd = total - sum(share * count for share, count in floors)
    shares = []
    for share, count in floors:
        more = min(odd, count)
        shares += [share + 1] * more + [share] * (count - more)
        odd -= more
    return shares


def spread(total: int, claims: Sequence[Claim]) -> tuple[int, ...]:
    """Return the shares of one total.

    >>> spread(1000, [Claim(1, 900), Claim(1, 900), Claim(1, 900)])
    (334, 333, 333)
    """
    return Spreader(claims).spread(total).shares
