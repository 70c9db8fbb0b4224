"""What must come of a scenario beside what the portal holds: one finding an expectation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from leapvpp.certification.comparing import Finding
from leapvpp.certification.expecting import Piece, alike, joined
from leapvpp.demo.showroom.observing import Held
from leapvpp.demo.showroom.scenarios import Does, Expected, Reason, Scenario, Short, Undone


def compare(
    scenario: Scenario, expected: Sequence[Expected], *, held: Held, day: date
) -> tuple[Finding, ...]:
    """Say of every expectation whether it came true, and with which words or numbers."""
    return tuple(_compare(scenario, each, held=held, day=day) for each in expected)


def _compare(scenario: Scenario, expected: Expected, *, held: Held, day: date) -> Finding:
    if isinstance(expected, Does):
        return _does(scenario, expected, held=held, day=day)
    if isinstance(expected, Reason):
        return _reason(scenario, expected, held=held, day=day)
    if isinstance(expected, Undone):
        return _undone(scenario, expected, held=held, day=day)
    return _short(expected, held=held)


def _does(scenario: Scenario, expected: Does, *, held: Held, day: date) -> Finding:
    found = joined(piece for piece, _ in held.pieces[expected.room])
    wanted = tuple(
        Piece(scenario.moment(day, start), scenario.moment(day, end), None if kw is None else Decimal(kw))
        for start, end, kw in expected.pieces
    )
    said = f"Planned: {_in_words(scenario, found)}."
    if alike(wanted, found):
        return Finding(expected.says, said, is_passed=True)
    return Finding(expected.says, f"{said} Expected: {_in_words(scenario, wanted)}.", is_passed=False)


def _reason(scenario: Scenario, expected: Reason, *, held: Held, day: date) -> Finding:
    at = scenario.moment(day, expected.at)
    reason = next(
        (reason for piece, reason in held.pieces[expected.room] if piece.start <= at < piece.end), ""
    )
    return _worded(expected.says, reason or f"It does nothing at {expected.at}.", words=expected.words)


def _undone(scenario: Scenario, expected: Undone, *, held: Held, day: date) -> Finding:
    start, end = scenario.moment(day, expected.start), scenario.moment(day, expected.end)
    mine = [each for each in held.refusals[expected.room] if each.call == expected.call]
    for each in mine:
        if (each.start, each.end) == (start, end):
            return _worded(expected.says, each.reason, words=expected.words)
    zone = scenario.zone
    windows = [f"{each.start.astimezone(zone):%H:%M}–{each.end.astimezone(zone):%H:%M}" for each in mine]
    found = f"It is left undone {', '.join(windows)}" if mine else "All of it is served"
    said = f"{found}; {expected.start}–{expected.end} was to be left undone."
    return Finding(expected.says, said, is_passed=False)


def _short(expected: Short, *, held: Held) -> Finding:
    found = held.shortfalls.get(expected.call, Decimal(0))
    is_passed = found == Decimal(expected.kw)
    wanted = "" if is_passed else f" Expected: {expected.kw} kW."
    return Finding(expected.says, f"The event lacks {found.normalize():f} kW.{wanted}", is_passed=is_passed)


def _worded(says: str, reason: str, *, words: Sequence[str]) -> Finding:
    missing = [word for word in words if word not in reason]
    wanted = f" Expected in it: {', '.join(f'“{word}”' for word in missing)}." if missing else ""
    return Finding(says, f"{reason}{wanted}", is_passed=not missing)


def _in_words(scenario: Scenario, pieces: Sequence[Piece]) -> str:
    """Say what a device does on the clock of its site."""
    zone = scenario.zone
    return (
        ", ".join(
            f"{'maximum' if piece.kw is None else f'{piece.kw.normalize():f} kW'}"
            f" {piece.start.astimezone(zone):%H:%M}–{piece.end.astimezone(zone):%H:%M}"
            for piece in pieces
        )
        or "nothing"
    )
