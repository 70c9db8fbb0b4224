"""Per device: everything asked of it → the segments it runs, with the reason for every choice.

Cut (rule 2), overrule (rule 8), flex (rule 6), combine (rule 3), limit (rule 4), size (rule 5), then merge
touching equal slices into segments and shape their runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from dispatch.domain import sentences, sizing
from dispatch.domain.choosing import Choice, Live, choose, dropped
from dispatch.domain.envelope import Request, order
from dispatch.domain.events import MAXIMUM, Window
from dispatch.domain.flexing import flexible_hours
from dispatch.domain.limiting import Ask, Slot, limit, needed_notice
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Ruling
from dispatch.domain.plans import DevicePlan, Traits, UnservedSlice
from dispatch.domain.telling import doing, overlaps_of, reduced_of, segments_of, shaped, unserved_of
from dispatch.domain.terms import Limits, Terms
from dispatch.domain.windows import runs_of


@dataclass(frozen=True, slots=True)
class Decided:
    """What a device would do in every slice, and what is refused beforehand. `busy`: no time to recharge."""

    choices: tuple[Choice, ...]
    busy: tuple[Window, ...]
    late: tuple[UnservedSlice, ...]


def consolidate(
    requests: Iterable[Request],
    *,
    rulings: Sequence[Ruling] = (),
    traits: Traits,
    terms: Terms | None = None,
    settled: Sequence[UnservedSlice] = (),
    now: datetime,
) -> DevicePlan:
    """Plan one device: every slice of every request is served or listed as unserved.

    `settled`: what an earlier plan of the same requests left undone; it stays so, for the same reasons.
    """
    decided = decide(requests, rulings=rulings, traits=traits, terms=terms)
    decided = restrain(decided, traits=traits, terms=terms, settled=settled, now=now)
    return carry_out(decided, rulings=rulings, traits=traits, terms=terms, now=now)


def decide(
    requests: Iterable[Request], *, rulings: Sequence[Ruling], traits: Traits, terms: Terms | None
) -> Decided:
    """Cut, overrule, flex and combine. Of energy, only flexibility's condition bears on it."""
    ordered = sorted(requests, key=order)
    limits = terms.limits if terms else None
    traits = _permitted(traits, terms=terms)
    ordered, late = _after_notice(ordered, limits=limits) if limits else (ordered, [])
    items: list[tuple[Window, Live]] = [(request.window, request) for request in ordered]
    items += [(ruling.window, ruling) for ruling in rulings]
    if terms and terms.flexibility:
        items += [(window, terms.flexibility) for window in flexible_hours(ordered, terms=terms)]
    choices = tuple(choose(window, live, traits=traits, terms=terms) for window, live in cut(items))
    busy = tuple(choice.window for choice in choices if not _may_recharge(choice))
    return Decided(choices, busy, tuple(late))


def restrain(
    decided: Decided,
    *,
    traits: Traits,
    terms: Terms | None,
    settled: Sequence[UnservedSlice],
    now: datetime,
) -> Decided:
    """Refuse what was left undone before, and what is beyond the limits. Its energy bears on none of it."""
    choices = _within(_settled(decided.choices, settled), traits=traits, terms=terms, now=now)
    return replace(decided, choices=tuple(choices))


def carry_out(
    decided: Decided, *, rulings: Sequence[Ruling], traits: Traits, terms: Terms | None, now: datetime
) -> DevicePlan:
    """Size by what the device holds, merge and shape, and tell what is left undone."""
    choices = _powered(decided, traits=_permitted(traits, terms=terms), terms=terms, now=now)
    segments = list(segments_of(choices))
    if terms and terms.shape:
        segments = shaped(segments, choices, rulings=rulings, terms=terms, shape=terms.shape, now=now)
    return DevicePlan(
        segments=tuple(segments),
        overlaps=tuple(overlaps_of(choices)),
        unserved=(*unserved_of(choices), *decided.late),
        reduced=tuple(reduced_of(choices)),
    )


def _permitted(traits: Traits, *, terms: Terms | None) -> Traits:
    """Let storage export only where its policy does too."""
    if terms and terms.storage and not terms.storage.may_export:
        return replace(traits, may_export=False)
    return traits


def _after_notice(
    requests: Sequence[Request], *, limits: Limits
) -> tuple[list[Request], list[UnservedSlice]]:
    """Cut from each request what comes before the notice that the device needs has passed."""
    moved, late = [], []
    for request in requests:
        event, window = request.event, request.window
        turn = needed_notice(limits, heard_at=event.heard_at, window=window)
        if turn < window.end:
            moved.append(replace(request, window=Window(turn, window.end)))
        if event.heard_at and window.start < turn:
            reason = sentences.too_late(event.heard_at, limits.notice, label=limits.label)
            late.append(UnservedSlice(event.event_id, Window(window.start, turn), reason))
    return moved, late


def _settled(choices: Sequence[Choice], undone: Sequence[UnservedSlice]) -> list[Choice]:
    """Refuse what was left undone before, where that is all which would be served."""
    items: list[tuple[Window, Choice | UnservedSlice]] = [(choice.window, choice) for choice in choices]
    items += [(each.window, each) for each in undone]
    settled = []
    for window, live in cut(items) if undone else ():
        reasons = {each.event_id: each.reason for each in live if isinstance(each, UnservedSlice)}
        for choice in (replace(each, window=window) for each in live if isinstance(each, Choice)):
            is_undone = choice.kept and all(each.event.event_id in reasons for each in choice.kept)
            settled.append(dropped(choice, reasons[choice.kept[0].event.event_id]) if is_undone else choice)
    return settled if undone else list(choices)


