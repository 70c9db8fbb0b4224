"""Leap adds fields and words without a new version: what is new, missing or odd costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leapvpp.leap.errors import UnreadableAnswer
from leapvpp.leap.meters import MeterDetails, MeterEnrollment, read_page
from leapvpp.leap.values import read_timeslot

METER: dict[str, Any] = {
    "meter_id": "1fa85f64-5717-4562-b3fc-2c963f66afa6",
    "partner_reference": "unique-reference",
    "transmission_region": "CAISO",
    "meter_type": "UTILITY_METER",
    "is_archived": False,
    "tags": [],
    "global_enrollment_status": "ACTIVE",
    "participation_preferences": [
        {"participation_preference": "PARTICIPATE", "start_time": "2024-11-01T00:00:00Z"}
    ],
    "program_enrollment": [
        {
            "program_identifier": "CCA",
            "delivery_period": "CAISO-CCA_2024_OCT",
            "delivery_period_start_date_time": "2024-10-01T07:00:00Z",
            "delivery_period_end_date_time": "2024-10-31T07:00:00Z",
            "enrollment_status": "ACTIVE",
            "enrollment_deadlines": [],
        }
    ],
    "required_actions": {"partner": [], "leap": []},
}
PROGRAM = METER["program_enrollment"][0]
PREFERENCE = METER["participation_preferences"][0]
ODD_METERS: dict[str, dict[str, Any]] = {
    "a field that nobody knows": {"carbon_grams_per_kwh": {"now": 3}},
    "a region that nobody knows": {"transmission_region": "HAWAII"},
    "a type that nobody knows": {"meter_type": "VIRTUAL_METER"},
    "a type as the guide writes it": {"meter_type": "utility_meter"},
    "a status that nobody knows": {"global_enrollment_status": "UNDER_REVIEW"},
    "a preference that nobody knows": {
        "participation_preferences": [PREFERENCE | {"participation_preference": "PAUSED"}]
    },
    "a preference without an end that never comes": {
        "participation_preferences": [PREFERENCE | {"end_time": "9000-12-31T23:59:59.999999999Z"}]
    },
    "a program that nobody knows": {"program_enrollment": [PROGRAM | {"program_identifier": "MARS-DR"}]},
    "a program's status that nobody knows": {
        "program_enrollment": [PROGRAM | {"enrollment_status": "WAIT-LISTED"}]
    },
    "a program with more": {"program_enrollment": [PROGRAM | {"price_cents": "12.5", "sub": {"a": [1]}}]},
    "null for what is missing": dict.fromkeys(
        ("partner_reference", "transmission_region", "meter_type", "global_enrollment_status")
    ),
    "no groups, actions, tags": {"required_actions": {}, "tags": None},
    "an action that nobody knows": {
        "required_actions": {"partner": [{"action_type": "SING_A_SONG", "action_code": 7}], "owner": []}
    },
    "letters of everywhere": {"partner_reference": "Đường số 5 – 東京 – Ω"},
}


@pytest.mark.parametrize("odd", ODD_METERS.values(), ids=ODD_METERS)
@pytest.mark.parametrize("kind", [MeterEnrollment, MeterDetails], ids=["enrollment", "details"])
def test_an_odd_meter_is_read_and_its_whole_body_kept(kind: type[MeterDetails], odd: dict[str, Any]) -> None:
    body = METER | odd
    (received,) = read_page(json.dumps({"meters": [body]}).encode(), kind=kind).meters
    assert received.meter is not None
    assert received.meter.meter_id == METER["meter_id"]
    assert received.body == body


@pytest.mark.parametrize("missing", sorted(set(METER) - {"meter_id"}))
def test_a_meter_without_what_may_be_missing_is_read(missing: str) -> None:
    body = {name: value for name, value in METER.items() if name != missing}
    (received,) = read_page(json.dumps({"meters": [body]}).encode(), kind=MeterEnrollment).meters
    assert (received.problem, received.body) == ("", body)


SLOT: dict[str, Any] = {
    "meter_event_id": "f4cfced0-16f4-4fb7-b72e-5ff939ae541e",
    "start_time": "2023-02-21T00:00:00Z",
    "end_time": "2023-02-21T01:00:00Z",
    "energy_kw": 10,
    "nomination_kw": 10,
    "cancelled": False,
    "programs": ["CCA"],
    "priority": 1,
    "is_voluntary": False,
    "performance_compensation_cap": "up-to-site-load",
    "dispatch_event_types": ["day-ahead"],
}
ODD_SLOTS: dict[str, dict[str, Any]] = {
    "numbers as text": {"energy_kw": "10.25", "nomination_kw": "11", "priority": "2"},
    "yes and no as text": {"cancelled": "true", "is_voluntary": "false"},
    "a type that nobody knows": {"dispatch_event_types": ["15m", "minute-ahead"]},
    "a cap that nobody knows": {"performance_compensation_cap": "up-to-the-moon"},
    "a program that nobody knows": {"programs": ["CT_GB-ESS", "MARS-DR"]},
    "a field that nobody knows": {"price": {"usd": 3}},
    "no power": {"energy_kw": None, "nomination_kw": None},
    "an offset instead of Z": {"start_time": "2023-02-20T16:00:00-08:00"},
}


@pytest.mark.parametrize("odd", ODD_SLOTS.values(), ids=ODD_SLOTS)
def test_an_odd_timeslot_is_read_and_its_bytes_kept(odd: dict[str, Any]) -> None:
    raw = json.dumps(SLOT | odd).encode()
    received = read_timeslot(raw)
    assert (received.problem, received.raw) == ("", raw)
    assert received.timeslot is not None and received.timeslot.event_id == SLOT["meter_event_id"]


def test_an_answer_nested_too_deep_is_unreadable() -> None:
    deep = b'{"meters":[{"meter_id":"deep","odd":' + b"[" * 5000 + b"]" * 5000 + b"}]}"
    with pytest.raises(UnreadableAnswer, match="could not be read"):
        read_page(deep, kind=MeterDetails)


@pytest.mark.parametrize("body", [b"{}", b'{"message":"try later"}', b'{"meters":null}'])
def test_an_answer_without_meters_does_not_say_that_there_are_none(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_page(body, kind=MeterDetails)
