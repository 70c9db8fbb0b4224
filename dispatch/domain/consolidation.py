"""Per device: everything asked of it → the segments it runs, with the reason for every choice.

Cut (rule 2), overrule (rule 8), flex (rule 6), combine (rule 3), limit (rule 4), size (rule 5), then merge
touching equal slices into segments and shape their runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from devices.domain.schedule import Mode, Segment, touching
from dispatch.domain import sentences, sizing
from dispatch.domain.envelope import Request, combine, order
from dispatch.domain.events import GRID_EXPORTS_ALLOWED, MAXIMUM, Event, Window, to_kw
from dispatch.domain.flexing import Flexed, flex, flexible_hours
from dispatch.domain.limiting import Ask, Slot, limit, needed_notice
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Refusal, Ruled, Ruling, keeps_still, overrule
from dispatch.domain.shaping import Run, shape_runs
from dispatch.domain.terms import Flexibility, Limits, Shape, Terms


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
class ReducedSlice:
    """A window in which the device serves an event with less than the event's number asks of it."""

    event_id: int
    window: Window
    asked_watts: int
    watts: int


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The result: what the device does, where events met, and what it leaves undone."""

    segments: tuple[Segment, ...] = ()
    overlaps: tuple[OverlapSlice, ...] = ()
    unserved: tuple[UnservedSlice, ...] = ()
    reduced: tuple[ReducedSlice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Choice:
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


class _Timed(Protocol):
    @property
    def window(self) -> Window: ...


T = TypeVar("T", bound=_Timed)

_Live = Request | Ruling | Flexibility
"""What bears on a slice; a policy's flexibility does in its hours."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a device would do in every slice, and what is too `late`. `busy`: when it may not recharge."""

    choices: tuple[_Choice, ...]
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
    items: list[tuple[Window, _Live]] = [(request.window, request) for request in ordered]
    items += [(ruling.window, ruling) for ruling in rulings]
    if terms and terms.flexibility:
        items += [(window, terms.flexibility) for window in flexible_hours(ordered, terms=terms)]
    choices = tuple(_choose(window, live, traits=traits, terms=terms) for window, live in cut(items))
    return Decided(choices, tuple(each.window for each in choices if not _may_recharge(each)), tuple(late))


def restrain(
    decided: Decided,
    *,
    traits: Traits,
    terms: Terms | None,
    settled: Sequence[UnservedSlice],
    now: datetime,
) -> Decided:
    """Refuse what was left undone before, and what is beyond the limits. Its energy bears on none of it."""
    choices = _settled(decided.choices, settled)
    if terms and terms.limits:
        choices = _within(choices, traits=traits, terms=terms, limits=terms.limits, now=now)
    return replace(decided, choices=tuple(choices))


def carry_out(
    decided: Decided, *, rulings: Sequence[Ruling], traits: Traits, terms: Terms | None, now: datetime
) -> DevicePlan:
    """Size by what the device holds, merge and shape, and tell what is left undone."""
    choices: Sequence[_Choice] = decided.choices
    if pack := _storage(_permitted(traits, terms=terms), terms=terms):
        choices = _sized(choices, pack=pack, busy=decided.busy, now=now)
    segments = list(_segments(choices))
    if terms and terms.shape:
        segments = _shaped(segments, choices, rulings=rulings, terms=terms, shape=terms.shape, now=now)
    return DevicePlan(
        segments=tuple(segments),
        overlaps=tuple(_overlaps(choices)),
        unserved=(*_unserved(choices), *decided.late),
        reduced=tuple(_reduced(choices)),
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


def _settled(choices: Sequence[_Choice], undone: Sequence[UnservedSlice]) -> list[_Choice]:
    """Refuse what was left undone before, where that is all which would be served."""
    items: list[tuple[Window, _Choice | UnservedSlice]] = [(choice.window, choice) for choice in choices]
    items += [(each.window, each) for each in undone]
    settled = []
    for window, live in cut(items) if undone else ():
        reasons = {each.event_id: each.reason for each in live if isinstance(each, UnservedSlice)}
        for choice in (replace(each, window=window) for each in live if isinstance(each, _Choice)):
            is_undone = choice.kept and all(each.event.event_id in reasons for each in choice.kept)
            settled.append(_dropped(choice, reasons[choice.kept[0].event.event_id]) if is_undone else choice)
    return settled if undone else list(choices)


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
    choices: Sequence[_Choice], *, pack: sizing.Pack, busy: Sequence[Window], now: datetime
) -> list[_Choice]:
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
            sized.append(_dropped(choice, *outcome.says))
        else:
            sized.append(replace(choice, watts=outcome.watts, says=outcome.says))
    return sorted(sized, key=lambda choice: choice.window.start)


def _may_recharge(choice: _Choice) -> bool:
    """Say whether storage may draw power in a slice: not while a commitment asks, whatever becomes of it."""
    return not choice.is_forced and all(request.event.is_voluntary for request in choice.requests)


def _whole(choices: Sequence[_Choice]) -> Iterable[_Choice]:
    """Put together what limits have cut."""
    for run in _runs(
        choices, key=lambda choice: (choice.kept, choice.refused, choice.requests, _doing(choice))
    ):
        yield replace(run[0], window=Window(run[0].window.start, run[-1].window.end))


def _dropped(choice: _Choice, reason: str) -> _Choice:
    """Stay still in a slice, and refuse what it would have served."""
    refused = tuple(Refusal(request, reason) for request in choice.kept)
    return _Choice(
        choice.window, choice.requests, (), (*choice.refused, *refused), "", is_ruled=choice.is_ruled
    )


