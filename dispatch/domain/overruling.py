"""Rule 8: a person's word comes last. A hold beats an opt-out, an opt-out beats a force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from dispatch.domain import sentences
from dispatch.domain.envelope import Request
from dispatch.domain.events import MAXIMUM, Window


class Action(IntEnum):
    """What a person asked for; the lower number wins."""

    HOLD = 1
    OPT_OUT = 2
    FORCE = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """One override as it reaches one device; `watts` None with a force is the rated power."""

    override_id: int
    action: Action
    window: Window
    who: str
    why: str
    watts: int | None = None
    is_commitment_confirmed: bool = False


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


def overrule(requests: Sequence[Request], rulings: Sequence[Ruling], *, rated_watts: int) -> Ruled:
    """Apply the strongest ruling of a slice.

    A hold stops everything. An opt-out stops everything when its maker confirmed that a commitment may
    be broken, and voluntary requests otherwise. A force sets the power, never above the rated power;
    requests it does not reach are refused.
    """
    if not rulings:
        return Ruled(kept=tuple(requests))
    ruling = min(rulings, key=lambda ruling: (ruling.action, ruling.override_id))
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
