"""Per device: everything asked of it → the segments it runs, with the reason for every choice.

Cut (rule 2), overrule (rule 8), combine (rule 3), limit (rule 4), then merge touching equal slices into
segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from devices.domain.schedule import Mode, Segment
from dispatch.domain import sentences
from dispatch.domain.envelope import Request, combine, order
from dispatch.domain.events import GRID_EXPORTS_ALLOWED, Event, Window, to_kw
from dispatch.domain.limiting import Slot, limit, needed_notice
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Refusal, Ruled, Ruling, overrule
from dispatch.domain.terms import Limits, Terms


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a device bears on its plan. Two devices with equal traits and requests plan alike."""

    rated_watts: int
    is_storage: bool = False
    may_export: bool = False


@dataclass(frozen=True, slots=True)
class UnservedSlice:
    """A window in which the device does not serve an event, with the reason.

    `is_shaded`: the event's twin at the other level is acted upon instead, so nothing is lost.
    """

    event_id: int
    window: Window
    reason: str
    is_shaded: bool = False


@dataclass(frozen=True, slots=True)
class OverlapSlice:
    """Two or more live events on the device in one window, best first: what was chosen, and why."""

    window: Window
    events: tuple[Event, ...]
    served: tuple[str, ...]
    not_served: tuple[tuple[str, str], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The result: what the device does, where events met, and what it leaves undone."""

    segments: tuple[Segment, ...] = ()
    overlaps: tuple[OverlapSlice, ...] = ()
    unserved: tuple[UnservedSlice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the device does in one slice; without a mode it stays still."""

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


class _Timed(Protocol):
    @property
    def window(self) -> Window: ...


T = TypeVar("T", bound=_Timed)


def consolidate(
    requests: Iterable[Request],
    *,
    rulings: Sequence[Ruling] = (),
    traits: Traits,
    terms: Terms | None = None,
    now: datetime,
) -> DevicePlan:
    """Plan one device: every slice of every request is served or listed as unserved."""
    ordered = sorted(requests, key=order)
    limits = terms.limits if terms else None
    ordered, late = _after_notice(ordered, limits=limits) if limits else (ordered, [])
    items: list[tuple[Window, Request | Ruling]] = [(request.window, request) for request in ordered]
    items += [(ruling.window, ruling) for ruling in rulings]
    choices = [_choose(window, live, traits=traits) for window, live in cut(items)]
    if terms and limits:
        choices = _within(choices, traits=traits, terms=terms, limits=limits, now=now)
    return DevicePlan(
        segments=tuple(_segments(choices)),
        overlaps=tuple(_overlaps(choices)),
        unserved=(*_unserved(choices), *late),
    )


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


def _within(
    choices: Sequence[_Choice], *, traits: Traits, terms: Terms, limits: Limits, now: datetime
) -> list[_Choice]:
    """Rule 4: let the device run within its limits, and refuse the rest."""
    moving = [choice for choice in choices if choice.mode]
    slots = [_slot(choice, traits=traits) for choice in moving]
    outcomes = limit(slots, limits=limits, zone=terms.zone, ran=terms.ran, now=now)
    limited = [choice for choice in choices if not choice.mode]
    for outcome in outcomes:
        choice = replace(moving[outcome.slot], window=outcome.window)
        limited.append(_dropped(choice, outcome.reason) if outcome.reason else choice)
    return sorted(limited, key=lambda choice: choice.window.start)


def _slot(choice: _Choice, *, traits: Traits) -> Slot:
    return Slot(
        window=choice.window,
        is_commitment=choice.is_commitment,
        rank=min((request.event.rank for request in choice.kept), default=0),
        watts=traits.rated_watts if choice.watts is None else choice.watts,
        names=tuple(sentences.ranked(request.event) for request in choice.kept) or ("a forced run",),
        is_forced=choice.is_forced,
    )


def _dropped(choice: _Choice, reason: str) -> _Choice:
    """Stay still in a slice, and refuse what it would have served."""
    refused = tuple(Refusal(request, reason) for request in choice.kept)
    return _Choice(
        choice.window, choice.requests, (), (*choice.refused, *refused), "", is_ruled=choice.is_ruled
    )


def still_to_come(plan: DevicePlan, *, now: datetime) -> DevicePlan:
    """Leave out what is over at `now`; what runs keeps its beginning."""
    return DevicePlan(
        segments=tuple(each for each in plan.segments if each.end > now),
        overlaps=tuple(each for each in plan.overlaps if each.window.end > now),
        unserved=tuple(each for each in plan.unserved if each.window.end > now),
    )


def _choose(window: Window, live: Sequence[Request | Ruling], *, traits: Traits) -> _Choice:
    """Decide one slice."""
    requests = tuple(item for item in live if isinstance(item, Request))
    rulings = [item for item in live if isinstance(item, Ruling)]
    ruled = overrule(requests, rulings, rated_watts=traits.rated_watts)
    still = _Choice(window, requests, ruled.kept, ruled.refused, ruled.reason, bool(ruled.reason))
    if not ruled.kept:
        return _force_alone(still, ruled, traits=traits)
    whole = combine(ruled.kept)
    forced = ruled.forced_watts is not None
    return replace(
        still,
        mode=_mode(traits, cap=whole.cap),
        watts=ruled.forced_watts if forced else whole.watts,
        cap=whole.cap,
        is_commitment=whole.is_commitment,
        is_forced=forced,
        reason=" ".join(filter(None, [whole.reason, ruled.reason])),
    )


def _force_alone(still: _Choice, ruled: Ruled, *, traits: Traits) -> _Choice:
    """Run at the forced power without serving an event; stay still where none is forced."""
    if not ruled.forced_watts:
        return still
    return replace(still, mode=_mode(traits, cap=""), watts=ruled.forced_watts, is_forced=True)


def _mode(traits: Traits, *, cap: str) -> Mode:
    """Return how the device delivers: storage discharges, or exports where cap and site allow it."""
    if not traits.is_storage:
        return Mode.CURTAIL
    return Mode.EXPORT if cap == GRID_EXPORTS_ALLOWED and traits.may_export else Mode.DISCHARGE


def _segments(choices: Sequence[_Choice]) -> Iterable[Segment]:
    """Merge touching slices in which the device does the same."""
    for run in _runs([choice for choice in choices if choice.mode], key=_doing):
        first = run[0]
        ids = dict.fromkeys(request.event.leap_event_id for choice in run for request in choice.kept)
        yield Segment(
            start=first.window.start,
            end=run[-1].window.end,
            mode=first.mode or Mode.IDLE,
            target_kw=None if first.watts is None else to_kw(first.watts),
            cap=first.cap,
            is_commitment=first.is_commitment,
            leap_event_ids=tuple(ids),
            reason=_reason(run),
        )


def _doing(choice: _Choice) -> tuple[object, ...]:
    return choice.mode, choice.watts, choice.cap, choice.is_commitment


def _reason(run: Sequence[_Choice]) -> str:
    """Return the reason of merged slices; a plain row of events is said in one sentence."""
    plain = all(len(choice.requests) == len(choice.kept) == 1 and not choice.is_ruled for choice in run)
    events = list(dict.fromkeys(request.event for choice in run for request in choice.kept)) if plain else []
    if len(events) > 1:
        return sentences.serves_in_turn(events)
    return sentences.in_order([choice.reason for choice in run])


def _overlaps(choices: Sequence[_Choice]) -> Iterable[OverlapSlice]:
    """Return where two or more events are live, merged where nothing differs."""
    met = [choice for choice in choices if len(choice.requests) > 1]
    for run in _runs(met, key=lambda choice: (choice.requests, choice.kept, choice.refused, choice.reason)):
        first = run[0]
        yield OverlapSlice(
            window=Window(first.window.start, run[-1].window.end),
            events=tuple(request.event for request in first.requests),
            served=tuple(request.event.leap_event_id for request in first.kept),
            not_served=tuple((each.request.event.leap_event_id, each.reason) for each in first.refused),
            reason=first.reason or first.refused[0].reason,
        )


def _unserved(choices: Sequence[_Choice]) -> Iterable[UnservedSlice]:
    """Return what is refused, merged where an event is refused on for the same reason."""
    slices = [
        UnservedSlice(refusal.request.event.event_id, choice.window, refusal.reason)
        for choice in choices
        for refusal in choice.refused
    ]
    slices.sort(key=lambda each: (each.event_id, each.window.start))
    for run in _runs(slices, key=lambda each: (each.event_id, each.reason)):
        yield replace(run[0], window=Window(run[0].window.start, run[-1].window.end))


def _runs(items: Sequence[T], *, key: Callable[[T], object]) -> list[list[T]]:
    """Group neighbours that touch and have equal keys."""
    runs: list[list[T]] = []
    for item in items:
        latest = runs[-1][-1] if runs else None
        if latest and latest.window.end == item.window.start and key(latest) == key(item):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs
