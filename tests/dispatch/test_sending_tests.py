"""Tests that an operator has Leap send: they come back over real sockets, with the time of each step."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch.models import DispatchEvent, TestSend
from dispatch.planning import plan_waiting
from dispatch.queries import waiting
from dispatch.queue import SEND_TESTS
from dispatch.recording import record_waiting
from dispatch.sending_tests import ask_for_test, send_waiting
from leapvpp.leap.client import LeapClient
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import IntegrationTestResult
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.leap.contracts.checking import checked
from tests.people import person

KEY = "a-key-of-the-simulator"


def words(answer) -> str:
    """The page's text without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def asked(*meters, **fields) -> TestSend:
    """A test that waits to be sent."""
    now = timezone.now()
    values: dict[str, Any] = {
        "kind": "INTEGRATION",
        "market_group_id": "",
        "meter_ids": [each.meter_id for each in meters],
        "starts_at": now + timedelta(hours=1),
        "ends_at": now + timedelta(hours=2),
        "energy_kw": 8,
        "program": "CCA",
        "is_approved": False,
        "created_by": "otto",
        "now": now,
    }
    return ask_for_test(**{**values, **fields})


@pytest.fixture
def leap(settings):
    """A Leap of our own, with the key that the portal has."""
    with LeapSimulator(api_key=KEY) as simulator, checked(simulator):
        settings.LEAP_API_KEY, settings.LEAP_API_BASE_URL = KEY, simulator.url
        yield simulator


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_armed", [False, True])
def test_an_integration_test_comes_back_and_moves_only_armed_meters(client, leap, live_server, is_armed):
    leap.push_to(url=f"{live_server.url}/webhooks/leap/dispatch/", header="x-api-key", key="key-one")
    now = timezone.now()
    one = meter(test_armed_until=now + timedelta(days=1) if is_armed else None)
    device(one)
    south = group(one, name="South Bay", since=now - timedelta(days=1))
    client.force_login(person("operator"))
    sent = {
        "kind": "INTEGRATION",
        "group": south.market_group_id,
        "starts_at": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"),
        "ends_at": (now + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        "energy_kw": "8",
        "program": "CCA",
        "zone": "UTC",
    }
    assert client.post("/tests/", sent).status_code == 302
    assert (send_waiting(now=timezone.now()), send_waiting(now=timezone.now())) == (1, 0)
    record_waiting(now=timezone.now())
    plan_waiting(now=timezone.now())
    event = DispatchEvent.objects.get()
    assert (event.test, event.level, event.market_group_id) == ("INTEGRATION", "GROUP", south.market_group_id)
    page = client.get("/tests/")
    assert f'href="/events/{event.pk}/"' in page.content.decode()
    steps = {step.name: step for step in page.context["list"].rows[0].steps}
    assert steps["Leap"].text == "Our webhook answered 202."
    assert all(steps[name].after for name in ("Leap", "Webhook", "Recorded", "Planned"))
    assert (steps["Devices"].kind, "Stay still" in steps["Devices"].text) == (
        ("wait", False) if is_armed else ("plain", True)
    )


@pytest.mark.django_db
def test_a_communication_test_is_a_dry_run_unless_approved(client, leap):
    one = meter()
    asked(one, kind="COMMUNICATION")
    send_waiting(now=timezone.now())
    client.force_login(person("viewer"))
    page = words(client.get("/tests/"))
    assert "A dry run: Leap sends nothing. It reaches 1 meter." in page
    assert not leap.ledger.current()


@pytest.mark.django_db
def test_an_approved_communication_test_is_known_by_its_window_and_meters(client, settings):
    settings.LEAP_API_KEY = KEY
    one, other = meter(), meter()
    test = asked(one, kind="COMMUNICATION", is_approved=True)
    window = {"starts_at": test.starts_at, "ends_at": test.ends_at, "test": "COMMUNICATION"}
    back = event("back", one, **window, first_received_at=timezone.now())
    event("before", one, **window, first_received_at=test.created_at - timedelta(hours=1))
    event("elsewhere", other, **window, first_received_at=timezone.now())
    client.force_login(person("viewer"))
    assert client.get("/tests/").context["list"].rows[0].event_id == back.pk


@pytest.mark.django_db
def test_a_leap_that_does_not_answer_fails_the_test_and_it_is_not_sent_again(settings, client):
    settings.LEAP_API_KEY, settings.LEAP_API_BASE_URL = KEY, "http://127.0.0.1:1"
    test = asked(meter())
    assert (send_waiting(now=timezone.now()), send_waiting(now=timezone.now())) == (1, 0)
    test.refresh_from_db()
    assert (test.state, bool(test.detail)) == ("FAILED", True)


@pytest.mark.django_db
def test_a_null_character_in_leaps_answer_harms_nothing(leap, monkeypatch):
    answer = IntegrationTestResult(sent_time=timezone.now(), error_message="no\0route")
    monkeypatch.setattr(LeapClient, "send_integration_test", lambda *_, **__: answer)
    test = asked(meter())
    send_waiting(now=timezone.now())
    test.refresh_from_db()
    assert (test.state, test.detail) == ("ANSWERED", "no\N{REPLACEMENT CHARACTER}route")


@pytest.mark.django_db
def test_a_test_left_half_sent_is_closed_not_repeated(settings):
    settings.LEAP_API_KEY = KEY
    test = asked(meter())
    now = timezone.now()
    TestSend.objects.update(state="SENDING", sent_at=now - timedelta(minutes=5))
    assert SEND_TESTS in waiting(now=now)
    assert send_waiting(now=now) == 0
    test.refresh_from_db()
    assert (test.state, "not sent again" in test.detail) == ("FAILED", True)


@pytest.mark.django_db
def test_without_a_key_the_page_says_what_to_set_and_nothing_is_sent(client):
    client.force_login(person("operator"))
    now = timezone.now()
    filled = {
        "kind": "INTEGRATION",
        "meter_id": meter().meter_id,
        "starts_at": now.strftime("%Y-%m-%dT%H:%M"),
        "ends_at": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"),
        "program": "CCA",
        "zone": "UTC",
    }
    page = client.post("/tests/", filled)
    assert (page.status_code, TestSend.objects.exists()) == (422, False)
    assert "LEAP_API_KEY is not set" in words(page)
    page = client.post("/tests/", filled | {"meter_id": ""})
    assert "Choose a market group, or type one meter" in words(page)
