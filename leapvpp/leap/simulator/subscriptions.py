"""Subscriptions to events of the platform, as the simulator keeps them.

Source: Leap's OpenAPI document "Webhook Subscription API" 1.1.
"""

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, decode
from leapvpp.leap.simulator.platform import envelope
from leapvpp.leap.simulator.pusher import Pusher
from leapvpp.leap.values import Header, Subscription


class Subscriptions:
    """The service that lists, makes, changes, deletes and tests them; the pusher holds them."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    def routes(self) -> Sequence[Route]:
        """Return what it answers."""
        return (
            ("GET", "/v1.1/webhooks", self._list),
            ("POST", "/v1.1/webhooks", self._create),
            ("PUT", "/v1.1/webhooks/([^/]+)", self._update),
            ("DELETE", "/v1.1/webhooks/([^/]+)", self._delete),
            ("POST", "/v1.1/webhooks/([^/]+)/test", self._test),
        )

    def _list(self, call: Call) -> Answer:
        return 200, {"webhooks": list(self._pusher.subscriptions.values())}

    def _create(self, call: Call) -> Answer:
        return self._store(str(uuid4()), call.body)

    def _update(self, call: Call) -> Answer:
        self._find(call.argument)
        return self._store(call.argument, call.body)

    def _delete(self, call: Call) -> Answer:
        self._find(call.argument)
        del self._pusher.subscriptions[call.argument]
        return 200, {"message": "Operation completed successfully"}

    def _test(self, call: Call) -> Answer:
        """Post a sample event to the receiver, in the platform's envelope."""
        subscription = self._find(call.argument)
        _, body = envelope(decode(call.body, dict[str, object]))
        attempt = self._pusher.post(url=subscription.receiver_url, headers=subscription.headers, body=body)
        if attempt.status is None:
            return 200, {"is_successful": False, "error": attempt.answer}
        return 200, {
            "is_successful": 200 <= attempt.status < 300,
            "status_code": attempt.status,
            "response_time_ms": round(attempt.took_seconds * 1000),
        }

    def _store(self, webhook_id: str, body: bytes) -> Answer:
        wanted = decode(body, _Wanted)
        self._pusher.subscriptions[webhook_id] = Subscription(
            webhook_id=webhook_id, **msgspec.structs.asdict(wanted)
        )
        return 200, {"webhook_id": webhook_id}

    def _find(self, webhook_id: str) -> Subscription:
        if webhook_id not in self._pusher.subscriptions:
            raise Refusal(404, "there is no such webhook")
        return self._pusher.subscriptions[webhook_id]


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    receiver_url: str
    event_types: tuple[str, ...]
    headers: tuple[Header, ...] = ()
