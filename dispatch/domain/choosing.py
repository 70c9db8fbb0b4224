"""What a device does in one slice: overrule (rule 8), flex (rule 6), combine (rule 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from devices.domain.schedule import Mode
from dispatch.domain.envelope import Request, combine
from dispatch.domain.events import GRID_EXPORTS_ALLOWED, Window
from dispatch.domain.flexing import Flexed, flex
from dispatch.domain.overruling import Refusal, Ruled, Ruling, overrule
from dispatch.domain.plans import Traits
from dispatch.domain.terms import Flexibility, Terms

Live = Request | Ruling | Flexibility
"""What bears on a slice; a policy's flexibility does in its hours."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the device does in one slice; without a mode it stays still. `says`: more of the reason."""

    window: Window
    requests: tuple[Request, ...]
    kept: tuple[Request, ...]
    refused: tuple[Refusal, ...]
    reason: str
    is_ruled: bool
    mode: Mode | None = None
    watts: int | None = None
    cap: str = ""
    is_commitment: bool = False
    is_forced: bool = False
    says: tuple[str, ...] = ()


def choose(window: Window, live: Sequence[Live], *, traits: Traits, terms: Terms | None) -> Choice:
    """Decide one slice."""
    requests = tuple(item for item in live if isinstance(item, Request))
    rulings = [item for item in live if isinstance(item, Ruling)]
    ruled = overrule(requests, rulings, rated_watts=traits.rated_watts)
    flexed = _flexed(ruled, live, traits=traits, terms=terms)
    said = " ".join(filter(None, [flexed.reason, ruled.reason]))
    refused = (*ruled.refused, *flexed.refused)
    if not flexed.kept:
        still = Choice(window, requests, flexed.kept, refused, said, bool(said))
        return _force_alone(still, ruled, traits=traits)
    whole = combine(flexed.kept)
    forced = ruled.forced_watts is not None
    return Choice(
        window,
        requests,
        flexed.kept,
        refused,
        reason=" ".join(filter(None, [whole.reason, said])),
        is_ruled=bool(said),
        mode=_mode(traits, cap=whole.cap),
        watts=ruled.forced_watts if forced else whole.watts,
        cap=whole.cap,
        is_commitment=whole.is_commitment,
        is_forced=forced,
    )


def _flexed(ruled: Ruled, live: Sequence[Live], *, traits: Traits, terms: Terms | None) -> Flexed:
    """Rule 6, which a person's force stands above."""
    if not terms or ruled.forced_watts is not None:
        return Flexed(ruled.kept)
    is_hour = any(isinstance(item, Flexibility) for item in live)
    return flex(ruled.kept, terms=terms, is_hour=is_hour, rated_watts=traits.rated_watts)


def _force_alone(still: Choice, ruled: Ruled, *, traits: Traits) -> Choice:
    """Run at the forced power without serving an event; stay still where none is forced."""
    if not ruled.forced_watts:
        return still
    return replace(still, mode=_mode(traits, cap=""), watts=ruled.forced_watts, is_forced=True)


def _mode(traits: Traits, *, cap: str) -> Mode:
    """Return how the device delivers: storage discharges, or exports where cap and site allow it."""
    if not traits.is_storage:
        return Mode.CURTAIL
    return Mode.EXPORT if cap == GRID_EXPORTS_ALLOWED and traits.may_export else Mode.DISCHARGE


def dropped(choice: Choice, reason: str) -> Choice:
    """Stay still in a slice, and refuse what it would have served."""
    refused = tuple(Refusal(request, reason) for request in choice.kept)
    return Choice(
        choice.window, choice.requests, (), (*choice.refused, *refused), "", is_ruled=choice.is_ruled
    )
