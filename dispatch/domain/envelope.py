"""Rule 3: overlapping programs are served by the same kilowatts.

The target is the largest request, never their sum; the cap is the most permissive one; the whole is
a commitment if any part is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatch.domain import sentences
from dispatch.domain.events import MAXIMUM, Event, Window, permission


@dataclass(frozen=True, slots=True)
class Request:
    """What one event asks of one device in a window; `watts` None is the maximum."""

    event: Event
    watts: int | None
    window: Window


@dataclass(frozen=True, slots=True)
class Envelope:
    """What serves all requests of a slice at once, and why."""

    watts: int | None
    cap: str
    is_commitment: bool
    reason: str


def order(request: Request) -> tuple[int, bool, bool, int, datetime, str, int]:
    """Return the key that puts the best request first.

    Rank (1 is the highest), commitment before voluntary, larger power, earlier start, Leap's event id.
    Source: Leap, "Dispatch Event Processing", `priority` and `is_voluntary`.
    """
    event = request.event
    return (
        event.rank,
        event.is_voluntary,
        request.watts is not MAXIMUM,
        -(request.watts or 0),
        event.window.start,
        event.leap_event_id,
        event.event_id,
    )


def combine(requests: Sequence[Request]) -> Envelope:
    """Return the envelope of one or more requests, given best first."""
    if len(requests) == 1:
        (only,) = requests
        event = only.event
        return Envelope(only.watts, event.cap, not event.is_voluntary, sentences.serves_one(event))
    largest = min(requests, key=lambda request: (request.watts is not MAXIMUM, -(request.watts or 0)))
    widest = max(requests, key=lambda request: permission(request.event.cap))
    reason = sentences.serves_many(
        tuple([request.event for request in requests]),
        largest=largest.event,
        because=why_first(requests[0], requests[1]),
        cap_of=widest.event,
    )
    return Envelope(
        watts=largest.watts,
        cap=widest.event.cap,
        is_commitment=not all(request.event.is_voluntary for request in requests),
        reason=reason,
    )


def why_first(first: Request, second: Request) -> str:
    """Return what put `first` before `second`, both given in order."""
    a, b = first.event, second.event
    if a.rank != b.rank:
        return f"rank {a.rank} before rank {b.rank}"
    if a.is_voluntary != b.is_voluntary:
        return "a commitment before a voluntary event"
    if first.watts != second.watts:
        return "the larger request"
    if a.window.start != b.window.start:
        return "the earlier start"
    return "the lower event id"
