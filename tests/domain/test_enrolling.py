"""What Leap says of programs and required actions, read leniently: an odd entry costs itself alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from leapvpp.leap.meters import MeterEnrollment, read_page, read_programs
from meters.domain.enrolling import actions_of, enrollments_of

AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
PERIOD = {
    "program_identifier": "CEC-DSGS",
    "delivery_period": "CEC-DSGS_2026_AUG_OCT",
    "delivery_period_start_date_time": "2026-08-01T00:00:00Z",
    "delivery_period_end_date_time": "2026-11-01T00:00:00Z",
    "enrollment_status": "ELIGIBLE",
    "market_group_id": "3FA85F64-5717-4562-B3FC-2C963F66AFA6",
}
ACTION = {
    "program_identifier": "CEC-DSGS",
    "delivery_period": "CEC-DSGS_2026_AUG_OCT",
    "enrollment_deadline_date_time": "2026-07-29T00:00:00.000Z",
    "action_type": "NO_MISSING_FIELDS",
    "action_description": "There are missing fields: cbl_method",
    "action_code": "SERV_0005",
}
KEY = ("CEC-DSGS", "CEC-DSGS_2026_AUG_OCT", "NO_MISSING_FIELDS", "SERV_0005")


def test_an_enrollment_is_what_leap_says():
    pair = {"enrollment_deadline_date_time": "2026-07-15T00:00:00Z", "activation_date_time": "2026-08-01"}
    odd: list[object] = ["no", {}, {"enrollment_deadline_date_time": 7}, None]
    (one,) = enrollments_of(read_programs([PERIOD | {"enrollment_deadlines": [pair, *odd]}])).values()
    assert one.key == ("CEC-DSGS", "CEC-DSGS_2026_AUG_OCT", AUGUST)
    assert (one.ends_at, one.status) == (datetime(2026, 11, 1, tzinfo=UTC), "ELIGIBLE")
    assert one.deadlines == [["2026-07-15T00:00:00Z", "2026-08-01"]]
    assert one.market_group_id == "3fa85f64-5717-4562-b3fc-2c963f66afa6"


ODD_PROGRAMS = {
    "no object": "text",
    "no start": PERIOD | {"delivery_period_start_date_time": None},
    "a start that is no time": PERIOD | {"delivery_period_start_date_time": "soon"},
    "a start before the first year": PERIOD | {"delivery_period_start_date_time": "0001-01-01T00:00+14:00"},
    "a start that never comes": PERIOD | {"delivery_period_start_date_time": "9000-01-01T00:00:00Z"},
    "no status": {name: value for name, value in PERIOD.items() if name != "enrollment_status"},
    "a code too long": PERIOD | {"program_identifier": "X" * 65},
}


@pytest.mark.parametrize("odd", ODD_PROGRAMS.values(), ids=ODD_PROGRAMS.keys())
def test_an_odd_program_costs_no_other_and_not_the_meter(odd):
    body = {"meter_id": "m", "required_actions": 7, "program_enrollment": [odd, PERIOD]}
    page = read_page(msgspec.json.encode({"meters": [body]}), kind=MeterEnrollment)
    meter = page.meters[0].meter
    assert meter is not None
    assert [key[0] for key in enrollments_of(meter.program_enrollment)] == ["CEC-DSGS"]
    assert actions_of(meter.required_actions) == {}


SAID = {
    "nothing": (msgspec.UNSET, {}),
    "a number": (7, {}),
    "null": (None, {"PARTNER": [], "LEAP": []}),
    "an empty object": ({}, {"PARTNER": [], "LEAP": []}),
    "empty lists": ({"partner": [], "leap": None}, {"PARTNER": [], "LEAP": []}),
    "one of two lists that cannot be read": ({"partner": "soon", "leap": []}, {"LEAP": []}),
    "an action": ({"partner": [ACTION]}, {"PARTNER": [("PARTNER", *KEY)], "LEAP": []}),
    "odd ones beside it": (
        {"partner": ["odd", None, ACTION], "leap": [{}]},
        {"PARTNER": [("PARTNER", *KEY)], "LEAP": [("LEAP", "", "", "", "")]},
    ),
}


@pytest.mark.parametrize(("said", "expected"), SAID.values(), ids=SAID.keys())
def test_actions_by_party_are_those_that_leap_asks_for(said, expected):
    assert {party: list(actions) for party, actions in actions_of(said).items()} == expected


def test_of_an_odd_action_what_fits_is_kept_and_what_is_said_twice_is_one():
    other = ACTION | {
        "enrollment_deadline_date_time": "2026-07-01T00:00:00Z",
        "action_description": "There are missing fields: load_zone",
    }
    odd = {"action_type": "X" * 99, "action_code": 7, "enrollment_deadline_date_time": "never"}
    merged, kept = actions_of({"partner": [ACTION, other, ACTION, odd]})["PARTNER"].values()
    assert merged.deadline_at == datetime(2026, 7, 1, tzinfo=UTC)
    assert merged.description.splitlines() == [
        "There are missing fields: cbl_method",
        "There are missing fields: load_zone",
    ]
    assert (kept.action_type, kept.action_code, kept.deadline_at) == ("X" * 64, "", None)
