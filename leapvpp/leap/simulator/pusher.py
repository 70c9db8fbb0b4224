"""Posts to the registered webhooks as Leap does, or as badly as it is told to.

Leap's rules: header names in lower case, ten seconds to answer, any 2xx is good. A dispatch is tried again
every minute, at most fifty times; an event of the platform on a ladder of nine steps. Every duration is
divided by ``speed``, except the ten seconds. Sources: Leap, "Webhook Push Notifications", "Retry Mechanism".
"""

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx
import msgspec

from leapvpp.leap.simulator.ledger import LedgerEvent, as_dispatches
from leapvpp.leap.values import DispatchWebhook, Header, Level, Subscription, encode_request

RETRY_EVERY = timedelta(minutes=1)
DISPATCH_RETRIES = (RETRY_EVERY,) * 50
PLATFORM_RETRIES = (
    *(timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 29)),
    *(timedelta(hours=hours) for hours in (1, 2, 4)),
)
"""How long after the attempt before each next one is made."""
ANSWER_SECONDS = 10.0
REMEMBERED_DELIVERIES = 20_000
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How badly the simulator behaves; shares are between 0 and 1, durations in seconds."""

    drop: Share = 0.0
    duplicate: Share = 0.0
    reorder: Share = 0.0
    reorder_within_seconds: float = 300.0
    delay_seconds: float = 0.0
    api_errors: Share = 0.0


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One post: when it began, how long it took, and what came back (``None``: no answer)."""

    sent_at: datetime
    took_seconds: float
    status: int | None
    answer: str
    headers: dict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One body on its way; ``outcome`` is waiting, delivered, given up or dropped.

    It goes to the webhook of its ``level`` or, without one, to the subscription of its ``webhook_id``.
    """

    body: bytes
    event_ids: tuple[str, ...]
    level: Level | None = None
    webhook_id: str = ""
    outcome: str = "waiting"
    attempts: list[Attempt] = field(default_factory=list)


class Pusher:
    """A queue of deliveries and the thread that works through it."""

    def __init__(self, *, faults: Faults, seed: int, speed: float) -> None:
        self.webhooks: dict[Level, DispatchWebhook] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=REMEMBERED_DELIVERIES)
        self.platform_deliveries: deque[Delivery] = deque(maxlen=REMEMBERED_DELIVERIES)
        self.faults = faults
        self.speed = speed
        self._random = random.Random(seed)  # noqa: S311 - faults are to be repeated, not kept secret
        self._http = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)
        self._queue: list[tuple[float, int, Delivery]] = []
        self._changed = threading.Condition()
        self._sequence = 0
        self._is_sending = False
        self._is_stopped = False
        self._away_until = 0.0
        self._thread = threading.Thread(target=self._work, name="leap-simulator-pusher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._http.close()

    def go_away(self, *, lasts: timedelta) -> None:
        """Neither post nor answer for that long; what was due is posted afterwards."""
        with self._changed:
            self._away_until = time.monotonic() + lasts.total_seconds() / self.speed
            self._changed.notify_all()

    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def is_api_failing(self) -> bool:
        """Draw whether the next request to the API meets an error."""
        with self._changed:
            return self._random.random() < self.faults.api_errors

    def publish(
        self,
        events: Sequence[LedgerEvent],
        *,
        is_integration_test: bool = False,
        is_communication_test: bool = False,
        is_lost: bool = False,
        is_sent_twice: bool = False,
        late: timedelta = timedelta(0),
    ) -> None:
        """Queue one notification per level that has a webhook, with the faults drawn for it."""
        for level in Level:
            of_level = [event for event in events if event.level is level]
            if of_level and level in self.webhooks:
                body = notification_body(
                    level=level,
                    dispatches=as_dispatches(of_level, with_flags=False),
                    is_integration_test=is_integration_test,
                    is_communication_test=is_communication_test,
                )
                ids = tuple(event.event_id for event in of_level)
                self._enqueue(
                    Delivery(level=level, body=body, event_ids=ids),
                    is_lost=is_lost,
                    is_sent_twice=is_sent_twice,
                    late=late,
                )

    def publish_event(self, *, event_id: str, event_type: str, body: bytes) -> None:
        """Queue an event of the platform for every subscription to its type, faults drawn for each."""
        for webhook_id, subscription in list(self.subscriptions.items()):
            if event_type in subscription.event_types:
                self._enqueue(Delivery(body=body, event_ids=(event_id,), webhook_id=webhook_id))

    def post_now(self, *, level: Level, body: bytes) -> Attempt:
        """Post once, at once. Raises ``KeyError`` when the level has no webhook."""
        return self.post(url=self.webhooks[level].url, headers=self.webhooks[level].headers, body=body)

    def _post(self, delivery: Delivery) -> Attempt | None:
        """Post where the delivery goes by now; ``None`` when nobody listens there any more."""
        webhook: DispatchWebhook | None = None
        if delivery.level is not None:
            webhook = self.webhooks.get(delivery.level)
        elif subscription := self.subscriptions.get(delivery.webhook_id):
            webhook = DispatchWebhook(url=subscription.receiver_url, headers=subscription.headers)
        return self.post(url=webhook.url, headers=webhook.headers, body=delivery.body) if webhook else None

    def post(self, *, url: str, headers: Iterable[Header], body: bytes) -> Attempt:
        """Post a body with the registered headers and tell what came back."""
        sent = {"content-type": "application/json"} | {each.name.lower(): each.value for each in headers}
        sent_at, began = datetime.now(UTC), time.monotonic()
        try:
            response = self._http.post(url, content=body, headers=sent)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            status, answer, received = None, f"{type(error).__name__}: {error}", {}
        else:
            status, answer = response.status_code, response.text
            received = {name: [value] for name, value in response.headers.items()}
        return Attempt(
            sent_at=sent_at,
            took_seconds=time.monotonic() - began,
            status=status,
            answer=answer,
            headers=received,
        )

    def wait_until_idle(self, *, timeout: float) -> bool:
        """Wait until nothing is queued or on its way; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._is_sending, timeout)

    def _enqueue(
        self,
        delivery: Delivery,
        *,
        is_lost: bool = False,
        is_sent_twice: bool = False,
        late: timedelta = timedelta(0),
    ) -> None:
        with self._changed:
            draw = self._random.random
            remembered = self.platform_deliveries if delivery.level is None else self.deliveries
            remembered.append(delivery)
            seconds = late.total_seconds() + draw() * self.faults.delay_seconds
            if draw() < self.faults.reorder:
                seconds += draw() * self.faults.reorder_within_seconds
            if draw() < self.faults.drop or is_lost:
                delivery.outcome = "dropped"
                return
            self._schedule(delivery, seconds=seconds)
            if draw() < self.faults.duplicate or is_sent_twice:
                again = replace(delivery, attempts=[])
                remembered.append(again)
                self._schedule(again, seconds=seconds + draw() * RETRY_EVERY.total_seconds())

    def _schedule(self, delivery: Delivery, *, seconds: float) -> None:
        self._sequence += 1
        due = time.monotonic() + seconds / self.speed
        heapq.heappush(self._queue, (due, self._sequence, delivery))
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                delivery = self._take_due()
                if delivery is None:
                    return
                self._is_sending = True
            attempt = self._post(delivery)
            with self._changed:
                self._is_sending = False
                self._settle(delivery, attempt=attempt)
                self._changed.notify_all()

    def _take_due(self) -> Delivery | None:
        """Wait for the next delivery that is due, or return ``None`` once stopped."""
        while not self._is_stopped:
            now = time.monotonic()
            if self._queue and max(self._queue[0][0], self._away_until) <= now:
                return heapq.heappop(self._queue)[2]
            self._changed.wait(max(self._queue[0][0], self._away_until) - now if self._queue else None)
        return None

    def _settle(self, delivery: Delivery, *, attempt: Attempt | None) -> None:
        """Record an attempt (``None``: the webhook is gone) and plan the next, if there is one."""
        if attempt is None:
            delivery.outcome = "dropped"
            return
        delivery.attempts.append(attempt)
        if attempt.status is not None and 200 <= attempt.status < 300:
            delivery.outcome = "delivered"
            return
        retries = PLATFORM_RETRIES if delivery.level is None else DISPATCH_RETRIES
        if len(delivery.attempts) > len(retries):
            delivery.outcome = "given up"
        else:
            self._schedule(delivery, seconds=retries[len(delivery.attempts) - 1].total_seconds())


def notification_body(
    *,
    level: Level,
    dispatches: Iterable[object],
    is_integration_test: bool = False,
    is_communication_test: bool = False,
) -> bytes:
    """Return the body of a webhook post."""
    return encode_request(
        {
            "integration_test_notification": is_integration_test,
            "communication_test": is_communication_test,
            level.notification_field: list(dispatches),
        }
    )
