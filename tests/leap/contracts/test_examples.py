"""Every example of Leap's, and whatever else its schemas allow, is read without a problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapRefused
from leapvpp.leap.jobs import LeapJobs
from leapvpp.leap.meters import MeterDetails, MeterEnrollment, MeterPage, read_page
from leapvpp.leap.values import CommunicationTest, Header, Level
from meters.models import PlatformEvent
from tests.leap.conftest import ScriptedServer
from tests.leap.contracts.checking import DOCUMENTS, HERE, problems_of
from tests.leap.contracts.samples import sample
from tests.leap.contracts.test_requests import SCHEMAS

START = datetime(2026, 7, 1, tzinfo=UTC)
TEST = CommunicationTest(
    start_time=START, end_time=START + timedelta(hours=1), program="CCA", meter_uuids=(str(uuid4()),)
)
SUBSCRIPTION: dict[str, Any] = {"receiver_url": "https://portal.example/", "event_types": [], "headers": []}
Ask = Callable[[LeapClient], object]


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in DOCUMENTS:
        found = json.loads((HERE / "examples" / f"{name}.json").read_text(encoding="utf-8"))
        for number, each in enumerate(found, start=1):
            yield f"{name} {number}: {each['method']} {each['path']} {each['status']}", each


EXAMPLES = dict(_examples())
NEVER_ASKED = ("/v1.1/meters", "/v1.1/provisional-assets")
"""What only Leap's own pages ask."""
JOBS = "/v1.1/jobs/"
"""Read by a client of their own; refusals are alike."""
ASKED = {name: each for name, each in EXAMPLES.items() if not each["path"].startswith(NEVER_ASKED)}
REFUSED = {name: each for name, each in ASKED.items() if each["status"][0] in "45"}
GOOD = {
    name: each for name, each in ASKED.items() if name not in REFUSED and not each["path"].startswith(JOBS)
}


def _dispatches(client: LeapClient, level: Level) -> None:
    window: dict[str, Any] = {"window_start": START, "window_end": START + timedelta(days=1)}
    page = next(client.search_dispatches(level=level, **window))
    slots = [slot for dispatch in page.dispatches() for slot in dispatch.timeslots]
    assert slots and not [slot.problem for slot in slots if slot.problem]


def _meters(pages: Iterator[MeterPage[Any]]) -> None:
    found = next(pages).meters
    assert found and not [each.problem for each in found if each.problem]


READ_BY: dict[str, Ask] = {
    "post /v2/dispatch/meter/search": lambda client: _dispatches(client, Level.METER),
    "post /v2/dispatch/group/search": lambda client: _dispatches(client, Level.GROUP),
    "post /v2/dispatch/meter/communication_test": lambda client: client.send_communication_test(TEST),
    "get /v2/dispatch/meter/webhook": lambda client: client.get_dispatch_webhook(level=Level.METER),
    "post /v2/dispatch/meter/webhook/integration_test": lambda client: client.send_integration_test(
        level=Level.METER, dispatches=[{}]
    ),
    "post /v2/meters/search": lambda client: _meters(client.search_details()),
    "post /v2/meters/enrollments/search": lambda client: _meters(client.search_enrollments()),
    "get /v1.1/webhooks": lambda client: client.list_subscriptions(),
    "post /v1.1/webhooks": lambda client: client.create_subscription(**SUBSCRIPTION),
    "delete /v1.1/webhooks/{webhook_id}": lambda client: client.delete_subscription(webhook_id="w"),
    "post /v1.1/webhooks/{webhook_id}/test": lambda client: client.test_subscription(
        webhook_id="w", payload={}
    ),
}
"""Which method reads the answers of an operation, of equal ones the first."""
OF_ONE_METER = {
    "get /v2/meters/{meter_id}": MeterDetails,
    "get /v2/meters/{meter_id}/enrollments": MeterEnrollment,
}


