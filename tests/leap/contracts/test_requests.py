"""Every request of the portal's client, and every answer of the simulator, is one that Leap documents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapRefused
from leapvpp.leap.simulator.acts import Act, perform
from leapvpp.leap.simulator.fleet import made
from leapvpp.leap.simulator.meters import MeterBook
from leapvpp.leap.simulator.platform import EVENT_TYPES
from leapvpp.leap.simulator.scenario import find_scenario, scenario_paths
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import CommunicationTest, Header, Level
from tests.leap.conftest import ScriptedServer
from tests.leap.contracts.checking import checked, document, problems_of

NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)
KEY = "key-of-the-simulator"
HEADERS = (Header(name="x-api-key", value="of-the-portal"),)
EVENT_ID = "114751e8-c0df-4d69-8a4f-9e7cebef1f84"
SCHEMAS = {
    "meter.created": "MeterCreatedEventV1Wrapped",
    "meter.enrollment.global-status.updated": "MeterEnrollmentGlobalStatusUpdatedEventV1Wrapped",
    "meter.enrollment.participation-status.updated": (
        "MeterEnrollmentParticipationStatusUpdatedEventV1Wrapped"
    ),
    "meter.enrollment.required-actions.updated": "MeterEnrollmentPartnerRequiredActionsUpdatedV1Wrapped",
    "meter.enrollment.group.updated": "MeterEnrollmentGroupUpdatedEventV1Wrapped",
    "connect_session.updated": "ConnectSessionUpdatedEventV1Wrapped",
    "connect_session.authorization_updated": "ConnectSessionAuthorizationUpdatedEventV1Wrapped",
}
"""What Leap calls each event's schema."""


class Asking:
    """Each method of the client, called in every way that the portal calls it."""

    def __init__(self, client: LeapClient, *, meter_ids: tuple[str, ...], hook: str) -> None:
        self.client, self.meter_ids, self.hook = client, meter_ids, hook

    def search_dispatches(self) -> None:
        window: dict[str, Any] = {
            "window_start": NOW - timedelta(days=1),
            "window_end": NOW + timedelta(days=40),
        }
        for level in Level:
            list(self.client.search_dispatches(level=level, **window))
            list(self.client.search_dispatches(level=level, event_ids=[EVENT_ID], **window))
            list(self.client.search_dispatches(level=level, recipient_ids=self.meter_ids[:2], **window))

    def search_enrollments(self) -> None:
        self._search(self.client.search_enrollments)

    def search_details(self) -> None:
        self._search(self.client.search_details)

    def _search(self, search: Callable[..., Iterator[Any]]) -> None:
        for filters in (
            {},
            {"modified_since": NOW - timedelta(hours=1)},
            {"meter_ids": self.meter_ids[:1000]},
        ):
            assert sum(len(page.meters) for page in search(**filters)) > 100

    def set_dispatch_webhook(self) -> None:
        for level in Level:
            self.client.set_dispatch_webhook(level=level, url=self.hook, headers=HEADERS)

    def get_dispatch_webhook(self) -> None:
        for level in Level:
            assert self.client.get_dispatch_webhook(level=level) is not None

    def send_integration_test(self) -> None:
        slot = {
            "start_time": "2026-12-01T01:00:00Z",
            "end_time": "2026-12-01T02:00:00Z",
            "cancelled": False,
            "energy_kw": 8.5,
            "performance_compensation_cap": "up-to-site-load",
            "priority": 2,
            "is_voluntary": False,
            "dispatch_event_types": ["day-ahead"],
            "programs": ["CCA"],
        }
        meter = {"meter_id": self.meter_ids[0], "timeslots": [{"meter_event_id": EVENT_ID, **slot}]}
        self.client.send_integration_test(level=Level.METER, dispatches=[meter])

    def send_communication_test(self) -> None:
        for approved in (False, True):
            self.client.send_communication_test(
                CommunicationTest(
                    start_time=NOW,
                    end_time=NOW + timedelta(hours=1),
                    program="CEC-DSGS",
                    meter_uuids=self.meter_ids[:2],
                    dispatch_quantity_kw=Decimal("2.5") if approved else None,
                    approved=approved,
                )
            )

    def delete_dispatch_webhook(self) -> None:
        for level in Level:
            assert self.client.delete_dispatch_webhook(level=level)

    def create_subscription(self) -> None:
        self.client.create_subscription(receiver_url=self.hook, event_types=EVENT_TYPES, headers=HEADERS)

    def list_subscriptions(self) -> None:
        assert len(self.client.list_subscriptions()) == 1

    def update_subscription(self) -> None:
        self.client.update_subscription(
            webhook_id=self._webhook_id(), receiver_url=self.hook, event_types=EVENT_TYPES[:1], headers=()
        )

    def test_subscription(self) -> None:
        payload: dict[str, object] = {
            "webhook_event_type": "meter.created",
            "meter_id": self.meter_ids[0],
            "transmission_region": "CAISO",
        }
        assert self.client.test_subscription(webhook_id=self._webhook_id(), payload=payload).is_successful

    def delete_subscription(self) -> None:
        self.client.delete_subscription(webhook_id=self._webhook_id())

    def _webhook_id(self) -> str:
        return self.client.list_subscriptions()[0].webhook_id


