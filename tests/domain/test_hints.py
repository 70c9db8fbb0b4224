"""What an event of Leap's platform hints at: all types that Leap documents, and what is odd about some."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meters.domain.hints import ConnectHint, GroupHint, Malformed, MetersHint, read_hint

ONE, OTHER = "11111111-1111-1111-1111-11111111111A", "22222222-2222-2222-2222-222222222222"
GROUP = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"
METER = {"meter_id": ONE, "transmission_region": "CAISO"}
OF_GROUP = {
    "webhook_event_type": "meter.enrollment.group.updated",
    "market_group_id": GROUP,
    "market_group_name": "GRP1",
    "start_date_time": "2026-05-01T04:00:00Z",
    "end_date_time": "2026-06-01T04:00:00Z",
    "meter_ids": [ONE, OTHER],
}
MAY, JUNE = datetime(2026, 5, 1, 4, tzinfo=UTC), datetime(2026, 6, 1, 4, tzinfo=UTC)
SESSION = {"webhook_event_type": "connect_session.updated", "partner_reference": "home-1", "status": "CLOSED"}
AUTHORIZATION = SESSION | {
    "webhook_event_type": "connect_session.authorization_updated",
    "status": "FAILED",
    "utility_name": "PGE",
}
READ_ONE = MetersHint(frozenset({ONE.lower()}))
BOTH = frozenset({ONE.lower(), OTHER})

HINTS = {
    "a meter that appears": (METER | {"webhook_event_type": "meter.created"}, READ_ONE),
    "a status": (
        METER
        | {"webhook_event_type": "meter.enrollment.global-status.updated", "global_enrollment_status": "NEW"},
        READ_ONE,
    ),
    "participation": (
        METER | {"webhook_event_type": "meter.enrollment.participation-status.updated", "start_time": 7},
        READ_ONE,
    ),
    "required actions": (
        METER | {"webhook_event_type": "meter.enrollment.required-actions.updated", "required_actions": {}},
        READ_ONE,
    ),
    "a group": (OF_GROUP, GroupHint(GROUP, MAY, JUNE, BOTH)),
    "a group that nobody is in": (OF_GROUP | {"meter_ids": []}, GroupHint(GROUP, MAY, JUNE, frozenset())),
    "a group whose end never comes and whose start is odd": (
        OF_GROUP | {"start_date_time": "soon", "end_date_time": "9000-01-01T00:00:00Z"},
        GroupHint(GROUP, None, None, BOTH),
    ),
    "odd ids among a group's": (
        OF_GROUP | {"meter_ids": [ONE, OTHER, "x", 7, None]},
        GroupHint(GROUP, MAY, JUNE, BOTH, odd=3),
    ),
    "a session": (SESSION, ConnectHint("SESSION", "home-1", "CLOSED", "")),
    "an authorization": (AUTHORIZATION, ConnectHint("AUTHORIZATION", "home-1", "FAILED", "PGE")),
    "a type unknown": (METER | {"webhook_event_type": "meter.painted"}, None),
    "a type that is a list": ({"webhook_event_type": ["meter.created"]}, None),
}


@pytest.mark.parametrize(("payload", "expected"), HINTS.values(), ids=HINTS.keys())
def test_an_event_hints_at(payload, expected):
    assert read_hint(payload) == expected


MALFORMED = {
    "no meter": ({"webhook_event_type": "meter.created"}, "meter_id is missing"),
    "a meter that is a number": ({"webhook_event_type": "meter.created", "meter_id": 7}, "no UUID"),
    "a meter that is no UUID": ({"webhook_event_type": "meter.created", "meter_id": ONE + "\0"}, "no UUID"),
    "no group": (OF_GROUP | {"market_group_id": None}, "market_group_id is missing"),
    "members that are no list": (OF_GROUP | {"meter_ids": {ONE: 1}}, "no list"),
    "members of which none is a UUID": (OF_GROUP | {"meter_ids": ["a", []]}, "None of the meter_ids"),
    "no reference": (SESSION | {"partner_reference": ""}, "partner_reference is missing"),
    "a status that is an object": (SESSION | {"status": {}}, "no text"),
    "no utility": (AUTHORIZATION | {"utility_name": None}, "utility_name is missing"),
}


@pytest.mark.parametrize(("payload", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_does_not_say_what_it_is_about_is_put_aside_with_the_reason(payload, reason):
    with pytest.raises(Malformed, match=reason):
        read_hint(payload)
