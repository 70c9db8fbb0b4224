"""Leap's API as functions of the portal: searches, webhooks, tests, subscriptions.

Source: Leap's OpenAPI documents "Dispatch" 2, "Webhook Subscription API" 1.1, "Get meter detail" 2 and
"Meter Information API" 2.0.0.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec

from leapvpp.leap.connection import LeapConnection
from leapvpp.leap.errors import LeapRefused, UnreadableAnswer
from leapvpp.leap.meters import M, MeterDetails, MeterEnrollment, MeterPage, read_page
from leapvpp.leap.values import (
    CommunicationTest,
    CommunicationTestResult,
    DispatchWebhook,
    Header,
    IntegrationTestResult,
    Level,
    SearchPage,
    Subscription,
    SubscriptionTestResult,
    decode_answer,
)

LONGEST_SEARCH = timedelta(days=31)
MOST_PAGES = 200
IDS_IN_A_SEARCH = 500
METERS_ON_A_PAGE = 500
MOST_PAGES_OF_METERS = 4000
# Leap waits up to ten seconds for our own webhook before it answers a test.
TEST_READ_SECONDS = 25.0
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class LeapClient(LeapConnection):
    """Dispatches, meters, webhooks and tests of one account."""

    def search_dispatches(
        self,
        *,
        level: Level,
        window_start: datetime,
        window_end: datetime,
        event_ids: Collection[str] | None = None,
        recipient_ids: Collection[str] | None = None,
    ) -> Iterator[SearchPage]:
        """Yield every page of events in ``[window_start, window_end)``, real-time ones too.

        The window may be of any length: it is asked for in pieces of at most 31 days. With
        ``event_ids`` or ``recipient_ids`` only those are asked for; an empty collection asks
        nothing. Ids that are no UUIDs are left out: Leap would refuse the whole search for one.
        Raises ``ValueError`` for an empty window or naive times.
        """
        if window_start.tzinfo is None or window_end.tzinfo is None or window_start >= window_end:
            raise ValueError("a search needs an aware, non-empty window")
        return self._search_all(
            level=level,
            windows=split_window(start=window_start, end=window_end),
            filters=_search_filters(level=level, event_ids=event_ids, recipient_ids=recipient_ids),
        )

    def _search_all(
        self,
        *,
        level: Level,
        windows: Sequence[tuple[datetime, datetime]],
        filters: Sequence[dict[str, object]],
    ) -> Iterator[SearchPage]:
        for start, end in windows:
            for one_filter in filters:
                yield from self._search_pages(
                    level=level,
                    query={
                        "start_date": start,
                        "end_date": end,
                        "exclude_real_time_events": False,
                        "exclude_voluntary_events": False,
                        **one_filter,
                    },
                )

    def _search_pages(self, *, level: Level, query: dict[str, object]) -> Iterator[SearchPage]:
        seen_tokens: set[str] = set()
        for _ in range(MOST_PAGES):
            body = self._transport.read("POST", f"/v2/dispatch/{level}/search", content=query)
            page = SearchPage.from_body(level=level, body=body)
            yield page
            token = page.next_page_token
            if token is None:
                return
            if token in seen_tokens:
                raise UnreadableAnswer("Leap's search gave the same page token twice")
            seen_tokens.add(token)
            query = {**query, "page_token": token}
        raise UnreadableAnswer(f"Leap's search did not end after {MOST_PAGES} pages")

    def search_enrollments(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterEnrollment]]:
        """Yield every page of enrollments, archived meters too.

        ``modified_since`` keeps what Leap changed after it, ``meter_ids`` (1000 at most) these meters.
        """
        query = _meter_query(modified_since=modified_since, meter_ids=meter_ids)
        return self._meter_pages("/v2/meters/enrollments/search", query=query, kind=MeterEnrollment)

    def search_details(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterDetails]]:
        """Yield every page of details, as ``search_enrollments`` does of enrollments."""
        query = _meter_query(modified_since=modified_since, meter_ids=meter_ids)
        return self._meter_pages("/v2/meters/search", query=query, kind=MeterDetails)

    def _meter_pages(self, path: str, *, query: dict[str, object], kind: type[M]) -> Iterator[MeterPage[M]]:
        seen_tokens: set[str] = set()
        for _ in range(MOST_PAGES_OF_METERS):
            page = read_page(self._transport.read("POST", path, content=query), kind=kind)
            yield page
            token = page.next_page_token
            if token is None:
                return
            if token in seen_tokens:
                raise UnreadableAnswer("Leap's search of meters gave the same page token twice")
            seen_tokens.add(token)
            query = {**query, "page_token": token}
        raise UnreadableAnswer(f"Leap's search of meters did not end after {MOST_PAGES_OF_METERS} pages")

    def get_dispatch_webhook(self, *, level: Level) -> DispatchWebhook | None:
        """Return where Leap posts this level's dispatches, or ``None``."""
        try:
            body = self._transport.read("GET", _webhook_path(level))
        except LeapRefused as refusal:
            if refusal.status == 404:
                return None
            raise
        return decode_answer(body, DispatchWebhook)

    def set_dispatch_webhook(self, *, level: Level, url: str, headers: Sequence[Header]) -> DispatchWebhook:
        """Make Leap post this level's dispatches to ``url``; replaces what was registered."""
        webhook = DispatchWebhook(url=url, headers=tuple(headers))
        body = self._transport.act("PUT", _webhook_path(level), content=webhook)
        return decode_answer(body, DispatchWebhook)

    def delete_dispatch_webhook(self, *, level: Level) -> bool:
        """Stop this level's posts; return whether there was a webhook to delete."""
        try:
            self._transport.act("DELETE", _webhook_path(level))
        except LeapRefused as refusal:
            if refusal.status == 404:
                return False
            raise
        return True

    def send_integration_test(self, *, level: Level, dispatches: Sequence[object]) -> IntegrationTestResult:
        """Let Leap post these dispatches to the registered webhook, marked as a test.

        ``dispatches`` are in Leap's own shape, at least one. Leap stores nothing of it.
        """
        body = self._transport.act(
            "POST",
            f"{_webhook_path(level)}/integration_test",
            content={level.notification_field: dispatches},
            read_seconds=TEST_READ_SECONDS,
        )
        return decode_answer(body, IntegrationTestResult)

    def send_communication_test(self, test: CommunicationTest) -> CommunicationTestResult:
        """Ask Leap for a communication test; it moves devices unless it is a dry run."""
        body = self._transport.act(
            "POST",
            "/v2/dispatch/meter/communication_test",
            content=_without_nones(test),
            read_seconds=TEST_READ_SECONDS,
        )
        return decode_answer(body, CommunicationTestResult)

    def list_subscriptions(self) -> tuple[Subscription, ...]:
        """Return the account's subscriptions to platform events; Leap does not page them."""
        body = self._transport.read("GET", "/v1.1/webhooks")
        return decode_answer(body, _SubscriptionList).webhooks

    def create_subscription(
        self, *, receiver_url: str, event_types: Sequence[str], headers: Sequence[Header]
    ) -> str:
        """Subscribe ``receiver_url`` to platform events; return the subscription's id."""
        content = _subscription(receiver_url, event_types, headers)
        body = self._transport.act("POST", "/v1.1/webhooks", content=content)
        return decode_answer(body, _SubscriptionId).webhook_id

    def update_subscription(
        self,
        *,
        webhook_id: str,
        receiver_url: str,
        event_types: Sequence[str],
        headers: Sequence[Header],
    ) -> None:
        """Overwrite all settings of a subscription."""
        content = _subscription(receiver_url, event_types, headers)
        self._transport.act("PUT", _subscription_path(webhook_id), content=content)

    def delete_subscription(self, *, webhook_id: str) -> None:
        self._transport.act("DELETE", _subscription_path(webhook_id))

    def test_subscription(self, *, webhook_id: str, payload: dict[str, object]) -> SubscriptionTestResult:
        """Let Leap post a sample event; ``payload`` names its ``webhook_event_type``."""
        body = self._transport.act(
            "POST",
            f"{_subscription_path(webhook_id)}/test",
            content=payload,
            read_seconds=TEST_READ_SECONDS,
        )
        return decode_answer(body, SubscriptionTestResult)


