from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError, LeapRefused, LeapUnreachable, UnreadableAnswer
from leapvpp.leap.values import CommunicationTest, DispatchWebhook, Header, Level
from tests.leap.conftest import API_KEY, ScriptedServer

START = datetime(2026, 7, 1, tzinfo=UTC)
EMPTY: tuple[int, Any] = (200, {"results": [], "next_page_token": None})
DISPATCH_ERROR = {"code": "BAD_REQUEST", "message": "bad window", "error_code": "DISPATCH_INVALID_INPUT"}


def search(client: LeapClient, *, level: Level = Level.METER, days: int = 1, **filters: Any) -> list[object]:
    return list(
        client.search_dispatches(
            level=level, window_start=START, window_end=START + timedelta(days=days), **filters
        )
    )


def test_a_search_reads_every_page_and_asks_for_real_time_events(scripted: ScriptedServer) -> None:
    scripted.answers = [
        (200, {"results": [], "next_page_token": "p2"}),
        (200, {"results": [], "page_token": "p3"}),
        EMPTY,
    ]
    assert len(search(scripted.client(), level=Level.GROUP)) == 3
    assert [request["line"] for request in scripted.requests] == ["POST /v2/dispatch/group/search"] * 3
    assert {request["key"] for request in scripted.requests} == {f"Bearer {API_KEY}"}
    assert [body.get("page_token") for body in scripted.bodies()] == [None, "p2", "p3"]
    assert scripted.bodies()[0] == {
        "start_date": "2026-07-01T00:00:00Z",
        "end_date": "2026-07-02T00:00:00Z",
        "exclude_real_time_events": False,
        "exclude_voluntary_events": False,
    }


def test_a_long_window_is_asked_in_pieces_of_31_days_without_gaps(scripted: ScriptedServer) -> None:
    scripted.answers = [EMPTY] * 3
    search(scripted.client(), days=70)
    asked = [(body["start_date"], body["end_date"]) for body in scripted.bodies()]
    assert asked == [
        ("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"),
        ("2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z"),
        ("2026-09-01T00:00:00Z", "2026-09-09T00:00:00Z"),
    ]


def test_ids_are_asked_in_batches_and_no_ids_of_leaps_ask_nothing(scripted: ScriptedServer) -> None:
    scripted.answers = [EMPTY] * 2
    search(
        scripted.client(),
        event_ids=[f"f4cfced0-16f4-4fb7-b72e-5ff939ae5{number:03}" for number in range(501)],
    )
    assert [len(body["meter_event_ids"]) for body in scripted.bodies()] == [500, 1]
    assert search(scripted.client(), event_ids=[]) == []
    assert search(scripted.client(), event_ids=["no-uuid"]) == [], "Leap would refuse all for one"
    assert len(scripted.requests) == 2


def test_pages_without_an_end_are_an_error(scripted: ScriptedServer) -> None:
    scripted.answers = [(200, {"results": [], "next_page_token": "same"})] * 3
    with pytest.raises(UnreadableAnswer):
        search(scripted.client())


def test_a_search_is_repeated_after_a_server_error_and_a_change_is_not(scripted: ScriptedServer) -> None:
    scripted.answers = [(503, b"busy"), EMPTY]
    assert len(search(scripted.client())) == 1
    scripted.answers = [(503, b"busy")]
    with pytest.raises(LeapRefused) as refusal:
        scripted.client().set_dispatch_webhook(level=Level.METER, url="https://portal.example/", headers=[])
    assert (len(scripted.requests), refusal.value.is_permanent) == (3, False)


@pytest.mark.parametrize("status", [400, 401, 403, 302], ids=str)
def test_a_refusal_is_typed_permanent_and_not_repeated(scripted: ScriptedServer, status: int) -> None:
    scripted.answers = [(status, DISPATCH_ERROR)]
    with pytest.raises(LeapRefused) as refusal:
        search(scripted.client())
    assert (refusal.value.status, refusal.value.code) == (status, "DISPATCH_INVALID_INPUT")
    assert refusal.value.is_permanent
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("answer", [{"code": "A\0", "message": "b\0"}, b"not\0json"], ids=["json", "other"])
def test_an_error_has_no_character_that_a_database_refuses(scripted: ScriptedServer, answer: object) -> None:
    scripted.answers = [(400, answer)]
    with pytest.raises(LeapRefused) as refusal:
        search(scripted.client())
    assert "\0" not in str(refusal.value)


def test_the_key_is_in_no_error_repr_or_log_line(
    scripted: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"code": API_KEY, "message": f"unknown key {API_KEY}"}
    scripted.answers = [(500, echo)] * 3
    client = scripted.client()
    with pytest.raises(LeapError) as error:
        search(client)
    shown = f"{error.value} {error.value!r} {client!r} {vars(client)} {caplog.text}"
    assert "unknown key ***" in shown
    assert API_KEY not in shown


def test_nobody_listening_is_unreachable_and_worth_another_try() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = LeapClient(
            base_url=f"http://127.0.0.1:{unused.getsockname()[1]}", api_key=API_KEY, attempts=1
        )
        with pytest.raises(LeapUnreachable) as error:
            search(client)
    assert not error.value.is_permanent


