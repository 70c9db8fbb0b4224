"""What Leap says of a meter beside what is known → what is to change, and which of it moves devices.

Leap's facts follow Leap; what it leaves out changes nothing. What is ours – the name, the zone, the devices,
policies, nominations – is not even looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from leapvpp.leap.meters import (
    MeterDetails,
    MeterEnrollment,
    Preference,
    ProgramEnrollment,
    Received,
    read_moment,
)
from meters.domain.memberships import Membership, memberships_of, timed

Body = Mapping[str, object]
ENROLLMENT: Final = "enrollment"
DETAILS: Final = "details"

_OUT: Final = frozenset({"INELIGIBLE", "NOT_PARTICIPATING"})
_MOVES_DEVICES: Final = frozenset({"participation", "archived", "market_groups"})
_TYPED: Final = frozenset(
    {
        "meter_id",
        "partner_reference",
        "transmission_region",
        "meter_type",
        "global_enrollment_status",
        "is_archived",
        "audit",
    }
)
"""Fields of a body that are compared as facts, or that say nothing: when a row was touched."""


class Kind(StrEnum):
    """What became of a meter. `APPEARED` also for one that is listed again."""

    APPEARED = "APPEARED"
    CHANGED = "CHANGED"
    ARCHIVED = "ARCHIVED"
    VANISHED = "VANISHED"


@dataclass(frozen=True, slots=True)
class GroupNamed:
    """What Leap calls a group, and the first program it was named for."""

    market_group_id: str
    name: str
    program: str


@dataclass(frozen=True, slots=True)
class Known:
    """A meter as it is stored: Leap's facts, and the bodies they were read from, if ever there were any."""

    facts: Mapping[str, object]
    bodies: Mapping[str, Body]
    is_listed: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """A meter as Leap describes it now; `facts` holds only what Leap said."""

    meter_id: str
    facts: Mapping[str, object]
    bodies: Mapping[str, Body]
    memberships: frozenset[Membership]
    groups: tuple[GroupNamed, ...]
    said: MeterEnrollment
    turns_at: datetime | None
    """When the same words will next mean something else, as an idle period begins or a program ends."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change of one meter, `{field: (old, new)}`; `is_planned`: its devices are decided anew."""

    kind: Kind
    fields: Mapping[str, tuple[object, object]]
    is_planned: bool


def hear(
    *,
    enrollment: Received[MeterEnrollment],
    details: Received[MeterDetails] | None,
    now: datetime,
) -> Heard:
    """Read one meter from its enrollment and, if there are any, its details."""
    said = enrollment.meter
    if said is None:
        raise ValueError("only a readable meter can be heard")
    more = details.meter if details else None
    facts: dict[str, object] = {}
    for each in (more, said):  # the enrollment is the fresher one
        if each is not None:
            facts |= {
                "partner_reference": each.partner_reference or facts.get("partner_reference"),
                "transmission_region": each.transmission_region or facts.get("transmission_region"),
                "meter_type": each.meter_type or facts.get("meter_type"),
                "archived": facts.get("archived") if each.is_archived is None else each.is_archived,
            }
    facts["enrollment_status"] = said.global_enrollment_status
    facts["participation"] = preference_at(said.participation_preferences, at=now)
    facts["programs"] = programs_at(said.program_enrollment, at=now)
    bodies = {ENROLLMENT: enrollment.body} | ({DETAILS: details.body} if details else {})
    return Heard(
        meter_id=said.meter_id.lower(),
        facts={name: value for name, value in facts.items() if value is not None},
        bodies=bodies,
        memberships=memberships_of(said.program_enrollment),
        groups=_groups_of(said.program_enrollment),
        said=said,
        turns_at=next_turn(said, after=now),
    )


def preference_at(preferences: Sequence[Preference], *, at: datetime) -> str | None:
    """Return what holds at a time: of overlapping ranges the one that starts latest; `None` if none does."""
    holding = [
        (start, place, each.participation_preference)
        for place, each in enumerate(preferences)
        if (start := read_moment(each.start_time)) is not None and start <= at
        if (end := read_moment(each.end_time)) is None or at < end
    ]
    return max(holding)[2] if holding else None


def programs_at(programs: Sequence[ProgramEnrollment], *, at: datetime) -> list[str]:
    """Return the programs that the meter is or may come to be in, in a period that is not over."""
    found = {
        each.program_identifier
        for each in programs
        if each.program_identifier and each.enrollment_status.upper() not in _OUT
        if (end := read_moment(each.delivery_period_end_date_time)) is None or at < end
    }
    return sorted(found)


def next_turn(said: MeterEnrollment, *, after: datetime) -> datetime | None:
    """Return the first moment after a time at which a preference begins or ends, or a period ends."""
    texts = [text for each in said.participation_preferences for text in (each.start_time, each.end_time)]
    texts += [each.delivery_period_end_date_time for each in said.program_enrollment]
    moments = (read_moment(text) for text in texts)
    return min((moment for moment in moments if moment is not None and moment > after), default=None)


def _groups_of(programs: Sequence[ProgramEnrollment]) -> tuple[GroupNamed, ...]:
    groups = {
        each.market_group_id.lower(): GroupNamed(
            each.market_group_id.lower(), each.market_group_name or "", each.program_identifier
        )
        for each in reversed(programs)
        if each.market_group_id
    }
    return tuple(groups.values())


def compare(*, known: Known | None, heard: Heard, before: frozenset[Membership]) -> Change | None:
    """Return what is to change, or `None`. `before`: the memberships that Leap had named last time.

    A meter is planned when it appears – what Leap asked of it before counts now – and when its
    participation, its archiving or its groups change.
    """
    if known is None:
        return Change(Kind.APPEARED, {name: (None, value) for name, value in heard.facts.items()}, True)  # noqa: FBT003
    fields = {
        name: (known.facts.get(name), value)
        for name, value in heard.facts.items()
        if known.facts.get(name) != value
        # Before Leap was ever heard, a meter may have been archived by a person.
        and (name != "archived" or value or known.bodies)
    }
    if timed(before) != timed(heard.memberships):
        fields["market_groups"] = (_ids(before), _ids(heard.memberships))
    fields |= _other_fields(known.bodies, heard.bodies)
    if known.is_listed and not fields:
        return None
    kind = Kind.CHANGED if known.is_listed else Kind.APPEARED
    if fields.get("archived", (None, None))[1] is True:
        kind = Kind.ARCHIVED
    return Change(kind, fields, not _MOVES_DEVICES.isdisjoint(fields))


def _ids(memberships: frozenset[Membership]) -> list[str]:
    return sorted({one.market_group_id for one in memberships})


def _other_fields(before: Mapping[str, Body], after: Mapping[str, Body]) -> dict[str, tuple[object, object]]:
    """Compare all that is not typed, by name; a nested object by the names inside it."""
    fields: dict[str, tuple[object, object]] = {}
    for part, body in after.items():
        if part not in before:
            continue  # the first time, all of it is new
        old, new = _flat(before[part]), _flat(body)
        fields |= {
            name: (old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name) and name not in fields
        }
    return fields


def _flat(body: Body) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in body.items():
        if name in _TYPED:
            continue
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
