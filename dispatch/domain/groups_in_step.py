"""Whom Leap calls for a group beside who is in it here → where the two differ, and what to note of it.

A call names its own meters, and those are who is dispatched; a difference says that our copy of the group is
stale, or that a device is about to be missed. Source: Leap, "Dispatch Overview", "Sync Meter Inventory".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MeterIds = frozenset[str]


@dataclass(frozen=True, slots=True)
class Stint:
    """A time `[starts_at, ends_at)` for which meters are in a group, for a program; `None`: open end.

    `program` is empty where a person put them there: such a membership is for all programs.
    """

    program: str
    starts_at: datetime
    ends_at: datetime | None

    def holds_at(self, at: datetime) -> bool:
        """Say whether it holds at a time."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


def programs_that_count(held: Iterable[str], *, called: Collection[str]) -> frozenset[str]:
    """Return for which programs a membership makes a meter one of those called; `held`: what there is.

    Those that the call is for, and none in particular. A call for programs of which no membership knows
    counts all there are: Leap's own lists of program codes differ between its services.
    """
    held = frozenset(held)
    return held & {"", *called} or held


def stints_at(stints: Iterable[Stint], *, at: datetime, called: Collection[str]) -> frozenset[Stint]:
    """Return which times in a group count for a call that begins at a time."""
    holding = [stint for stint in stints if stint.holds_at(at)]
    counted = programs_that_count((stint.program for stint in holding), called=called)
    return frozenset(stint for stint in holding if stint.program in counted)


Group = Mapping[Stint, Collection[str]]
"""Leap's ids of a group's meters, by the time and program for which they are in it."""


def members_at(group: Group, *, at: datetime, called: Collection[str]) -> MeterIds:
    """Return Leap's ids of the meters in a group for a call that begins at a time, each once."""
    return frozenset[str]().union(*(group[stint] for stint in stints_at(group, at=at, called=called)))


@dataclass(frozen=True, slots=True)
class Difference:
    """How a call and a group differ, by Leap's ids, sorted.

    `is_group_unknown`: no member was ever held, so that names would say nothing and there are none; only
    the counts, of who is `called` and who is `held`.
    """

    called: int
    held: int
    called_not_ours: tuple[str, ...] = ()
    ours_not_called: tuple[str, ...] = ()
    is_group_unknown: bool = False

    @property
    def digest(self) -> str:
        """Name the content, so that what many calls have in common is stored once."""
        parts = (str(self.called), str(self.held), *self.called_not_ours, "/", *self.ours_not_called)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def difference_of(
    called: Collection[str], members: Collection[str], *, is_group_unknown: bool = False
) -> Difference | None:
    """Return how those called differ from the members; `None` while both are in step."""
    called, members = frozenset(called), frozenset(members)
    if called == members:
        return None
    if is_group_unknown:
        return Difference(len(called), 0, is_group_unknown=True)
    return Difference(
        called=len(called),
        held=len(members),
        called_not_ours=tuple(sorted(called - members)),
        ours_not_called=tuple(sorted(members - called)),
    )


class Step(StrEnum):
    """What is to be noted of a call: RAISE a difference, SETTLE what stands, or LEAVE all as it is."""

    RAISE = "RAISE"
    SETTLE = "SETTLE"
    LEAVE = "LEAVE"


def step_for(*, found: str | None, standing: str | None) -> Step:
    """Compare digests: of the difference found now, and of the one that was raised and is not settled."""
    if found == standing:
        return Step.LEAVE
    return Step.RAISE if found else Step.SETTLE


def to_read(found: Difference, *, called: Iterable[str]) -> tuple[str, ...]:
    """Return the meters of which Leap is to be asked again: those that differ, or everybody called."""
    if found.is_group_unknown:
        return tuple(called)
    return (*found.called_not_ours, *found.ours_not_called)
