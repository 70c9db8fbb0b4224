"""A portal that holds or does something else than Leap's ledger is told so, in a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from leapvpp.certification import comparing
from leapvpp.certification.expecting import Piece
from leapvpp.certification.observing import HeldEvent, HeldSchedule
from leapvpp.certification.portfolio import Portfolio
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.values import Level, Timeslot

START = datetime(2026, 8, 1, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
PORTFOLIO = Portfolio(recipients={"home": "m"}, meter_ids=frozenset("m"), device_by_meter={"m": 1})
LEDGER = LedgerEvent(
    level=Level.METER,
    recipient_id="m",
    meter_ids=("m",),
    timeslot=Timeslot(
        meter_event_id="e",
        start_time=START,
        end_time=END,
        cancelled=False,
        energy_kw=Decimal(8),
        nomination_kw=Decimal(10),
        performance_compensation_cap="up-to-site-load",
        priority=2,
        is_voluntary=False,
        dispatch_event_types=("day-ahead",),
        programs=("CCA",),
    ),
)
HELD = HeldEvent(
    level="METER",
    leap_event_id="e",
    market_group_id="",
    meter_ids=frozenset("m"),
    start=START,
    end=END,
    cancelled=False,
    energy_kw=Decimal("8.000"),
    nomination_kw=Decimal("10.000"),
    priority=2,
    is_voluntary=False,
    cap="up-to-site-load",
    types=("day-ahead",),
    programs=("CCA",),
    test="",
    is_confirmed=True,
    revision=1,
)
ASKED = HeldSchedule(3, "ACKNOWLEDGED", 3, (Piece(START, END, Decimal("8.000")),))


def events(*held):
    return comparing.check_events(held, ledger=[LEDGER], portfolio=PORTFOLIO)


def schedules(held):
    now = START - timedelta(hours=1)
    return comparing.check_schedules(held, ledger=[LEDGER], portfolio=PORTFOLIO, now=now)


def acknowledged(held):
    return comparing.check_acknowledged({"m": held}, portfolio=PORTFOLIO)


RIGHT = {
    "the event as it is": events(HELD),
    "an integration test besides": events(HELD, replace(HELD, leap_event_id="t", test="INTEGRATION")),
    "the power that is asked for": schedules({"m": ASKED}),
    "accepted by the device": acknowledged(ASKED),
    "a doubt where one belongs": comparing.check_confirmation(
        [replace(HELD, is_confirmed=False)], doubtful={"e"}
    ),
}
WRONG = {
    "missing": (events(), "home 01 Aug 12:00:00 is missing."),
    "one too many": (events(HELD, replace(HELD, leap_event_id="x")), "Leap knows nothing of it"),
    "another power": (events(replace(HELD, energy_kw=Decimal(4))), "energy_kw is 4, Leap's ledger says 8."),
    "another end": (events(replace(HELD, end=START)), "end is"),
    "other meters": (events(replace(HELD, meter_ids=frozenset("n"))), "meters is ['n']"),
    "a test": (events(replace(HELD, test="COMMUNICATION")), "test is COMMUNICATION"),
    "nothing to do": (schedules({}), "home is to do nothing; asked is 8 kW"),
    "the maximum": (
        schedules({"m": replace(ASKED, pieces=(Piece(START, END, None),))}),
        "home is to do maximum",
    ),
    "an older version accepted": (
        acknowledged(replace(ASKED, accepted_version=2)),
        "home holds version 2, and version 3 is acknowledged.",
    ),
    "not accepted": (acknowledged(replace(ASKED, state="SENT")), "version 3 is sent."),
    "a doubt too many": (
        comparing.check_confirmation([replace(HELD, is_confirmed=False)], doubtful=()),
        "unconfirmed without need",
    ),
    "counted twice": (
        comparing.check_revisions([replace(HELD, revision=2)], versions={"e": 1}),
        "has 2 revisions; Leap said 1 different things.",
    ),
}


@pytest.mark.parametrize("finding", RIGHT.values(), ids=RIGHT)
def test_what_is_right_passes(finding):
    assert finding.is_passed, finding.sentence


@pytest.mark.parametrize(("finding", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(finding, sentence):
    assert not finding.is_passed
    assert sentence in finding.sentence
