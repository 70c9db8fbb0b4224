from __future__ import annotations

import json
from decimal import Decimal

import pytest

from leapvpp.leap.errors import UnreadableAnswer, describe_error
from leapvpp.leap.values import Header, Level, SearchPage, read_timeslot

SLOT = {
    "meter_event_id": "8a8adc1e-c95a-4c14-a916-c25b2c39077f",
    "start_time": "2023-02-02T17:00:00Z",
    "end_time": "2023-02-02T18:00:00Z",
    "cancelled": False,
    "performance_compensation_cap": "up-to-nomination",
    "priority": 1,
    "is_voluntary": False,
    "dispatch_event_types": ["standard"],
    "programs": ["ERCOT-ERS"],
    "energy_kw": 0.645,
    "communication_test": False,
}


def test_values_of_tomorrow_and_numbers_as_text_are_read() -> None:
    odd = SLOT | {
        "energy_kw": "175",
        "priority": "2",
        "programs": ["MARS"],
        "dispatch_event_types": ["1m"],
        "new": 1,
    }
    slot = read_timeslot(json.dumps(odd).encode()).timeslot
    assert slot is not None
    assert (slot.energy_kw, slot.priority, slot.programs) == (Decimal(175), 2, ("MARS",))
    assert slot.dispatch_event_types == ("1m",)


@pytest.mark.parametrize("power", [{"energy_kw": None}, {}], ids=["null", "absent"])
def test_no_energy_is_none_and_never_zero(power: dict[str, object]) -> None:
    content = {key: value for key, value in SLOT.items() if key != "energy_kw"} | power
    slot = read_timeslot(json.dumps(content).encode()).timeslot
    assert slot is not None and slot.energy_kw is None


@pytest.mark.parametrize("name", ["communication_test", "is_communication_test"])
def test_a_communication_test_is_seen_under_both_names(name: str) -> None:
    slot = read_timeslot(json.dumps(SLOT | {name: True}).encode()).timeslot
    assert slot is not None and slot.is_test


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter_event_id": None}, "meter_event_id"),
        ({"start_time": "2023-02-02T17:00:00"}, "timezone"),
        ({"energy_kw": "NaN"}, "finite"),
        ({"cancelled": "perhaps"}, "bool"),
    ],
    ids=["no id", "no zone", "not a number", "no flag"],
)
def test_an_unusable_timeslot_keeps_its_bytes_and_says_why(change: dict[str, object], problem: str) -> None:
    raw = json.dumps(SLOT | change).encode()
    received = read_timeslot(raw)
    assert (received.raw, received.timeslot) == (raw, None)
    assert problem in received.problem


def test_a_search_page_can_walk_the_webhooks_way_and_one_bad_slot_spoils_nothing() -> None:
    result: dict[str, object] = {
        "market_group_id": "g",
        "meter_ids": ["m1", "m2"],
        "partner_references": ["r"],
        "timeslots": [],
    }
    result["timeslots"] = [{"market_group_event_id": "e"} | SLOT, {"odd": True}]
    results = [{"odd": True}, result]
    page = SearchPage.from_body(level=Level.GROUP, body=json.dumps({"results": results}).encode())
    (dispatch,) = page.dispatches()
    assert (dispatch.recipient_id, dispatch.meter_ids) == ("g", ("m1", "m2"))
    assert [bool(slot.timeslot) for slot in dispatch.timeslots] == [True, False]
    assert json.loads(page.as_notification()) == {"group_dispatches": results}


@pytest.mark.parametrize("name", ["next_page_token", "page_token"])
def test_both_names_of_the_page_token_are_read(name: str) -> None:
    body = json.dumps({"results": [], name: "t"}).encode()
    assert SearchPage.from_body(level=Level.METER, body=body).next_page_token == "t"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"results":null}', b"\xff"])
def test_an_answer_of_another_shape_is_a_typed_error(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        SearchPage.from_body(level=Level.METER, body=body)


def test_the_secret_of_a_webhook_is_not_shown() -> None:
    assert "s3cret" not in repr(Header(name="x-api-key", value="s3cret"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"code": "BAD_REQUEST", "message": "no", "error_code": "DISPATCH_INVALID_INPUT"},
            ("DISPATCH_INVALID_INPUT", "no"),
        ),
        ({"error": "Forbidden", "message": "not yours"}, ("Forbidden", "not yours")),
        ({"title": "Bad", "status": 400, "details": {"url": "missing"}}, ("Bad", "url: missing")),
        (
            {"title": "Bad", "status": 400, "details": [{"message": "m", "description": "d"}]},
            ("Bad", "m: d"),
        ),
        ("gateway", ("", "gateway")),
    ],
    ids=["dispatch", "platform webhooks", "meters", "revenue", "something else"],
)
def test_all_error_shapes_are_described(body: object, expected: tuple[str, str]) -> None:
    assert describe_error(json.dumps(body).encode()) == expected