def test_an_answer_that_drips_is_cut_off(scripted: ScriptedServer) -> None:
    scripted.answers = [(200, b" " * 3_000)]
    scripted.drip_seconds = 0.02
    client = LeapClient(base_url=scripted.url, api_key=API_KEY, attempts=1, total_seconds=0.5)
    with pytest.raises(LeapUnreachable, match="did not end within"):
        search(client)


def test_headers_that_drip_are_cut_off(scripted: ScriptedServer) -> None:
    scripted.drips_headers, scripted.drip_seconds = True, 0.02
    client = LeapClient(base_url=scripted.url, api_key=API_KEY, attempts=1, total_seconds=0.5)
    with pytest.raises(LeapUnreachable, match="did not end within"):
        search(client)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.leap.energy/v2",
        "http://api.leap.energy",
        "api.leap.energy",
        "https://me:pw@api.leap.energy",
        "",
    ],
)
def test_an_address_that_would_leak_or_miss_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="address of Leap's API"):
        LeapClient(base_url=base_url, api_key=API_KEY)


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError) as error:
        LeapClient(base_url="https://api.leap.energy", api_key="s3cret\n")
    assert "s3cret" not in str(error.value)


def test_dispatch_webhooks_are_read_set_and_deleted_at_both_levels(scripted: ScriptedServer) -> None:
    webhook = {"url": "https://portal.example/hook", "headers": [{"name": "x-api-key", "value": "v"}]}
    not_there = (404, {"code": "NOT_FOUND", "message": "none"})
    scripted.answers = [not_there, (200, webhook), (200, webhook), (204, b""), not_there]
    client = scripted.client()
    header = Header(name="x-api-key", value="v")
    expected = DispatchWebhook(url="https://portal.example/hook", headers=(header,))
    assert client.get_dispatch_webhook(level=Level.METER) is None
    assert client.set_dispatch_webhook(level=Level.GROUP, url=expected.url, headers=[header]) == expected
    assert client.get_dispatch_webhook(level=Level.GROUP) == expected
    assert client.delete_dispatch_webhook(level=Level.GROUP) is True
    assert client.delete_dispatch_webhook(level=Level.METER) is False
    assert [request["line"] for request in scripted.requests] == [
        "GET /v2/dispatch/meter/webhook",
        "PUT /v2/dispatch/group/webhook",
        "GET /v2/dispatch/group/webhook",
        "DELETE /v2/dispatch/group/webhook",
        "DELETE /v2/dispatch/meter/webhook",
    ]
    assert scripted.bodies()[1] == webhook


def test_test_events_are_asked_for_in_leaps_words(scripted: ScriptedServer) -> None:
    scripted.answers = [
        (
            200,
            {"sent_time": "2026-07-01T00:00:00Z", "http_status": 202, "headers": {"a": ["b"]}, "body": "{}"},
        ),
        (201, {"dispatch_status": "DRY_RUN", "meter_count": 1, "approved": False}),
    ]
    client = scripted.client()
    sent = client.send_integration_test(level=Level.METER, dispatches=[{"meter_id": "m", "timeslots": []}])
    test = CommunicationTest(
        start_time=START, end_time=START + timedelta(hours=1), program="CEC-DSGS", meter_uuids=("m",)
    )
    answer = client.send_communication_test(test)
    assert (sent.http_status, answer.meter_count, answer.approved) == (202, 1, False)
    assert [request["line"] for request in scripted.requests] == [
        "POST /v2/dispatch/meter/webhook/integration_test",
        "POST /v2/dispatch/meter/communication_test",
    ]
    assert scripted.bodies() == [
        {"meter_dispatches": [{"meter_id": "m", "timeslots": []}]},
        {
            "start_time": "2026-07-01T00:00:00Z",
            "end_time": "2026-07-01T01:00:00Z",
            "program": "CEC-DSGS",
            "meter_uuids": ["m"],
            "test_event": False,
            "approved": False,
        },
    ]


def test_subscriptions_to_platform_events_are_managed(scripted: ScriptedServer) -> None:
    row = {
        "webhook_id": "w",
        "receiver_url": "https://portal.example/",
        "event_types": ["meter.new"],
        "headers": [],
    }
    scripted.answers = [
        (200, {"webhook_id": "w"}),
        (200, {"webhooks": [row]}),
        (200, {"webhook_id": "w"}),
        (200, {"is_successful": True, "status_code": 202, "response_time_ms": 6}),
        (200, {"message": "done"}),
    ]
    client = scripted.client()
    wanted: dict[str, Any] = {
        "receiver_url": row["receiver_url"],
        "event_types": row["event_types"],
        "headers": [],
    }
    assert client.create_subscription(**wanted) == "w"
    assert client.list_subscriptions()[0].event_types == ("meter.new",)
    client.update_subscription(webhook_id="w", **wanted)
    assert client.test_subscription(
        webhook_id="w", payload={"webhook_event_type": "meter.created"}
    ).is_successful
    client.delete_subscription(webhook_id="../w")
    assert [request["line"] for request in scripted.requests] == [
        "POST /v1.1/webhooks",
        "GET /v1.1/webhooks",
        "PUT /v1.1/webhooks/w",
        "POST /v1.1/webhooks/w/test",
        "DELETE /v1.1/webhooks/..%2Fw",
    ]
