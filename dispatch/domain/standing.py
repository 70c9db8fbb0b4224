"""Can a meter be dispatched, and if not, why not: facts → its causes, the gravest first.

What stops a dispatch for good is Leap's word of who takes part; whatever else stands in the way can pass by
itself or be mended here. Leap dispatches whom it dispatches, so that being enrolled nowhere stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Weight(StrEnum):
    """Nothing moves because of it; less moves; it is worth knowing."""

    BLOCKS = "BLOCKS"
    LIMITS = "LIMITS"
    NOTES = "NOTES"


class Code(StrEnum):
    """Why a meter cannot be dispatched, or less than all of it; READY is that nothing is known."""

    ARCHIVED = "ARCHIVED"
    IDLE = "IDLE"
    DISENROLLED = "DISENROLLED"
    NO_DEVICE = "NO_DEVICE"
    HELD = "HELD"
    BLACKOUT = "BLACKOUT"
    OFFLINE = "OFFLINE"
    FAILING = "FAILING"
    NONE_ABLE = "NONE_ABLE"
    PARTLY_HELD = "PARTLY_HELD"
    PARTLY_BLACKOUT = "PARTLY_BLACKOUT"
    PARTLY_OFFLINE = "PARTLY_OFFLINE"
    PARTLY_FAILING = "PARTLY_FAILING"
    OUT_OF_STEP = "OUT_OF_STEP"
    NOT_LISTED = "NOT_LISTED"
    NOT_ACTIVE = "NOT_ACTIVE"
    FORCED = "FORCED"
    ARMED = "ARMED"
    READY = "READY"


class How(StrEnum):
    """How many of a meter's devices something is true of."""

    NONE = "NONE"
    SOME = "SOME"
    ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a meter now.

    `offline`, `failing`, `held` and `dark` say of how many of its devices it is true; `failing` are those
    that refuse or do not answer, `held` those under a hold or an opt-out, `dark` those that their policy lets
    run nothing at this time. `is_able`: some device is none of it.
    """

    is_archived: bool = False
    is_idle: bool = False
    is_disenrolled: bool = False
    has_device: bool = True
    offline: How = How.NONE
    failing: How = How.NONE
    held: How = How.NONE
    dark: How = How.NONE
    is_able: bool = True
    is_out_of_step: bool = False
    is_gone: bool = False
    is_active: bool = True
    is_forced: bool = False
    is_armed: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a cause is called: in one sentence, in a list of counts, and what it weighs."""

    weight: Weight
    sentence: str
    brief: str


CAUSES: Final[dict[Code, Told]] = {
    Code.ARCHIVED: Told(Weight.BLOCKS, "The meter is archived.", "archived"),
    Code.IDLE: Told(Weight.BLOCKS, "The meter is idle at Leap.", "idle"),
    Code.DISENROLLED: Told(Weight.BLOCKS, "The meter is disenrolled at Leap.", "disenrolled"),
    Code.NO_DEVICE: Told(Weight.BLOCKS, "No device is mapped.", "without a device"),
    Code.HELD: Told(Weight.BLOCKS, "All its devices are held or opted out.", "held or opted out"),
    Code.BLACKOUT: Told(Weight.BLOCKS, "Its devices are in a blackout of their policy.", "in a blackout"),
    Code.OFFLINE: Told(Weight.BLOCKS, "All its devices are offline.", "offline"),
    Code.FAILING: Told(Weight.BLOCKS, "No device of it takes its schedule.", "failing"),
    Code.NONE_ABLE: Told(Weight.BLOCKS, "None of its devices can move, for different causes.", "unable"),
    Code.PARTLY_HELD: Told(Weight.LIMITS, "Some devices are held or opted out.", "partly held"),
    Code.PARTLY_BLACKOUT: Told(
        Weight.LIMITS, "Some devices are in a blackout of their policy.", "partly in a blackout"
    ),
    Code.PARTLY_OFFLINE: Told(Weight.LIMITS, "Some devices are offline.", "partly offline"),
    Code.PARTLY_FAILING: Told(Weight.LIMITS, "Some devices do not take their schedule.", "partly failing"),
    Code.OUT_OF_STEP: Told(
        Weight.NOTES, "Leap calls it in a market group that it is not in here.", "out of step"
    ),
    Code.NOT_LISTED: Told(Weight.NOTES, "Leap no longer lists it.", "no longer listed by Leap"),
    Code.NOT_ACTIVE: Told(Weight.NOTES, "It is active in no program now.", "active in no program"),
    Code.FORCED: Told(Weight.NOTES, "It runs because a person forces it.", "forced"),
    Code.ARMED: Told(Weight.NOTES, "It is armed: an integration test moves its devices.", "armed"),
    Code.READY: Told(Weight.NOTES, "Ready.", "ready"),
}
"""Every cause in order, the gravest first."""

BLOCKING: Final = frozenset(code for code, told in CAUSES.items() if told.weight is Weight.BLOCKS)


def causes_of(facts: Facts) -> tuple[Code, ...]:
    """Return what stands in the way, the gravest first; nothing when the meter is ready.

    >>> causes_of(Facts(offline=How.SOME, is_active=False))
    (<Code.PARTLY_OFFLINE: 'PARTLY_OFFLINE'>, <Code.NOT_ACTIVE: 'NOT_ACTIVE'>)
    """
    found = {
        Code.ARCHIVED: facts.is_archived,
        Code.IDLE: facts.is_idle,
        Code.DISENROLLED: facts.is_disenrolled,
        Code.NO_DEVICE: not facts.has_device,
        Code.OUT_OF_STEP: facts.is_out_of_step,
        Code.NOT_LISTED: facts.is_gone,
        Code.NOT_ACTIVE: not facts.is_active,
        Code.FORCED: facts.is_forced,
        Code.ARMED: facts.is_armed,
    }
    if facts.has_device:
        found |= dict.fromkeys(_of_devices(facts), True)
    return tuple(code for code in CAUSES if found.get(code))


def _of_devices(facts: Facts) -> tuple[Code, ...]:
    """Name what is the matter with all devices; else with some, and whether any is left that can move."""
    kinds = (
        (facts.held, Code.HELD, Code.PARTLY_HELD),
        (facts.dark, Code.BLACKOUT, Code.PARTLY_BLACKOUT),
        (facts.offline, Code.OFFLINE, Code.PARTLY_OFFLINE),
        (facts.failing, Code.FAILING, Code.PARTLY_FAILING),
    )
    whole = tuple(all_of for how, all_of, _ in kinds if how is How.ALL)
    if whole:
        return whole
    partly = tuple(some_of for how, _, some_of in kinds if how is How.SOME)
    return partly if facts.is_able else (Code.NONE_ABLE, *partly)


def is_blocked(codes: tuple[Code, ...]) -> bool:
    """Say whether nothing moves because of one of these."""
    return not BLOCKING.isdisjoint(codes)