@pytest.fixture
def leap() -> Iterator[LeapSimulator]:
    with LeapSimulator(api_key=KEY, speed=1000, page_size=60) as simulator:
        yield simulator


def _public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_whatever_the_client_says_and_hears_is_as_leap_documents_it(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    meter_ids = leap.meters.fill(101, now=NOW)
    assert _public(Asking) == _public(LeapClient) - {"close"}, (
        "a new method of the client is to be tried here"
    )
    with LeapClient(base_url=leap.url, api_key=KEY) as client, checked(leap) as seen:
        asking = Asking(client, meter_ids=meter_ids, hook=f"{scripted.url}/hook")
        for name in vars(Asking):
            if name in _public(Asking):
                getattr(asking, name)()
    assert len(seen) == 17


def test_one_meter_is_answered_by_its_id_as_leap_documents_it(leap: LeapSimulator) -> None:
    (meter_id,) = leap.meters.fill(1, now=NOW)
    with (
        checked(leap) as seen,
        httpx.Client(base_url=leap.url, headers={"authorization": f"Bearer {KEY}"}) as ask,
    ):
        for path in ("", "/enrollments"):
            assert ask.get(f"/v2/meters/{meter_id}{path}").json()["meter_id"] == meter_id
            assert ask.get(f"/v2/meters/abcdef{path}").json()["details"] == {"meter_id": "abcdef"}
            assert ask.get(f"/v2/meters/{EVENT_ID}{path}").status_code == 404
    assert seen == {"GET /v2/meters/{meter_id}", "GET /v2/meters/{meter_id}/enrollments"}


def test_a_refusal_has_the_body_of_its_service(leap: LeapSimulator) -> None:
    with checked(leap), LeapClient(base_url=leap.url, api_key="another", attempts=1) as client:
        for ask in (
            lambda: list(client.search_enrollments()),
            client.list_subscriptions,
            lambda: client.get_dispatch_webhook(level=Level.METER),
        ):
            with pytest.raises(LeapRefused, match="403"):
                ask()


def test_the_platforms_events_are_as_leap_documents_them(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    assert set(SCHEMAS) == set(document("webhooks")["schemas"]["WebhookEventType"]["enum"])
    leap.tell(url=f"{scripted.url}/events", header="x-api-key", key="k")
    leap.play(find_scenario("fleet-changes"), start=NOW, at_once=True)
    assert leap.pusher.wait_until_idle(timeout=30)
    payloads = [body["payload"] for body in scripted.bodies()]
    assert {each["webhook_event_type"] for each in payloads} == {
        each for each in EVENT_TYPES if "connect" not in each
    }
    for payload in payloads:
        assert problems_of(SCHEMAS[payload["webhook_event_type"]], payload, of="webhooks") == []


def test_dispatches_of_all_scenarios_are_posted_as_leap_documents_them(
    leap: LeapSimulator, scripted: ScriptedServer
) -> None:
    leap.push_to(url=f"{scripted.url}/hook", header="x-api-key", key="k")
    leap.pusher.speed = 100_000
    for name in scenario_paths():
        leap.play(find_scenario(name), start=NOW, at_once=True)
        leap.pusher.go_away(lasts=timedelta(0))
    assert leap.pusher.wait_until_idle(timeout=30)
    whole = {Level.METER: "WebhookMeterDispatchIntegrationTestRequest"}
    whole[Level.GROUP] = whole[Level.METER].replace("Meter", "Group")
    assert len(scripted.requests) > 30
    for body in scripted.bodies():
        (level,) = (level for level in Level if level.notification_field in body)
        assert problems_of(whole[level], body, of="dispatch") == []


def test_acts_leave_meters_that_leap_could_have() -> None:
    book = MeterBook()
    meter_ids = book.fill(110, now=NOW)
    acts: tuple[tuple[Any, dict[str, Any]], ...] = (
        ("require", {}),
        ("idle", {"lasts": "3d"}),
        ("regroup", {"group": "A new group"}),
        ("status", {"status": "PENDING"}),
        ("disenroll", {}),
        ("clear_actions", {}),
        ("archive", {}),
    )
    for word, fields in acts:
        perform(book, word, Act(do=word, meters=meter_ids[:20], **fields), now=NOW)
    kinds = [made(number * 50, now=NOW) for number in range(6)]
    for meter in (*kinds, *map(book.get, meter_ids)):
        assert problems_of("MeterEnrollmentResponse", meter, of="meter-enrollment") == []
