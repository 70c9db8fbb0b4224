"""What Leap says of a meter's programs and of what has to be done → rows to keep, and which of them are over.

Lenient: an odd entry costs itself alone, and of an odd text what fits is kept.
Source: Leap's OpenAPI document "Meter Information API" 2.0.0; of the empty object, Leap's meter events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from leapvpp.leap.meters import ProgramEnrollment, read_moment

PARTIES: Final = ("PARTNER", "LEAP")
"""Who has to act; Leap's lists are called the same in lower case."""
EnrolledKey = tuple[str, str, datetime]
ActionKey = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How a meter stands in a program for the period `[starts_at, ends_at)`; `None`: open end.

    `deadlines`: `[[deadline, activation], …]`, each as Leap writes it or `None`.
    """

    program: str
    delivery_period: str
    starts_at: datetime
    ends_at: datetime | None
    status: str
    deadlines: list[list[str | None]]
    market_group_id: str

    @property
    def key(self) -> EnrolledKey:
        """What tells it from the meter's others."""
        return self.program, self.delivery_period, self.starts_at


@dataclass(frozen=True, slots=True)
class Action:
    """Something that has to be done before a meter can be enrolled."""

    party: str
    program: str
    delivery_period: str
    action_type: str
    action_code: str
    description: str
    deadline_at: datetime | None

    @property
    def key(self) -> ActionKey:
        """What tells it from the meter's others."""
        return self.party, self.program, self.delivery_period, self.action_type, self.action_code


def enrollments_of(programs: Iterable[ProgramEnrollment]) -> dict[EnrolledKey, Enrolled]:
    """Return how a meter stands in each program and period; of two with the same key the later one."""
    found = {}
    for each in programs:
        start = read_moment(each.delivery_period_start_date_time)
        if start is None:
            continue
        one = Enrolled(
            program=each.program_identifier,
            delivery_period=each.delivery_period,
            starts_at=start,
            ends_at=read_moment(each.delivery_period_end_date_time),
            status=each.enrollment_status,
            deadlines=_deadlines(each.enrollment_deadlines),
            market_group_id=(each.market_group_id or "").lower(),
        )
        found[one.key] = one
    return found


def _deadlines(said: object) -> list[list[str | None]]:
    pairs = [
        [_text(each.get(name)) or None for name in ("enrollment_deadline_date_time", "activation_date_time")]
        for each in _list(said) or ()
        if isinstance(each, Mapping)
    ]
    return [pair for pair in pairs if any(pair)]


def actions_of(said: object) -> dict[str, dict[ActionKey, Action]]:
    """Return by party what it has to do; a party of which Leap said nothing that can be read is left out.

    An empty object, a list that is missing, null or empty means that there is nothing to do.
    """
    if said is msgspec.UNSET or not (said is None or isinstance(said, Mapping)):
        return {}
    lists = {party: _list((said or {}).get(party.lower(), ())) for party in PARTIES}
    return {party: _actions(party, entries) for party, entries in lists.items() if entries is not None}


def _actions(party: str, entries: Sequence[object]) -> dict[ActionKey, Action]:
    found: dict[ActionKey, Action] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            one = _action(party, entry)
            found[one.key] = _merged(found[one.key], one) if one.key in found else one
    return found


def _action(party: str, entry: Mapping[str, object]) -> Action:
    return Action(
        party=party,
        program=_text(entry.get("program_identifier"))[:64],
        delivery_period=_text(entry.get("delivery_period"))[:128],
        action_type=_text(entry.get("action_type"))[:64],
        action_code=_text(entry.get("action_code"))[:32],
        description=_text(entry.get("action_description")),
        deadline_at=_moment(entry.get("enrollment_deadline_date_time")),
    )


def _merged(one: Action, other: Action) -> Action:
    """Make one of two that only their words tell apart: the earlier deadline, the lines of both."""
    words = dict.fromkeys([*one.description.splitlines(), *other.description.splitlines()])
    deadlines = [each.deadline_at for each in (one, other) if each.deadline_at]
    return Action(*one.key, description="\n".join(words), deadline_at=min(deadlines, default=None))


def _list(said: object) -> Sequence[object] | None:
    if said is None:
        return ()
    return said if isinstance(said, list | tuple) else None


def _text(said: object) -> str:
    return said if isinstance(said, str) else ""


def _moment(said: object) -> datetime | None:
    try:
        return read_moment(_text(said))
    except ValueError:
        return None
