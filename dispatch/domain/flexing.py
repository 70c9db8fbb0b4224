"""Rule 6: voluntary events may be skipped, or served with less power; a commitment may not.

Source: Leap, "Dispatch Event Processing", strategy D and `is_voluntary`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from dispatch.domain import sentences
from dispatch.domain.envelope import Request, order
from dispatch.domain.events import MAXIMUM, Event, Window
from dispatch.domain.limiting import windows_of
from dispatch.domain.overruling import Refusal
from dispatch.domain.terms import Flexibility, Terms, Voluntary


@dataclass(frozen=True, slots=True)
class Flexed:
    """What is left of a slice's requests, best first. `reason`: what was reduced, empty where nothing was."""

    kept: tuple[Request, ...]
    refused: tuple[Refusal, ...] = ()
    reason: str = ""


def flexible_hours(requests: Sequence[Request], *, terms: Terms) -> list[Window]:
    """Return when the policy looks at voluntary requests because of the time of day, where there are any."""
    hours = terms.flexibility.hours if terms.flexibility else ()
    voluntary = [request.window for request in requests if request.event.is_voluntary]
    if not hours or not voluntary:
        return []
    span = Window(min(each.start for each in voluntary), max(each.end for each in voluntary))
    return windows_of(hours, span=span, zone=ZoneInfo(terms.zone))


def flex(requests: Sequence[Request], *, terms: Terms, is_hour: bool, rated_watts: int) -> Flexed:
    """Skip or reduce the voluntary requests of one slice; commitments stay as they are asked.

    `is_hour`: the slice lies in the policy's hours. A maximum is reduced to a part of the rated power.
    What would be less than a watt is skipped.
    """
    policy = terms.flexibility
    kept, refused = [], []
    reduced: defaultdict[str, list[Event]] = defaultdict(list)
    for request in requests:
        if not request.event.is_voluntary:
            kept.append(request)
        elif terms.commitments_only:
            refused.append(Refusal(request, sentences.commitments_only()))
        elif policy and (why := _why(request.event, policy=policy, terms=terms, is_hour=is_hour)):
            less = _less(request, policy=policy, rated_watts=rated_watts)
            if less.watts:
                kept.append(less)
                reduced[why].append(request.event)
            else:
                refused.append(Refusal(request, sentences.skipped(why, label=policy.label)))
        else:
            kept.append(request)
    said = [
        sentences.reduced(events, policy.keep_percent, why, label=policy.label)
        for why, events in reduced.items()
        if policy
    ]
    return Flexed(tuple(sorted(kept, key=order)), tuple(refused), " ".join(said))


def _less(request: Request, *, policy: Flexibility, rated_watts: int) -> Request:
    """Return the request with the power that the policy leaves it, none where it is skipped."""
    asked = rated_watts if request.watts is MAXIMUM else request.watts
    keep = policy.keep_percent if policy.action is Voluntary.REDUCE else 0
    return replace(request, watts=asked * keep // 100)


def _why(event: Event, *, policy: Flexibility, terms: Terms, is_hour: bool) -> str:
    """Return the first of the policy's conditions that holds for a voluntary event; empty where none does."""
    below, comfort, charge = policy.below_percent, policy.comfort_price, terms.charge_percent
    if below is None and comfort is None and not policy.hours:
        return sentences.voluntary_always()
    if below is not None and charge is not None and charge < below:
        return sentences.charge_below(charge, below=below)
    price = max((cents for program, cents in terms.prices if program in event.programs), default=None)
    if comfort is not None and price is not None and price < comfort:
        return sentences.pays_less(price, than=comfort)
    return sentences.voluntary_hour() if is_hour else ""
