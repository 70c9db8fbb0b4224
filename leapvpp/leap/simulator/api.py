"""Leap's HTTP API as a WSGI application: dispatches by itself, all else by the services it is given.

Paths, limits and error bodies follow Leap's OpenAPI document "Dispatch" 2. A wrong key is answered with 403,
as Leap does.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from uuid import uuid4

from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, Service, decode
from leapvpp.leap.simulator.ledger import Ledger, LedgerEvent, SearchQuery
from leapvpp.leap.simulator.pusher import Pusher, notification_body
from leapvpp.leap.values import (
    CommunicationTest,
    DispatchWebhook,
    Level,
    Timeslot,
    encode_request,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PAGE_SIZE = 500
LARGEST_REQUEST_BYTES = 50 * 1024 * 1024


class LeapApi:
    """Answers the requests of one account."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        pusher: Pusher,
        api_key: str,
        page_size: int = PAGE_SIZE,
        services: Sequence[Service] = (),
    ) -> None:
        self._routes: list[Route] = [(*route[:2], partial(route[2], self)) for route in ROUTES]
        self._routes += [route for service in services for route in service.routes()]
        self._ledger = ledger
        self._pusher = pusher
        self._api_key = api_key
        self._page_size = page_size
        self._pages: dict[str, list[dict[str, object]]] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        try:
            status, content = self._answer(environ, path)
        except Refusal as refusal:
            status, content = refusal.status, _error_body(refusal, path)
        body = b"" if content is None else encode_request(content)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _answer(self, environ: "WSGIEnvironment", path: str) -> Answer:
        body = _read_body(environ)
        if self._pusher.is_away() or self._pusher.is_api_failing():
            raise Refusal(503, "Leap is away")
        self._check_key(str(environ.get("HTTP_AUTHORIZATION", "")))
        query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
        for method, pattern, handler in self._routes:
            match = re.fullmatch(pattern, path)
            if match and method == environ["REQUEST_METHOD"]:
                argument = (match[1] or "") if match.groups() else ""
                return handler(Call(argument=argument, body=body, query=query))
        raise Refusal(404, f"there is no {environ['REQUEST_METHOD']} {path}")

    def _check_key(self, authorization: str) -> None:
        expected = f"Bearer {self._api_key}"
        if not authorization:
            raise Refusal(401, "the Authorization header is missing")
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            raise Refusal(403, "the key is not valid in this environment")

    def search(self, call: Call) -> Answer:
        query = decode(call.body, SearchQuery)
        if query.page_token is None:
            results = self._ledger.search(level=Level(call.argument), query=query)
        elif query.page_token in self._pages:
            results = self._pages[query.page_token]
        else:
            raise Refusal(400, "page_token is not known")
        token = None
        if len(results) > self._page_size:
            token = str(uuid4())
            self._pages[token] = results[self._page_size :]
        return 200, {"results": results[: self._page_size], "next_page_token": token}

    def get_webhook(self, call: Call) -> Answer:
        webhook = self._pusher.webhooks.get(Level(call.argument))
        if webhook is None:
            raise Refusal(404, f"no {call.argument} webhook is registered")
        return 200, webhook

    def put_webhook(self, call: Call) -> Answer:
        webhook = decode(call.body, DispatchWebhook)
        if not re.match(r"https?://[^/]", webhook.url):
            raise Refusal(400, "url is not an http address")
        self._pusher.webhooks[Level(call.argument)] = webhook
        return 200, webhook

    def delete_webhook(self, call: Call) -> Answer:
        if self._pusher.webhooks.pop(Level(call.argument), None) is None:
            raise Refusal(404, f"no {call.argument} webhook is registered")
        return 204, None

    def integration_test(self, call: Call) -> Answer:
        """Post the given dispatches, marked as a test, and tell what came back; store nothing."""
        dispatches = decode(call.body, dict[str, list[object]]).get(Level(call.argument).notification_field)
        if not dispatches:
            raise Refusal(400, f"{Level(call.argument).notification_field} must have at least one item")
        if Level(call.argument) not in self._pusher.webhooks:
            raise Refusal(404, f"no {call.argument} webhook is registered")
        notification = notification_body(
            level=Level(call.argument), dispatches=dispatches, is_integration_test=True
        )
        attempt = self._pusher.post_now(level=Level(call.argument), body=notification)
        answered = attempt.status is not None
        return 200, {
            "sent_time": attempt.sent_at,
            "received_time": attempt.sent_at + timedelta(seconds=attempt.took_seconds) if answered else None,
            "http_status": attempt.status,
            "headers": attempt.headers,
            "body": attempt.answer if answered else None,
            "error_message": None if answered else attempt.answer,
        }

    def communication_test(self, call: Call) -> Answer:
        """Tell what a test would reach or, when it is approved, store and publish its events."""
        test = decode(call.body, CommunicationTest)
        if not timedelta(0) < test.end_time - test.start_time <= timedelta(days=31):
            raise Refusal(400, "end_time must be after start_time and at most 31 days later")
        if not 1 <= len(test.meter_uuids) <= 1000:
            raise Refusal(400, "meter_uuids must have between 1 and 1000 items")
        if test.approved:
            events = [self._ledger.put(event) for event in _events_of_test(test)]
            self._pusher.publish(events, is_communication_test=True)
        return 201, {
            "dispatch_status": "APPROVED" if test.approved else "DRY_RUN",
            "start_time": test.start_time,
            "end_time": test.end_time,
            "test_event": test.test_event,
            "program": test.program,
            "approved": test.approved,
            "meter_count": len(test.meter_uuids),
        }