def still_to_come(plan: DevicePlan, *, now: datetime) -> DevicePlan:
    """Leave out what is over at `now`, recovery included; what runs keeps its beginning."""
    return DevicePlan(
        segments=tuple(each for each in plan.segments if each.over_at > now),
        overlaps=tuple(each for each in plan.overlaps if each.window.end > now),
        unserved=tuple(each for each in plan.unserved if each.window.end > now),
        reduced=tuple(each for each in plan.reduced if each.window.end > now),
    )


def _choose(window: Window, live: Sequence[_Live], *, traits: Traits, terms: Terms | None) -> _Choice:
    """Decide one slice."""
    requests = tuple(item for item in live if isinstance(item, Request))
    rulings = [item for item in live if isinstance(item, Ruling)]
    ruled = overrule(requests, rulings, rated_watts=traits.rated_watts)
    flexed = _flexed(ruled, live, traits=traits, terms=terms)
    said = " ".join(filter(None, [flexed.reason, ruled.reason]))
    refused = (*ruled.refused, *flexed.refused)
    if not flexed.kept:
        still = _Choice(window, requests, flexed.kept, refused, said, bool(said))
        return _force_alone(still, ruled, traits=traits)
    whole = combine(flexed.kept)
    forced = ruled.forced_watts is not None
    return _Choice(
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


def _flexed(ruled: Ruled, live: Sequence[_Live], *, traits: Traits, terms: Terms | None) -> Flexed:
    """Rule 6, which a person's force stands above."""
    if not terms or ruled.forced_watts is not None:
        return Flexed(ruled.kept)
    is_hour = any(isinstance(item, Flexibility) for item in live)
    return flex(ruled.kept, terms=terms, is_hour=is_hour, rated_watts=traits.rated_watts)


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


def _shaped(
    segments: Sequence[Segment],
    choices: Sequence[_Choice],
    *,
    rulings: Sequence[Ruling],
    terms: Terms,
    shape: Shape,
    now: datetime,
) -> list[Segment]:
    """Give each run of segments what its policy says comes before it, at its beginning and after it."""
    slices = _runs([choice for choice in choices if choice.mode], key=lambda _: None)
    runs = [
        Run(
            window=Window(run[0].window.start, run[-1].window.end),
            quiet_before=_quiet(run[0], rulings),
            quiet_after=_quiet(run[-1], rulings),
        )
        for run in slices
    ]
    blackouts = terms.limits.blackouts if terms.limits else ()
    got = shape_runs(runs, shape=shape, past=terms.past, blackouts=blackouts, zone=terms.zone, now=now)
    shaped: list[Segment] = []
    for run, each in zip(touching(segments), got, strict=True):
        run[0] = replace(run[0], precondition_from=each.precondition_from, ramp_seconds=each.ramp_seconds)
        run[-1] = replace(run[-1], recover_until=each.recover_until)
        shaped += [_with_shape(segment, label=shape.label) for segment in run]
    return shaped


def _quiet(choice: _Choice, rulings: Sequence[Ruling]) -> tuple[Window, ...]:
    """Return when a person keeps the device from what a slice serves."""
    events = [request.event for request in choice.kept]
    return tuple(ruling.window for ruling in rulings if keeps_still(ruling, events))


def _with_shape(segment: Segment, *, label: str) -> Segment:
    """Let a segment's reason say what is before, in and after it."""
    said = sentences.shaped(
        segment.precondition_from, segment.ramp_seconds, segment.recover_until, label=label
    )
    return replace(segment, reason=" ".join(filter(None, [segment.reason, said])))


def _doing(choice: _Choice) -> tuple[object, ...]:
    return choice.mode, choice.watts, choice.cap, choice.is_commitment


def _reason(run: Sequence[_Choice]) -> str:
    """Return the reason of merged slices; a plain row of events is said in one sentence."""
    more = list(dict.fromkeys(said for choice in run for said in choice.says))
    plain = all(len(choice.requests) == len(choice.kept) == 1 and not choice.is_ruled for choice in run)
    events = tuple(dict.fromkeys(request.event for choice in run for request in choice.kept)) if plain else ()
    if len(events) > 1:
        return " ".join([sentences.serves_in_turn(events), *more])
    return " ".join(filter(None, [sentences.in_order([choice.reason for choice in run]), *more]))


def _overlaps(choices: Sequence[_Choice]) -> Iterable[OverlapSlice]:
    """Return where two or more events are live, merged where nothing differs."""
    met = [choice for choice in choices if len(choice.requests) > 1]
    for run in _runs(met, key=_told):
        first = run[0]
        yield OverlapSlice(
            window=Window(first.window.start, run[-1].window.end),
            events=tuple(request.event for request in first.requests),
            served=tuple(request.event.leap_event_id for request in first.kept),
            not_served=tuple((each.request.event.leap_event_id, each.reason) for each in first.refused),
            reason=" ".join([first.reason, *first.says]).strip() or first.refused[0].reason,
        )


def _told(choice: _Choice) -> tuple[object, ...]:
    return choice.requests, choice.kept, choice.refused, choice.reason, choice.says


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


def _reduced(choices: Sequence[_Choice]) -> Iterable[ReducedSlice]:
    """Return where less is given than a number that is served asks; what is kept may be reduced already."""
    for choice in choices:
        served = {request.event.event_id for request in choice.kept}
        for request in choice.requests:
            if request.watts is MAXIMUM or choice.watts is None or request.event.event_id not in served:
                continue
            if choice.watts < request.watts:
                yield ReducedSlice(request.event.event_id, choice.window, request.watts, choice.watts)


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