def _powered(decided: Decided, *, traits: Traits, terms: Terms | None, now: datetime) -> list[Choice]:
    """Rule 5, and rule 4 once more: let the device run with the energy it has, and within its limits still.

    Energy may leave two runs of what limits counted as one, or less power than is worth moving for. So limits
    look at what it leaves, and what they refuse leaves its energy to the rest; last, to what runs already.
    """
    pack = _storage(traits, terms=terms)
    if not pack:
        return _unplanned(decided.choices, traits=traits, terms=terms)
    within = partial(_within, traits=traits, terms=terms, now=now)
    sized = partial(_sized, pack=pack, busy=decided.busy, now=now)
    given = sized(decided.choices)
    left = within(given)
    if _moves(left) == _moves(given):
        return given
    refused = list(unserved_of(within([choice for choice in given if choice.mode])))
    given = sized(_settled(decided.choices, refused))
    left = within(given)
    return given if _moves(left) == _moves(given) else sized(left)


def _unplanned(choices: Sequence[Choice], *, traits: Traits, terms: Terms | None) -> list[Choice]:
    """Say of storage whose policy plans its energy that too little is known of it to do so."""
    if not (terms and terms.storage and traits.is_storage):
        return list(choices)
    said = sentences.no_reserve(is_capacity_known=terms.battery is not None)
    says = (f"{said} Policy {terms.storage.label}.",)
    return [replace(choice, says=says) if choice.mode else choice for choice in choices]


def _moves(choices: Sequence[Choice]) -> timedelta:
    """Return for how long the device moves."""
    return sum((each.window.end - each.window.start for each in choices if each.mode), timedelta())


def _within(choices: Sequence[Choice], *, traits: Traits, terms: Terms | None, now: datetime) -> list[Choice]:
    """Rule 4: let the device run within its limits, and refuse the rest."""
    if not terms or not terms.limits:
        return list(choices)
    moving = [choice for choice in choices if choice.mode]
    slots = [_slot(choice, traits=traits) for choice in moving]
    outcomes = limit(slots, limits=terms.limits, zone=terms.zone, ran=terms.ran, now=now)
    limited = [choice for choice in choices if not choice.mode]
    for outcome in outcomes:
        choice = replace(moving[outcome.slot], window=outcome.window)
        limited.append(dropped(choice, outcome.reason) if outcome.reason else choice)
    return sorted(limited, key=lambda choice: choice.window.start)


def _slot(choice: Choice, *, traits: Traits) -> Slot:
    return Slot(
        window=choice.window,
        watts=traits.rated_watts if choice.watts is None else choice.watts,
        asks=tuple(_asked(request, traits=traits) for request in choice.kept),
        names=tuple(sentences.ranked(request.event) for request in choice.kept) or ("a forced run",),
        is_forced=choice.is_forced,
    )


def _asked(request: Request, *, traits: Traits) -> Ask:
    """Return what a request counts for; a device of unknown power gives a watt, or nothing would count."""
    event, rated = request.event, traits.rated_watts or 1
    return Ask(not event.is_voluntary, event.rank, rated if request.watts is MAXIMUM else request.watts)


def _storage(traits: Traits, *, terms: Terms | None) -> sizing.Pack | None:
    """Return the storage whose energy is planned, None where there is none."""
    if not (terms and terms.storage and terms.battery and traits.is_storage and traits.rated_watts):
        return None
    return sizing.Pack(
        terms.storage, terms.battery, traits.rated_watts, may_export=traits.may_export, zone=terms.zone
    )


def _sized(
    choices: Sequence[Choice], *, pack: sizing.Pack, busy: Sequence[Window], now: datetime
) -> list[Choice]:
    """Rule 5: give each slice the power for which there is energy, and refuse what gets none."""
    moving = list(_whole([choice for choice in choices if choice.mode]))
    slots = [
        sizing.Slot(
            choice.window,
            choice.cap,
            choice.kept,
            choice.watts if choice.is_forced else None,
            may_recharge=_may_recharge(choice),
        )
        for choice in moving
    ]
    sized = [choice for choice in choices if not choice.mode]
    for outcome in sizing.size(slots, pack=pack, busy=busy, now=now):
        choice = replace(moving[outcome.slot], window=outcome.window)
        if outcome.watts == 0:
            sized.append(dropped(choice, *outcome.says))
        else:
            sized.append(replace(choice, watts=outcome.watts, says=outcome.says))
    return sorted(sized, key=lambda choice: choice.window.start)


def _may_recharge(choice: Choice) -> bool:
    """Say whether storage may draw power in a slice: not while a commitment asks, whatever becomes of it."""
    return not choice.is_forced and all(request.event.is_voluntary for request in choice.requests)


def _whole(choices: Sequence[Choice]) -> Iterable[Choice]:
    """Put together what limits have cut."""
    for run in runs_of(
        choices, key=lambda choice: (choice.kept, choice.refused, choice.requests, doing(choice))
    ):
        yield replace(run[0], window=Window(run[0].window.start, run[-1].window.end))
