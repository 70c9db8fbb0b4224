"""What was chosen, told as a plan: segments, overlaps, what is left undone and what is less."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from devices.domain.schedule import Mode, Segment, touching
from dispatch.domain import sentences
from dispatch.domain.choosing import Choice
from dispatch.domain.events import MAXIMUM, Window, to_kw
from dispatch.domain.overruling import Ruling, keeps_still
from dispatch.domain.plans import OverlapSlice, ReducedSlice, UnservedSlice
from dispatch.domain.shaping import Run, shape_runs
from dispatch.domain.terms import Shape, Terms
from dispatch.domain.windows import runs_of


def segments_of(choices: Sequence[Choice]) -> Iterable[Segment]:
    """Merge touching slices in which the device does the same."""
    for run in runs_of([choice for choice in choices if choice.mode], key=doing):
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


def shaped(
    segments: Sequence[Segment],
    choices: Sequence[Choice],
    *,
    rulings: Sequence[Ruling],
    terms: Terms,
    shape: Shape,
    now: datetime,
) -> list[Segment]:
    """Give each run of segments what its policy says comes before it, at its beginning and after it."""
    slices = runs_of([choice for choice in choices if choice.mode], key=lambda _: None)
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


def _quiet(choice: Choice, rulings: Sequence[Ruling]) -> tuple[Window, ...]:
    """Return when a person keeps the device from what a slice serves."""
    events = [request.event for request in choice.kept]
    return tuple(ruling.window for ruling in rulings if keeps_still(ruling, events))


def _with_shape(segment: Segment, *, label: str) -> Segment:
    """Let a segment's reason say what is before, in and after it."""
    said = sentences.shaped(
        segment.precondition_from, segment.ramp_seconds, segment.recover_until, label=label
    )
    return replace(segment, reason=" ".join(filter(None, [segment.reason, said])))


def doing(choice: Choice) -> tuple[object, ...]:
    """Return what makes touching slices one segment."""
    return choice.mode, choice.watts, choice.cap, choice.is_commitment


def _reason(run: Sequence[Choice]) -> str:
    """Return the reason of merged slices; a plain row of events is said in one sentence."""
    more = list(dict.fromkeys(said for choice in run for said in choice.says))
    plain = all(len(choice.requests) == len(choice.kept) == 1 and not choice.is_ruled for choice in run)
    events = tuple(dict.fromkeys(request.event for choice in run for request in choice.kept)) if plain else ()
    if len(events) > 1:
        return " ".join([sentences.serves_in_turn(events), *more])
    return " ".join(filter(None, [sentences.in_order([choice.reason for choice in run]), *more]))


def overlaps_of(choices: Sequence[Choice]) -> Iterable[OverlapSlice]:
    """Return where two or more events are live, merged where nothing differs."""
    met = [choice for choice in choices if len(choice.requests) > 1]
    for run in runs_of(met, key=_told):
        first = run[0]
        yield OverlapSlice(
            window=Window(first.window.start, run[-1].window.end),
            events=tuple(request.event for request in first.requests),
            served=tuple(request.event.leap_event_id for request in first.kept),
            not_served=tuple((each.request.event.leap_event_id, each.reason) for each in first.refused),
            reason=" ".join([first.reason, *first.says]).strip() or first.refused[0].reason,
        )


def _told(choice: Choice) -> tuple[object, ...]:
    return choice.requests, choice.kept, choice.refused, choice.reason, choice.says


def unserved_of(choices: Sequence[Choice]) -> Iterable[UnservedSlice]:
    """Return what is refused, merged where an event is refused on for the same reason."""
    slices = [
        UnservedSlice(refusal.request.event.event_id, choice.window, refusal.reason)
        for choice in choices
        for refusal in choice.refused
    ]
    slices.sort(key=lambda each: (each.event_id, each.window.start))
    for run in runs_of(slices, key=lambda each: (each.event_id, each.reason)):
        yield replace(run[0], window=Window(run[0].window.start, run[-1].window.end))


def reduced_of(choices: Sequence[Choice]) -> Iterable[ReducedSlice]:
    """Return where less is given than a number that is served asks; what is kept may be reduced already."""
    for choice in choices:
        served = {request.event.event_id for request in choice.kept}
        for request in choice.requests:
            if request.watts is MAXIMUM or choice.watts is None or request.event.event_id not in served:
                continue
            if choice.watts < request.watts:
                yield ReducedSlice(request.event.event_id, choice.window, request.watts, choice.watts)
