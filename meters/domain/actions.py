"""What unblocks the most power before which deadline: required actions in groups, in order.

Power is kW, times are UTC. A deadline is met until the moment it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from leapvpp.leap.meters import read_moment

REMINDED_DAYS: Final = (2, 7, 14)
"""How many days before a deadline people are reminded of it, the nearest first."""


class Band(StrEnum):
    """How near a deadline is, in the order of urgency."""

    TWO_DAYS = "TWO_DAYS"
    WEEK = "WEEK"
    FORTNIGHT = "FORTNIGHT"
    LATER = "LATER"
    NO_DEADLINE = "NO_DEADLINE"
    MISSED = "MISSED"


_ORDER: Final = {band: place for place, band in enumerate(Band)}
_WITHIN: Final = dict(zip(REMINDED_DAYS, (Band.TWO_DAYS, Band.WEEK, Band.FORTNIGHT), strict=True))


@dataclass(frozen=True, slots=True)
class Key:
    """What makes actions of many meters one thing to do."""

    party: str
    action_type: str
    action_code: str
    program: str
    delivery_period: str
    deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """The same action of some meters.

    `alone_kw`: of the meters that wait for nothing else of the partner for this program and period.
    `total_kw`: of all of them, once what else they wait for is done, too. `unknown`: meters without a
    nomination and without a device, which count as 0 in both.
    """

    key: Key
    meters: int
    alone_meters: int
    alone_kw: Decimal
    total_kw: Decimal
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A group at its place."""

    group: Group
    band: Band


def reminded_days(deadline_at: datetime, *, now: datetime) -> int | None:
    """Return within how many of the days of reminding a deadline lies; `None` for none."""
    left = deadline_at - now
    if left <= timedelta(0):
        return None
    return next((days for days in REMINDED_DAYS if left <= timedelta(days=days)), None)


def band_of(deadline_at: datetime | None, *, now: datetime) -> Band:
    """Say how near a deadline is."""
    if deadline_at is None:
        return Band.NO_DEADLINE
    if deadline_at <= now:
        return Band.MISSED
    days = reminded_days(deadline_at, now=now)
    return Band.LATER if days is None else _WITHIN[days]


def rank(groups: Iterable[Group], *, now: datetime) -> tuple[Ranked, ...]:
    """Order groups: the nearest band first, in it the most power, then what is unblocked without more.

    Missed ones stand last, the latest first: what was just missed is the likeliest to have a next chance.
    """
    ranked = [Ranked(group, band_of(group.key.deadline_at, now=now)) for group in groups]
    return tuple(sorted(ranked, key=_place))


def _place(one: Ranked) -> tuple[object, ...]:
    group, key = one.group, one.group.key
    seconds = key.deadline_at.timestamp() if key.deadline_at else 0
    texts = (key.action_type, key.action_code, key.program, key.delivery_period, key.party)
    if one.band is Band.MISSED:
        return (_ORDER[one.band], -seconds, -group.total_kw, -group.alone_kw, -group.meters, *texts)
    return (_ORDER[one.band], -group.total_kw, -group.alone_kw, -group.meters, seconds, *texts)


def digest_of(key: Key) -> str:
    """Return a name for a group that stays the same while its meters come and go."""
    parts = [key.party, key.action_type, key.action_code, key.program, key.delivery_period]
    parts.append(key.deadline_at.isoformat() if key.deadline_at else "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chance:
    """A deadline yet to come, and when what is eligible by then becomes active."""

    deadline_at: datetime
    activates_at: datetime | None


def next_chance(pairs: object, *, now: datetime) -> Chance | None:
    """Return the first deadline ahead of those in Leap's words; what is no time is passed over.

    >>> from datetime import UTC
    >>> now = datetime(2026, 12, 2, tzinfo=UTC)
    >>> pairs = [["2026-12-01T00:00:00Z", "2026-12-15T00:00:00Z"], ["2026-12-15T00:00:00Z", None]]
    >>> next_chance(pairs, now=now)
    Chance(deadline_at=datetime.datetime(2026, 12, 15, 0, 0, tzinfo=datetime.timezone.utc), activates_at=None)
    """
    chances = [
        Chance(deadline_at, _moment(pair[1]) if len(pair) > 1 else None)
        for pair in (pairs if isinstance(pairs, list | tuple) else ())
        if isinstance(pair, list | tuple) and pair and (deadline_at := _moment(pair[0])) and deadline_at > now
    ]
    return min(chances, key=lambda chance: chance.deadline_at, default=None)


def _moment(text: object) -> datetime | None:
    try:
        return read_moment(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What holds during `[starts_at, ends_at)`; `None`: since ever, or without an end."""

    preference: str
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str = ""


def preferences_ahead(preferences: object, *, now: datetime) -> tuple[Stretch, ...]:
    """Return what holds now and in turn after that, of ranges in Leap's words that may overlap.

    Of those that hold at a time the one that starts latest counts, and of them the last one named.
    A time at which none holds is left out. Source: Leap, "Meter Information API" 2.0.0, in whose
    examples ranges overlap.
    """
    ranges = [
        (start, place, end, str(each.get("participation_preference", "")), str(each.get("reason") or ""))
        for place, each in enumerate(preferences if isinstance(preferences, list | tuple) else ())
        if isinstance(each, Mapping) and (start := _moment(each.get("start_time")))
        for end in [_moment(each.get("end_time"))]
    ]
    turns = sorted({at for start, _, end, *_ in ranges for at in (start, end) if at is not None and at > now})
    found: list[Stretch] = []
    for begins, ends in zip([now, *turns], [*turns, None], strict=True):
        holding = [one for one in ranges if one[0] <= begins and (one[2] is None or begins < one[2])]
        if not holding:
            continue
        start, _, _, preference, reason = max(holding, key=lambda one: one[:2])
        since = start if begins == now else begins
        if (
            found
            and found[-1].ends_at == begins
            and (found[-1].preference, found[-1].reason) == (preference, reason)
        ):
            found[-1] = Stretch(preference, found[-1].starts_at, ends, reason)
        else:
            found.append(Stretch(preference, since, ends, reason))
    return tuple(found)


def shares(amounts: Sequence[Decimal]) -> tuple[int, ...]:
    """Return amounts in percent of the largest, for bars."""
    largest = max(amounts, default=Decimal(0))
    return tuple(int(amount * 100 / largest) if largest else 0 for amount in amounts)
