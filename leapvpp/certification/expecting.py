"""What the portal must hold and do, worked out from the simulator's ledger alone.

Knows nothing of how the portal plans: this is the second opinion that its plan is compared with.
Power is kW, `None` the maximum; windows are half-open, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from leapvpp.leap.simulator.ledger import LedgerEvent

_THOUSANDTH = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Piece:
    """Power that one device gives in `[start, end)`; `kw` None is the maximum."""

    start: datetime
    end: datetime
    kw: Decimal | None


def expected_pieces(events: Iterable[LedgerEvent], *, meter_id: str, after: datetime) -> tuple[Piece, ...]:
    """Return what the meter's one device must do from `after` on.

    Events that are not cancelled reach the meter when it is among their meters. Where several do, the
    same kilowatts serve them all: the largest request counts, and one without a number is the maximum.
    Source: Leap, "Dispatch Event Processing".
    """
    asks = [
        Piece(max(event.timeslot.start_time, after), event.timeslot.end_time, asked_kw(event))
        for event in events
        if meter_id in event.meter_ids and not event.timeslot.cancelled and event.timeslot.end_time > after
    ]
    turns = sorted({moment for ask in asks for moment in (ask.start, ask.end)})
    pieces = []
    for start, end in pairwise(turns):
        here = [ask.kw for ask in asks if ask.start <= start and end <= ask.end]
        if here:
            known = [kw for kw in here if kw is not None]
            pieces.append(Piece(start, end, max(known) if len(known) == len(here) else None))
    return joined(pieces)


def asked_kw(event: LedgerEvent) -> Decimal | None:
    """Return what the event asks of each of its meters, which are alike; `None` is the maximum.

    Without a number it is the nomination where nothing beyond that is paid, else the maximum.
    """
    slot = event.timeslot
    total = slot.energy_kw
    if total is None and slot.performance_compensation_cap == "up-to-nomination":
        total = slot.nomination_kw
    return None if total is None else (total / len(event.meter_ids)).quantize(_THOUSANDTH)


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Make one of touching pieces with equal power; pieces come in order."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].end == piece.start and found[-1].kw == piece.kw:
            found[-1] = replace(found[-1], end=piece.end)
        else:
            found.append(piece)
    return tuple(found)


def remaining_pieces(pieces: Iterable[Piece], *, after: datetime) -> tuple[Piece, ...]:
    """Return what of the pieces lies after a moment."""
    left = [replace(piece, start=max(piece.start, after)) for piece in pieces if piece.end > after]
    return joined(left)


def alike(expected: Sequence[Piece], found: Sequence[Piece]) -> bool:
    """Say whether two schedules are the same, to the watt that a split over meters may leave over."""
    return len(expected) == len(found) and all(
        (a.start, a.end) == (b.start, b.end) and _same_power(a.kw, b.kw)
        for a, b in zip(expected, found, strict=True)
    )


def _same_power(a: Decimal | None, b: Decimal | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _THOUSANDTH


def as_words(pieces: Sequence[Piece]) -> str:
    """Say a schedule in words, times in UTC."""
    if not pieces:
        return "nothing"
    return ", ".join(
        f"{'maximum' if piece.kw is None else f'{piece.kw.normalize():f} kW'}"
        f" {piece.start:%d %b %H:%M:%S}–{piece.end:%H:%M:%S}"
        for piece in pieces
    )
