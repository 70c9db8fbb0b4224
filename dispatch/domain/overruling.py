"""Rule 8: a person's word comes last. A hold beats an opt-out, an opt-out beats a force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from dispatch.domain import sentences
from dispatch.domain.envelope import Request
from dispatch.domain.events import MAXIMUM, Event, Window


class Action(IntEnum):
    """What a person asked for; the lower number wins."""

    HOLD = 1
    OPT_OUT = 2
    FORCE = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """One override as it reaches one device; `watts` None with a force is the rated power.

    With a `program` it is about events of that program alone.
    """

    override_id: int
    action: Action
    window: Window
    who: str
    why: str
    watts: int | None = None
    is_commitment_confirmed: bool = False
    program: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not served, and why."""

    request: Request
    reason: str


@dataclass(frozen=True, slots=True)
class Ruled:
    """What overrides leave of a slice's requests. `forced_watts` None: nothing is forced."""

    kept: tuple[Request, ...]
    refused: tuple[Refusal, ...] = ()
    forced_watts: int | None = None
    reason: str = ""


def stops(ruling: Ruling, event: Event) -> bool:
    """Say whether the device does nothing for the event while the ruling lasts."""
    if ruling.program and ruling.program not in event.programs:
        return False
    if ruling.action is Action.OPT_OUT:
        return event.is_voluntary or ruling.is_commitment_confirmed
    return ruling.action is Action.HOLD


def keeps_still(ruling: Ruling, events: Sequence[Event]) -> bool:
    """Say whether a device is left alone while the ruling lasts: any of the events is stopped.

    Without an event, as where a person forces a run, what is said about all programs counts.
    """
    if events:
        return any(stops(ruling, event) for event in events)
    return ruling.action is not Action.FORCE and not ruling.program


def overrule(requests: Sequence[Request], rulings: Sequence[Ruling], *, rated_watts: int) -> Ruled:
    """Take out what programs' rulings stop, and apply the strongest of the others to the rest of a slice.

    A hold stops everything. An opt-out stops everything when its maker confirmed that a commitment may
    be broken, and voluntary requests otherwise. A force sets the power, never above the rated power;
    requests it does not reach are refused. A program's force runs while a request of the program does.
    """
    if not rulings:
        return Ruled(kept=tuple(requests))
    stopped = _stopped(requests, [ruling for ruling in rulings if ruling.program])
    left = [request for request in requests if all(each.request is not request for each in stopped)]
    programs = {"", *(program for request in left for program in request.event.programs)}
    spoken = [
        ruling
        for ruling in rulings
        if ruling.program in programs and (not ruling.program or ruling.action is Action.FORCE)
    ]
    ruled = _strongest(left, spoken, rated_watts=rated_watts)
    return replace(ruled, refused=(*stopped, *ruled.refused))


def _stopped(requests: Sequence[Request], rulings: Sequence[Ruling]) -> list[Refusal]:
    """Refuse what the rulings of programs stop."""
    refused = []
    for request in requests:
        if about := [ruling for ruling in rulings if stops(ruling, request.event)]:
            ruling = min(about, key=_turn)
            say = sentences.held if ruling.action is Action.HOLD else sentences.opted_out
            refused.append(Refusal(request, say(ruling.who, ruling.why)))
    return refused


def _turn(ruling: Ruling) -> tuple[Action, int]:
    return ruling.action, ruling.override_id


def _strongest(requests: Sequence[Request], rulings: Sequence[Ruling], *, rated_watts: int) -> Ruled:
    """Apply the strongest of the rulings."""
    if not rulings:
        return Ruled(kept=tuple(requests))
    ruling = min(rulings, key=_turn)
    if ruling.action is Action.HOLD:
        return Ruled((), _refuse(requests, sentences.held(ruling.who, ruling.why)))
    if ruling.action is Action.OPT_OUT:
        return _opt_out(requests, min(_opt_outs(rulings), key=lambda each: not each.is_commitment_confirmed))
    return _force(requests, ruling, rated_watts=rated_watts)


def _opt_outs(rulings: Sequence[Ruling]) -> list[Ruling]:
    return [ruling for ruling in rulings if ruling.action is Action.OPT_OUT]


def _opt_out(requests: Sequence[Request], ruling: Ruling) -> Ruled:
    """Return what an opt-out leaves."""
    reason = sentences.opted_out(ruling.who, ruling.why)
    if ruling.is_commitment_confirmed:
        return Ruled((), _refuse(requests, reason))
    kept = tuple(request for request in requests if not request.event.is_voluntary)
    refused = _refuse([request for request in requests if request.event.is_voluntary], reason)
    return Ruled(kept, refused, reason=sentences.stays_committed(ruling.who) if kept else "")


def _force(requests: Sequence[Request], ruling: Ruling, *, rated_watts: int) -> Ruled:
    """Return what a force makes of the requests."""
    watts = rated_watts if ruling.watts is None else min(ruling.watts, rated_watts)
    missed = [request for request in requests if _misses(request, watts, rated_watts=rated_watts)]
    below = sentences.forced_below(watts, rated_watts=rated_watts)
    return Ruled(
        kept=tuple(request for request in requests if request not in missed),
        refused=tuple(Refusal(each, below) for each in missed),
        forced_watts=watts,
        reason=sentences.forced(watts, rated_watts=rated_watts, who=ruling.who, why=ruling.why),
    )


def _misses(request: Request, watts: int, *, rated_watts: int) -> bool:
    return watts < (rated_watts if request.watts is MAXIMUM else request.watts)


def _refuse(requests: Sequence[Request], reason: str) -> tuple[Refusal, ...]:
    return tuple(Refusal(request, reason) for request in requests)
