"""The simulator's platform: which change of a meter says what, to whom, and how often it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leapvpp.leap.client import LeapClient
from leapvpp.leap.simulator.fleet import made
from leapvpp.leap.simulator.pusher import PLATFORM_RETRIES, Faults
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import Header
from tests.leap.conftest import ScriptedServer

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
KEY = "key-of-the-simulator"
PATIENCE = 20.0
GROUP = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"
EVENT_TYPES = (
    "meter.created",
    "meter.enrollment.global-status.updated",
    "meter.enrollment.participation-status.updated",
    "meter.enrollment.required-actions.updated",
    "meter.enrollment.group.updated",
    "connect_session.updated",
    "connect_session.authorization_updated",
)
ACTION = {
    "program_identifier": "CCA",
    "delivery_period": "CCA_2026_JUL",
    "enrollment_deadline_date_time": "2026-08-01T00:00:00Z",
    "action_type": "IS_AUTHORIZED",
    "action_description": "Authorize again.",
    "action_code": "AUTH_0001",
}


@pytest.fixture
def leap(scripted: ScriptedServer) -> Iterator[LeapSimulator]:
    """A Leap with three meters in one group, whose every event the scripted server is told."""
    with LeapSimulator(api_key=KEY, speed=100_000) as simulator:
        simulator.meters.fill(3, now=NOW)
        LeapClient(base_url=simulator.url, api_key=KEY).create_subscription(
            receiver_url=f"{scripted.url}/events",
            event_types=EVENT_TYPES,
            headers=[Header(name="X-Api-Key", value="of-the-portal")],
        )
        yield simulator


def told(leap: LeapSimulator, scripted: ScriptedServer) -> list[dict[str, Any]]:
    assert leap.pusher.wait_until_idle(timeout=PATIENCE)
    return [body["payload"] for body in scripted.bodies()]


def ids() -> list[str]:
    return [made(number, now=NOW)["meter_id"] for number in range(3)]


CHANGES: dict[str, tuple[Callable[[LeapSimulator, str], None], dict[str, Any]]] = {
    "status": (
        lambda leap, one: leap.meters.change(one, now=NOW, global_enrollment_status="PENDING"),
        {
            "webhook_event_type": "meter.enrollment.global-status.updated",
            "global_enrollment_status": "PENDING",
        },
    ),
    "idle": (
        lambda leap, one: leap.meters.idle(one, since=NOW, now=NOW),
        {
            "webhook_event_type": "meter.enrollment.participation-status.updated",
            "participation_preference": "IDLE",
            "start_time": "2026-07-14T12:00:00.000Z",
            "end_time": "9000-01-01T00:00:00Z",
        },
    ),
    "required action": (
        lambda leap, one: leap.meters.change(
            one, now=NOW, required_actions={"partner": [ACTION], "leap": []}
        ),
        {
            "webhook_event_type": "meter.enrollment.required-actions.updated",
            "global_enrollment_status": "ACTIVE",
            "required_actions": {"partner": [ACTION]},
        },
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_meter_is_one_event(
    leap: LeapSimulator,
    scripted: ScriptedServer,
    change: Callable[[LeapSimulator, str], None],
    expected: dict[str, Any],
) -> None:
    meter_id, *_ = ids()
    change(leap, meter_id)
    assert told(leap, scripted) == [
        {
            "meter_id": meter_id,
            "partner_reference": "customer-000000",
            "transmission_region": "CAISO",
            "meter_type": "UTILITY_METER",
            **expected,
        }
    ]
    assert scripted.requests[0]["headers"]["x-api-key"] == "of-the-portal"
    assert len({body["webhook_event_id"] for body in scripted.bodies()}) == 1


def test_resolved_actions_are_an_empty_object_and_archiving_is_told_to_nobody(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    meter_id, *_ = ids()
    leap.meters.change(meter_id, now=NOW, required_actions={"partner": [ACTION], "leap": []})
    leap.meters.change(meter_id, now=NOW, required_actions={"partner": [], "leap": []})
    leap.meters.archive(meter_id, now=NOW)
    assert [payload["required_actions"] for payload in told(leap, scripted)] == [{"partner": [ACTION]}, {}]


def test_regrouping_is_one_event_a_group_with_all_who_are_in_it(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    first, second, third = ids()
    before = leap.meters.get(first)["program_enrollment"][0]
    leap.meters.regroup([first, second], market_group_id=GROUP, name="NEW", now=NOW)
    events = {event["market_group_id"]: event for event in told(leap, scripted)}
    assert len(events) == len(scripted.requests)
    assert set(events[GROUP]["meter_ids"]) == {first, second}
    assert events[GROUP]["market_group_name"] == "NEW"
    assert events[GROUP]["start_date_time"] == before["delivery_period_start_date_time"]
    assert events[before["market_group_id"]]["meter_ids"] == [third]


def test_a_new_meter_is_told_and_one_that_goes_leaves_its_group(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    new = made(3, now=NOW)
    leap.meters.put(new, now=NOW)
    leap.meters.remove(new["meter_id"])
    created, joined, left = told(leap, scripted)
    assert created == {
        "webhook_event_type": "meter.created",
        "meter_id": new["meter_id"],
        "partner_reference": "customer-000003",
        "transmission_region": "CAISO",
        "meter_type": "UTILITY_METER",
    }
    assert (len(joined["meter_ids"]), len(left["meter_ids"])) == (4, 3)


def test_only_who_subscribed_to_the_type_is_told(leap: LeapSimulator, scripted: ScriptedServer) -> None:
    session = {
        "webhook_event_type": "connect_session.updated",
        "partner_reference": "abc",
        "status": "CREATED",
    }
    leap.platform.emit(session)
    leap.platform.emit({"webhook_event_type": "meter.of.another.kind"})
    assert told(leap, scripted) == [session]


def test_an_event_is_tried_ten_times_in_eight_hours_with_the_same_bytes(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    scripted.otherwise = (500, b"")
    leap.platform.emit({"webhook_event_type": "meter.created"})
    assert leap.pusher.wait_until_idle(timeout=PATIENCE)
    assert len(scripted.requests) == 10
    assert len({str(body) for body in scripted.bodies()}) == 1
    assert leap.pusher.platform_deliveries[0].outcome == "given up"
    assert sum(PLATFORM_RETRIES, timedelta()) == timedelta(hours=8)


def test_faults_meet_the_platforms_events_too(leap: LeapSimulator, scripted: ScriptedServer) -> None:
    leap.pusher.faults = Faults(duplicate=1.0)
    leap.platform.emit({"webhook_event_type": "meter.created"})
    leap.pusher.faults = Faults(drop=1.0)
    leap.platform.emit({"webhook_event_type": "meter.created"})
    assert leap.pusher.wait_until_idle(timeout=PATIENCE)
    first, second = scripted.bodies()
    assert first == second
    assert [each.outcome for each in leap.pusher.platform_deliveries] == ["delivered", "delivered", "dropped"]
