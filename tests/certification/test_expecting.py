"""The second opinion on what devices must do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from leapvpp.certification.expecting import Piece, alike, expected_pieces
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.values import Level, Timeslot

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


def asked(start, end, kw, *, meters=("m",), cancelled=False, nomination=None, cap="up-to-nomination"):
    """An event between two hours from NOW on."""
    slot = Timeslot(
        meter_event_id=f"{start}-{end}-{kw}",
        start_time=at(start),
        end_time=at(end),
        cancelled=cancelled,
        energy_kw=None if kw is None else Decimal(kw),
        nomination_kw=None if nomination is None else Decimal(nomination),
        performance_compensation_cap=cap,
    )
    return LedgerEvent(level=Level.METER, recipient_id="m", meter_ids=meters, timeslot=slot)


def at(hour):
    return NOW + timedelta(hours=hour)


def pieces(*rows):
    return tuple(Piece(at(a), at(b), None if kw is None else Decimal(kw)) for a, b, kw in rows)


CASES = {
    "nothing asked, nothing done": ([], pieces()),
    "one event is one piece": ([asked(1, 2, 6)], pieces((1, 2, 6))),
    "a cancelled event asks nothing": ([asked(1, 2, 6, cancelled=True)], pieces()),
    "an event for another meter asks nothing": ([asked(1, 2, 6, meters=("other",))], pieces()),
    "what is over asks nothing": ([asked(-2, -1, 6)], pieces()),
    "what runs counts from now": ([asked(-1, 1, 6)], pieces((0, 1, 6))),
    "the largest request serves all": (
        [asked(1, 4, 6), asked(2, 3, 10)],
        pieces((1, 2, 6), (2, 3, 10), (3, 4, 6)),
    ),
    "touching hours of equal power are one": ([asked(1, 2, 6), asked(2, 3, 6)], pieces((1, 3, 6))),
    "no number is the maximum": ([asked(1, 2, None), asked(1, 2, 6)], pieces((1, 2, None))),
    "no number up to a nomination is the nomination": ([asked(1, 2, None, nomination=8)], pieces((1, 2, 8))),
    "no number beyond a nomination is the maximum": (
        [asked(1, 2, None, nomination=8, cap="grid-exports-allowed")],
        pieces((1, 2, None)),
    ),
    "a group's power is shared equally": ([asked(1, 2, "8.5", meters=("m", "n"))], pieces((1, 2, "4.25"))),
}


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES)
def test_what_a_device_must_do_follows_from_the_ledger(events, expected):
    assert expected_pieces(events, meter_id="m", after=NOW) == expected


def test_schedules_differ_when_power_or_time_does():
    one = pieces((1, 2, 6))
    assert alike(one, pieces((1, 2, "6.001")))
    assert not alike(one, pieces((1, 2, "6.002")))
    assert not alike(one, pieces((1, 2, None)))
    assert not alike(one, pieces((1, 3, 6)))
    assert not alike(one, ())