class _SubscriptionList(msgspec.Struct, frozen=True):
    webhooks: tuple[Subscription, ...]


class _SubscriptionId(msgspec.Struct, frozen=True):
    webhook_id: str


def split_window(*, start: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Cut ``[start, end)`` into UTC pieces of at most 31 days, in order and without gaps."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    pieces = []
    while start < end:
        piece_end = min(start + LONGEST_SEARCH, end)
        pieces.append((start, piece_end))
        start = piece_end
    return tuple(pieces)


def _search_filters(
    *, level: Level, event_ids: Collection[str] | None, recipient_ids: Collection[str] | None
) -> Sequence[dict[str, object]]:
    """Return one filter per request: ids in batches, as a list of any length may be asked for."""
    filters: list[dict[str, object]] = [{}]
    for field, ids in (
        (f"{level.event_id_field}s", event_ids),
        (f"{level.recipient_field}s", recipient_ids),
    ):
        if ids is not None:
            batches = list(_batched(sorted(filter(_UUID.fullmatch, set(ids))), size=IDS_IN_A_SEARCH))
            filters = [{**known, field: batch} for known in filters for batch in batches]
    return filters


def _meter_query(*, modified_since: datetime | None, meter_ids: Collection[str] | None) -> dict[str, object]:
    query: dict[str, object] = {"page_size": METERS_ON_A_PAGE, "exclude_archived": False}
    if modified_since is not None:
        query["last_modified_date_time"] = modified_since.astimezone(UTC)
    if meter_ids is not None:
        query["meter_ids"] = list(meter_ids)
    return query


def _batched(ids: Sequence[str], *, size: int) -> Iterator[Sequence[str]]:
    for position in range(0, len(ids), size):
        yield ids[position : position + size]


def _webhook_path(level: Level) -> str:
    return f"/v2/dispatch/{level}/webhook"


def _subscription_path(webhook_id: str) -> str:
    return f"/v1.1/webhooks/{quote(webhook_id, safe='')}"


def _subscription(
    receiver_url: str, event_types: Sequence[str], headers: Sequence[Header]
) -> dict[str, object]:
    return {"receiver_url": receiver_url, "event_types": event_types, "headers": headers}


def _without_nones(struct: msgspec.Struct) -> dict[str, object]:
    return {field: value for field, value in msgspec.structs.asdict(struct).items() if value is not None}
