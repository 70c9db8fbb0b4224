"""Devices without terms, stretch by stretch: what devices have in common is decided once.

Where many go out and come back at times of their own, shares change hundreds of times a day, and by watts.
Two devices then differ in a few slices, and their plans are made of the same pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain, pairwise
from operator import attrgetter

from dispatch.domain.consolidation import consolidate
from dispatch.domain.envelope import Request
from dispatch.domain.overruling import Ruling
from dispatch.domain.plans import DevicePlan, Traits

Item = Request | Ruling


class Stretches:
    """Plans of stretches of time, by what is in them: equal requests must be one object, and stay."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._plans: dict[tuple[object, ...], DevicePlan] = {}

    def consolidate(
        self, requests: Sequence[Request], *, rulings: Sequence[Ruling], traits: Traits
    ) -> DevicePlan:
        """Return the plan of a device that is under nothing but these requests and rulings."""
        plans = [self._plan(stretch, traits=traits) for stretch in _stretches([*requests, *rulings])]
        return DevicePlan(
            segments=tuple(chain.from_iterable([plan.segments for plan in plans])),
            overlaps=tuple(chain.from_iterable([plan.overlaps for plan in plans])),
            unserved=tuple(chain.from_iterable([plan.unserved for plan in plans])),
            reduced=tuple(chain.from_iterable([plan.reduced for plan in plans])),
        )

    def _plan(self, stretch: Sequence[Item], *, traits: Traits) -> DevicePlan:
        if len(stretch) == 1:  # mostly
            key: tuple[object, ...] = (id(stretch[0]), traits.is_storage, traits.may_export)
        else:
            is_ruled = any(isinstance(item, Ruling) for item in stretch)
            rated = traits.rated_watts if is_ruled else 0  # it bears on what a person forces
            key = (*map(id, stretch), traits.is_storage, traits.may_export, rated)
        if key not in self._plans:
            requests = [item for item in stretch if isinstance(item, Request)]
            rulings = [item for item in stretch if isinstance(item, Ruling)]
            self._plans[key] = consolidate(requests, rulings=rulings, traits=traits, now=self._now)
        return self._plans[key]


def _stretches(items: Sequence[Item]) -> list[list[Item]]:
    """Cut items, in order of time, where none goes on; but not where two may be one segment."""
    groups = _overlapping(items)
    stretches = groups[:1]
    for before, group in pairwise(groups):
        if _may_be_one(before, group):
            stretches[-1] = stretches[-1] + group
        else:
            stretches.append(group)
    return stretches


def _overlapping(items: Sequence[Item]) -> list[list[Item]]:
    """Group items that overlap."""
    groups: list[list[Item]] = []
    reached: datetime | None = None
    for item in sorted(items, key=attrgetter("window.start")):
        window = item.window
        if reached is None or window.start >= reached:
            groups.append([item])
            reached = window.end
        else:
            groups[-1].append(item)
            reached = max(reached, window.end)
    return groups


def _may_be_one(before: Sequence[Item], group: Sequence[Item]) -> bool:
    """Say whether a segment may go on from one group to the next."""
    one, other = before[0], group[0]
    if len(before) == len(group) == 1 and isinstance(one, Request) and isinstance(other, Request):
        return one.watts == other.watts and one.window.end == other.window.start
    return other.window.start == max(item.window.end for item in before)