LEVEL = "(meter|group)"
ROUTES: list[tuple[str, str, Callable[[LeapApi, Call], Answer]]] = [
    ("POST", f"/v2/dispatch/{LEVEL}/search", LeapApi.search),
    ("GET", f"/v2/dispatch/{LEVEL}/webhook", LeapApi.get_webhook),
    ("PUT", f"/v2/dispatch/{LEVEL}/webhook", LeapApi.put_webhook),
    ("DELETE", f"/v2/dispatch/{LEVEL}/webhook", LeapApi.delete_webhook),
    ("POST", f"/v2/dispatch/{LEVEL}/webhook/integration_test", LeapApi.integration_test),
    ("POST", "/v2/dispatch/meter/communication_test", LeapApi.communication_test),
]
_CODES = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND"}
_ERROR_CODES = {
    400: "DISPATCH_INVALID_INPUT",
    401: "DISPATCH_UNAUTHORIZED",
    403: "DISPATCH_NO_ACCESS_TO_RESOURCE",
}


def _error_body(refusal: Refusal, path: str) -> dict[str, object]:
    """Word an error as the service of that path does: the webhook platform, meters and jobs, or dispatch."""
    status, message = refusal.status, str(refusal)
    if path.startswith("/v1.1/webhooks"):
        return {"error": HTTPStatus(status).phrase, "message": message}
    if not path.startswith("/v2/dispatch/"):
        return {"title": message, "status": status, "details": refusal.details}
    code = _CODES.get(status, "SERVICE_UNAVAILABLE")
    return {
        "code": code,
        "message": message,
        "error_code": _ERROR_CODES.get(status, "DISPATCH_UNEXPECTED_ERROR"),
    }


def _events_of_test(test: CommunicationTest) -> list[LedgerEvent]:
    return [
        LedgerEvent(
            level=Level.METER,
            recipient_id=meter_id,
            meter_ids=(meter_id,),
            timeslot=Timeslot(
                meter_event_id=str(uuid4()),
                start_time=test.start_time.astimezone(UTC),
                end_time=test.end_time.astimezone(UTC),
                cancelled=False,
                energy_kw=test.dispatch_quantity_kw,
                performance_compensation_cap="up-to-nomination",
                priority=1,
                is_voluntary=False,
                dispatch_event_types=("capacity-test",) if test.test_event else ("standard",),
                programs=(test.program,),
                communication_test=True,
            ),
        )
        for meter_id in test.meter_uuids
    ]


def _read_body(environ: "WSGIEnvironment") -> bytes:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not length.isdecimal() or int(length) > LARGEST_REQUEST_BYTES:
        raise Refusal(400, "the length of the request is missing or too large")
    body = environ["wsgi.input"].read(int(length))
    return bytes(body)
