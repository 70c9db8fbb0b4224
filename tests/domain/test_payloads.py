"""Leap's bodies become timeslots: strict about meaning, lenient about dress."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dispatch.domain.belief import Source
from dispatch.intake.document import NotADocument, read_document
from dispatch.intake.payloads import level_of, read_timeslots
from tests.bodies import (
    EVENT,
    GROUP,
    METER,
    NOW,
    OTHER_METER,
    PAYLOADS,
    as_bytes,
    group_body,
    meter_body,
    payload,
    timeslot,
)


def read(body: bytes | dict, source: Source = Source.WEBHOOK):
    document = read_document(body if isinstance(body, bytes) else as_bytes(body))
    return read_timeslots(document, source=source, now=NOW)


def read_one(**changes):
    [slot] = read(meter_body(timeslot(**changes)))
    return slot


def test_the_guides_notification_is_read_whole():
    document = read_document(payload("guide-group-notification"))
    assert level_of(document) == "GROUP"
    [slot] = read_timeslots(document, source=Source.WEBHOOK, now=NOW)
    assert slot.leap_event_id == "114751e8-c0df-4d69-8a4f-9e7cebef1f84"
    assert slot.meter_ids == (
        "abae2779-e392-4f00-b0cf-32e716204f78",
        "bbae2779-e392-4f00-b0cf-32e716204f78",
    )
    assert slot.flags == () and slot.extra == {} and slot.unsaid == ()
    fields = slot.fields
    assert (fields.starts_at, fields.ends_at) == (
        datetime(2023, 6, 4, 23, tzinfo=UTC),
        datetime(2023, 6, 5, tzinfo=UTC),
    )
    assert (fields.energy_kw, fields.nomination_kw) == (Decimal("8.500"), Decimal("11.000"))
    assert (fields.priority_rank, fields.is_voluntary, fields.is_cancelled) == (2, False, False)
    assert (fields.cap, fields.dispatch_event_types, fields.programs) == (
        "up-to-site-load",
        ("day-ahead",),
        ("CCA",),
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in PAYLOADS.glob("*.json")))
def test_every_published_example_is_read_without_a_word_of_complaint(name):
    source = Source.POLL if name.endswith("search") else Source.WEBHOOK
    slots = read(payload(name), source)
    assert slots
    assert [slot for slot in slots if slot.problem or slot.flags or slot.extra] == []


READ_AS = {
    "a number as text": ({"energy_kw": "175"}, "energy_kw", Decimal(175), "energy_kw as text"),
    "a null power is the maximum": ({"energy_kw": None}, "energy_kw", None, ""),
    "an absent power too": (
        {"without": "energy_kw"},
        "energy_kw",
        None,
        "energy_kw missing, read as the maximum",
    ),
    "an odd nomination is ignored": (
        {"nomination_kw": -5},
        "nomination_kw",
        None,
        "nomination_kw is out of range, ignored",
    ),
    "cancelled as text": ({"cancelled": "false"}, "is_cancelled", False, "cancelled as text"),
    "a rank as text": ({"priority": "1"}, "priority_rank", 1, "priority as text"),
    "rank zero is the worst": (
        {"priority": 0},
        "priority_rank",
        10,
        "priority missing or odd, read as the lowest",
    ),
    "rank eleven too": ({"priority": 11}, "priority_rank", 10, "priority missing or odd, read as the lowest"),
    "a broken rank too": (
        {"priority": 1.5},
        "priority_rank",
        10,
        "priority missing or odd, read as the lowest",
    ),
    "no programs": ({"programs": []}, "programs", (), "programs missing or odd"),
    "no types": (
        {"without": "dispatch_event_types"},
        "dispatch_event_types",
        (),
        "dispatch_event_types missing or odd",
    ),
    "an unknown program": ({"programs": ["NEW"]}, "programs", ("NEW",), ""),
    "an unknown type": ({"dispatch_event_types": ["15m"]}, "dispatch_event_types", ("15m",), ""),
    "an unknown cap": ({"performance_compensation_cap": "sky"}, "cap", "sky", ""),
    "a time without a zone": (
        {"start_time": "2026-07-15T00:30:00"},
        "starts_at",
        datetime(2026, 7, 15, 0, 30, tzinfo=UTC),
        "start_time without a zone, read as UTC",
    ),
    "a time elsewhere": (
        {"start_time": "2026-07-15T05:30:00+05:30"},
        "starts_at",
        datetime(2026, 7, 15, tzinfo=UTC),
        "",
    ),
    "a small z": ({"start_time": "2026-07-15t00:00:00z"}, "starts_at", datetime(2026, 7, 15, tzinfo=UTC), ""),
    "a leap second": (
        {"start_time": "2026-07-14T23:59:60Z"},
        "starts_at",
        datetime(2026, 7, 15, tzinfo=UTC),
        "start_time in a leap second, read as the next second",
    ),
    "a cancellation with an odd power": (
        {"cancelled": True, "energy_kw": 0},
        "is_cancelled",
        True,
        "energy_kw is out of range, ignored",
    ),
}


@pytest.mark.parametrize(("changes", "field", "value", "flag"), READ_AS.values(), ids=READ_AS.keys())
def test_an_odd_field_is_read_and_flagged(changes, field, value, flag):
    slot = read_one(**changes)
    assert slot.problem == ""
    assert getattr(slot.fields, field) == value
    assert slot.flags == ((flag,) if flag else ())


def each(field: str, *values: object) -> list[dict]:
    return [{field: value} for value in values]


QUARANTINED = {
    "power not a number": (each("energy_kw", True, "1_000", "１２", [10]), "not a number"),
    "power out of range": (each("energy_kw", -5, 0, 100000.01, 10**400), "out of range"),
    "cancelled guessed": (each("cancelled", "no", 0, []), "neither true nor false"),
    "ends before it begins": (
        each("end_time", "2026-07-14T23:00:00Z", "2026-07-15T00:00:00Z"),
        "ends before it begins",
    ),
    "too long": (each("end_time", "2026-08-30T00:00:00Z"), "outside the horizon"),
    "too far": (
        [{"start_time": "2999-01-01T00:00:00Z", "end_time": "2999-01-01T01:00:00Z"}],
        "outside the horizon",
    ),
    "not a day": (each("start_time", "2026-02-30T00:00:00Z", "2026-07-15", None), "not a time"),
    "a number": (each("start_time", "1730424600", 1730424600), "not a time"),
    "other digits": (each("start_time", "２０２６-07-15T00:00:00Z"), "not a time"),
    "beyond all years": (each("start_time", "9999-12-31T23:59:59-12:00"), "not a time"),
    "no event id": (each("meter_event_id", "", 5, None, "a b"), "not an id"),
}


@pytest.mark.parametrize(("cases", "reason"), QUARANTINED.values(), ids=QUARANTINED.keys())
def test_a_timeslot_that_cannot_be_believed_is_quarantined_and_its_neighbour_runs(cases, reason):
    for changes in cases:
        bad, good = read(meter_body(timeslot(**changes), timeslot("neighbour")))
        assert reason in bad.problem, changes
        assert good.fields is not None


@pytest.mark.parametrize(
    "meter",
    ["x", 5, True, {}, f"urn:uuid:{METER}", "{" + METER[1:-1] + "}", "00000000-0000-0000-0000-000000000000"],
)
def test_only_a_plain_uuid_is_a_meters_id(meter):
    [slot] = read(meter_body(meter=meter))
    assert slot.problem == "The meter's id is not a UUID."
    assert slot.leap_event_id == EVENT


def test_ids_in_capitals_are_the_same_ids():
    [slot] = read(meter_body(timeslot(EVENT.upper()), meter=METER.upper()))
    assert (slot.leap_event_id, slot.meter_ids) == (EVENT, (METER,))


def test_a_group_leaves_out_what_is_no_meter_and_says_so():
    [slot] = read(group_body(meters=[METER, "x", OTHER_METER]))
    assert slot.meter_ids == (METER, OTHER_METER)
    assert slot.flags == ("1 of 3 meter ids are not UUIDs, left out",)
    assert slot.fields.market_group_id == GROUP


def test_a_key_that_stands_twice_spoils_its_timeslot_only():
    twice = as_bytes(timeslot()).replace(b'"cancelled": false', b'"cancelled": false, "cancelled": true')
    bodies = as_bytes(meter_body(timeslot("good"), timeslot("bad"))).replace(as_bytes(timeslot("bad")), twice)
    good, bad = read(bodies)
    assert good.fields is not None
    assert bad.problem == "A key stands twice in the timeslot."


def test_one_id_under_two_meters_is_believed_for_the_first():
    document = meter_body()
    document["meter_dispatches"] += meter_body(meter=OTHER_METER)["meter_dispatches"]
    first, second = read(document)
    assert first.fields is not None
    assert "another recipient" in second.problem


def test_both_levels_may_stand_in_one_body():
    document = meter_body() | group_body()
    assert [slot.level for slot in read(document)] == ["METER", "GROUP"]
    assert level_of(document) == ""


TESTS = {
    "at the top": ({"integration_test_notification": True}, {}, "INTEGRATION"),
    "as text": ({"integration_test_notification": "true"}, {}, "INTEGRATION"),
    "communication at the top": ({"communication_test": True}, {}, "COMMUNICATION"),
    "in the timeslot": ({}, {"communication_test": True}, "COMMUNICATION"),
    "under the other name": ({}, {"is_communication_test": True}, "COMMUNICATION"),
    "denied": ({"integration_test_notification": False}, {"communication_test": False}, ""),
}


@pytest.mark.parametrize(("top", "changes", "test"), TESTS.values(), ids=TESTS.keys())
def test_a_test_is_one_wherever_the_flag_stands(top, changes, test):
    [slot] = read(meter_body(timeslot(**changes), **top))
    assert slot.fields.test == test


def test_unknown_fields_are_kept_in_a_form_every_database_takes():
    raw = as_bytes(meter_body(timeslot(partner_reference="X", depth={"a": [1, 2.5, True, None]})))
    raw = raw.replace(b'"X"', rb'"a\u0000b\ud800c\u202e' + b"d" * 300 + b'"')
    [slot] = read(raw.replace(b"2.5", b"1e999"))
    assert slot.problem == ""
    assert slot.extra["partner_reference"].startswith(r"a\x00b\ud800c\u202ed")
    assert len(slot.extra["partner_reference"]) < 300
    assert slot.extra["depth"] == {"a": [1, "1E+999", True, None]}


def test_a_search_that_leaves_fields_out_does_not_deny_them():
    slot = timeslot(without="energy_kw")
    del slot["nomination_kw"]
    [read_slot] = read({"results": meter_body(slot)["meter_dispatches"]}, Source.POLL)
    assert set(read_slot.unsaid) == {"energy_kw", "nomination_kw", "test"}
    assert read_slot.flags == ()


NOT_DOCUMENTS = {
    "empty": (b"", "empty"),
    "cut short": (b'{"a": 1', "not JSON"),
    "a list": (b"[]", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "two documents": (b"{}{}", "not JSON"),
    "a trailing comma": (b'{"a":1,}', "not JSON"),
    "a comment": (b"{} // x", "not JSON"),
    "NaN": (b'{"a": NaN}', "not JSON"),
    "minus infinity": (b'{"a": -Infinity}', "not JSON"),
    "very deep": (b"[" * 100_000, "too deep"),
    "65 deep": (b'{"a":' * 65 + b"1" + b"}" * 65, "too deep"),
    "5,000 digits": (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "overlong": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
}


@pytest.mark.parametrize(("body", "reason"), NOT_DOCUMENTS.values(), ids=NOT_DOCUMENTS.keys())
def test_what_is_not_one_strict_object_is_refused_with_a_reason(body, reason):
    with pytest.raises(NotADocument, match=reason):
        read_document(body)


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf{}", b'{"a":' * 64 + b"1" + b"}" * 64, b'{"a": 1e999999999999999999}']
)
def test_a_byte_order_mark_and_any_number_pass(body):
    assert isinstance(read_document(body), dict)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"meter_dispatches": []},
        {"meter_dispatches": [{"meter_id": METER, "timeslots": []}]},
        {"timeslot": {}},
    ],
)
def test_an_unknown_shape_holds_no_timeslots(document):
    assert read(document) == []
