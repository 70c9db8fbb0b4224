"""What else Leap asks at the other level: an event's twins, and which of them is acted upon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.domain.belief import Source
from dispatch.domain.levels import Policy, Side, yields_for
from dispatch.levels import load_policy
from dispatch.models import DispatchEvent, Level, ProgramLevel, RecipientMember

MOST_TWINS = 5000
MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Twin:
    """An event that asks the same meters for the same program at the other level in a common time.

    `program`: one that both name. `covers_for`: the one for which the event read yields to it;
    `covered_for`: the one for which it yields to the event read. Empty where neither does.
    """

    event_id: int
    leap_event_id: str
    program: str
    covers_for: str
    covered_for: str


@dataclass(frozen=True, slots=True)
class BothLevels:
    """What the page says of an event that is asked at both levels."""

    text: str
    told: tuple[Twin, ...]
    more: int


def read_twins(event: DispatchEvent, *, policy: Policy) -> list[Twin]:
    """Read an event's twins, earliest first. One query, none for an event that is cancelled or a test."""
    if event.is_cancelled or event.test:
        return []
    mine = RecipientMember.objects.filter(recipients_id=event.recipients_id).values("meter_id")
    sets = RecipientMember.objects.filter(meter_id__in=mine).values("recipients_id")
    rows = DispatchEvent.objects.filter(
        recipients_id__in=sets,
        starts_at__lt=event.ends_at,
        ends_at__gt=event.starts_at,
        is_cancelled=False,
        test="",
    ).exclude(level=event.level)
    side = _side(event.level, event.programs, is_voluntary=event.is_voluntary)
    columns = ("pk", "leap_event_id", "level", "programs", "is_voluntary")
    found = []
    for pk, leap_event_id, level, programs, is_voluntary in rows.order_by("starts_at", "pk").values_list(
        *columns
    )[:MOST_TWINS]:
        twin = _side(level, programs, is_voluntary=is_voluntary)
        if common := sorted(set(side.programs).intersection(twin.programs)):
            covers_for, covered_for = (
                yields_for(*pair, policy=policy) for pair in ((side, twin), (twin, side))
            )
            found.append(Twin(pk, leap_event_id, common[0], covers_for, covered_for))
    return found


def read_both_levels(event: DispatchEvent) -> BothLevels | None:
    """Say that an event is asked at both levels and what follows; None when it is not. Three queries."""
    policy = load_policy()
    twins = read_twins(event, policy=policy)
    if not twins:
        return None
    return BothLevels(
        text=_text(event, twins, policy=policy),
        told=tuple(twins[:MOST_TOLD]),
        more=max(0, len(twins) - MOST_TOLD),
    )


def _side(level: str, programs: Sequence[str], *, is_voluntary: bool) -> Side:
    return Side(level, tuple(programs), is_voluntary)


def _text(event: DispatchEvent, twins: Sequence[Twin], *, policy: Policy) -> str:
    other = Level.METER if event.level == Level.GROUP else Level.GROUP
    also = f"Also asked at {other.lower()} level"
    program = next((word for twin in twins if (word := twin.covers_for or twin.covered_for)), "")
    if not program:
        return f"{also}; both are acted upon, with the same kilowatts."
    level = policy.level_of(program).lower()
    return f"{also}; acted upon at {level} level for {program}, because {_because(program, policy=policy)}."


def _because(program: str, *, policy: Policy) -> str:
    if policy.forced:
        return "the setting LEAP_DISPATCH_LEVEL says so"
    row = ProgramLevel.objects.filter(program=program).first()
    return "an admin chose it" if row and row.source == Source.OPERATOR else "it arrived first"