@pytest.mark.parametrize("name", GOOD)
def test_an_example_of_an_answer_is_read(name: str, scripted: ScriptedServer) -> None:
    each = EXAMPLES[name]
    asked = f"{each['method']} {each['path']}"
    if asked in OF_ONE_METER:
        body = json.dumps({"meters": [each["value"]]}).encode()
        (received,) = read_page(body, kind=OF_ONE_METER[asked]).meters
        assert received.meter is not None and not received.problem
    else:
        scripted.answers = [(int(each["status"]), each["value"])]
        READ_BY[asked](scripted.client())
        assert len(scripted.requests) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_of_a_refusal_is_a_refusal_in_leaps_words(name: str, scripted: ScriptedServer) -> None:
    each = EXAMPLES[name]
    status = int(each["status"].replace("XX", "00"))
    scripted.otherwise = (status, each["value"])
    with (
        LeapClient(base_url=scripted.url, api_key="k", attempts=1) as client,
        pytest.raises(LeapRefused) as refusal,
    ):
        client.list_subscriptions()
    assert refusal.value.status == status
    assert refusal.value.code or refusal.value.message
    assert refusal.value.is_permanent == (status < 500)


@pytest.mark.parametrize("is_full", [False, True], ids=["least", "all"])
@pytest.mark.parametrize(
    ("schema", "of", "kind"),
    [
        ("MeterEnrollmentResponse", "meter-enrollment", MeterEnrollment),
        ("MeterDetailsResponse", "meter-details", MeterDetails),
    ],
)
def test_a_meter_with_the_least_and_with_everything_is_read(
    schema: str, of: str, kind: type[MeterDetails], is_full: bool
) -> None:
    value = sample(schema, of=of, is_full=is_full)
    assert problems_of(schema, value, of=of) == []
    (received,) = read_page(json.dumps({"meters": [value]}).encode(), kind=kind).meters
    assert received.problem == ""
    assert received.meter is not None and received.meter.meter_id == value["meter_id"]


@pytest.mark.django_db
@pytest.mark.parametrize("is_full", [False, True], ids=["least", "all"])
@pytest.mark.parametrize("event_type", SCHEMAS)
def test_each_event_of_the_platform_is_taken_at_the_door(client: Any, event_type: str, is_full: bool) -> None:
    schema = SCHEMAS[event_type]
    payload = sample(schema, of="webhooks", is_full=is_full) | {"webhook_event_type": event_type}
    assert problems_of(schema, payload, of="webhooks") == []
    answer = client.post(
        "/webhooks/leap/events/",
        json.dumps({"webhook_event_id": str(uuid4()), "payload": payload}),
        content_type="application/json",
        headers={"x-api-key": "key-one"},
    )
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert PlatformEvent.objects.get().event_type == event_type


def test_a_subscription_is_read_with_its_headers_hidden(scripted: ScriptedServer) -> None:
    value = sample("WebhookListResponse", of="webhooks", is_full=True)
    scripted.answers = [(200, value)]
    (found,) = scripted.client().list_subscriptions()
    assert found.headers == (Header(name="customer-1", value="customer-1"),)
    assert "value='customer-1'" not in repr(found)


def test_examples_of_jobs_are_read(scripted: ScriptedServer) -> None:
    jobs = LeapJobs(base_url=scripted.url, api_key="k", attempts=1)
    values = {
        f"{each['method']} {each['path']}": each["value"]
        for each in reversed(ASKED.values())
        if each["status"][0] == "2" and each["path"].startswith("/v1.1/jobs/")
    }
    created, listed, one = (
        values[name]
        for name in ("post /v1.1/jobs/meters", "get /v1.1/jobs/meters", "get /v1.1/jobs/meters/{job_id}")
    )
    scripted.answers = [(201, created), (200, {**listed, "next_page_token": None}), (200, one)]
    assert jobs.create_job([], update_existing=False, file_name="a.csv") == created["job_id"]
    named = listed["jobs"][0]["file_name"]
    found = jobs.find_job(file_name=named)
    assert found is not None and found.file_name == named
    job = jobs.get_job("j")
    assert (job.job_id, job.status) == (one["job_id"], one["status"])
    assert [asset.meter_id for asset in job.assets] == [asset["meter_id"] for asset in one["assets"]]
