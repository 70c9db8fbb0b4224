"""Stage: tests that an operator asks for → Leap, which sends them back to us as it sends real events.

Reads and writes `TestSend`. A test is sent at most once: whoever claims the row calls Leap, and a row whose
claimer died is closed as failed, not sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from dispatch import queue
from dispatch.models import Level, TestKind, TestSend, TestSendState
from dispatch.queries import TEST_GIVEN_UP_AFTER
from dispatch.reading.words import counted
from leapvpp.leap import values
from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError, storable

logger = logging.getLogger(__name__)

MOST_METERS = 1000
CAP = "up-to-nomination"


class TestRefused(ValueError):
    """The test cannot be sent; the message is one plain sentence for whoever asked."""

    __test__ = False


def ask_for_test(
    *,
    kind: str,
    market_group_id: str,
    meter_ids: Sequence[str],
    starts_at: datetime,
    ends_at: datetime,
    energy_kw: Decimal | None,
    program: str,
    is_approved: bool,
    created_by: str,
    now: datetime,
) -> TestSend:
    """Store a test to be sent and wake a worker. With a market group it is sent at group level.

    A communication test is always at meter level: Leap knows no other. Source: Leap's OpenAPI "Dispatch" 2.

    Raises:
        TestRefused: no API key is set, no meter or more than 1,000 are named, or the window is empty or past.
    """
    _check(meter_ids=meter_ids, starts_at=starts_at, ends_at=ends_at, now=now)
    is_group = bool(market_group_id) and kind == TestKind.INTEGRATION
    with transaction.atomic():
        test = TestSend.objects.create(
            kind=kind,
            level=Level.GROUP if is_group else Level.METER,
            market_group_id=market_group_id,
            meter_ids=sorted(meter_ids),
            leap_event_ids=_new_event_ids(kind, is_group=is_group, meters=len(meter_ids)),
            starts_at=starts_at,
            ends_at=ends_at,
            energy_kw=energy_kw,
            program=program,
            is_approved=is_approved,
            created_by=created_by,
            created_at=now,
        )
        queue.wake_test_sending()
    return test


def _check(*, meter_ids: Sequence[str], starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    if not settings.LEAP_API_KEY:
        raise TestRefused("LEAP_API_KEY is not set, so Leap cannot be asked for a test.")
    if not meter_ids:
        raise TestRefused("No meter is named, or the group has none now.")
    if len(meter_ids) > MOST_METERS:
        raise TestRefused(f"Leap takes {MOST_METERS:,} meters a test; this names {len(meter_ids):,}.")
    if not max(starts_at, now) < ends_at <= starts_at + timedelta(days=31):
        raise TestRefused("The test must end in the future, after its start, and within 31 days of it.")


def _new_event_ids(kind: str, *, is_group: bool, meters: int) -> list[str]:
    """Choose an integration test's event ids: one for a group, one a meter."""
    if kind != TestKind.INTEGRATION:
        return []
    return [str(uuid4()) for _ in range(1 if is_group else meters)]


def send_waiting(*, now: datetime) -> int:
    """Send every test that waits; return how many were sent. Those left half sent are closed as failed."""
    stale = TestSend.objects.filter(state=TestSendState.SENDING, sent_at__lte=now - TEST_GIVEN_UP_AFTER)
    stale.update(
        state=TestSendState.FAILED,
        detail="The worker stopped while Leap was asked. Leap may have sent it; it is not sent again.",
    )
    sent = 0
    for test in TestSend.objects.filter(state=TestSendState.WAITING).order_by("pk"):
        claimed = TestSend.objects.filter(pk=test.pk, state=TestSendState.WAITING)
        if claimed.update(state=TestSendState.SENDING, sent_at=timezone.now()) == 1:
            _send(test)
            sent += 1
    return sent


def _send(test: TestSend) -> None:
    """Ask Leap, outside any transaction, and store what it answered."""
    try:
        with LeapClient(base_url=settings.LEAP_API_BASE_URL, api_key=settings.LEAP_API_KEY) as client:
            status, detail = (
                _integration(client, test) if _is_integration(test) else _communication(client, test)
            )
        state = TestSendState.ANSWERED
    except LeapError as error:
        state, status, detail = TestSendState.FAILED, None, str(error)
    TestSend.objects.filter(pk=test.pk).update(
        state=state, answered_at=timezone.now(), webhook_status=status, detail=storable(detail)
    )
    logger.info("Sent test %s: %s", test.pk, state)


def _is_integration(test: TestSend) -> bool:
    return test.kind == TestKind.INTEGRATION


def _integration(client: LeapClient, test: TestSend) -> tuple[int | None, str]:
    """Have Leap post the test to our webhook; what it answered, in words."""
    level = values.Level.GROUP if test.level == Level.GROUP else values.Level.METER
    result = client.send_integration_test(level=level, dispatches=_dispatches(test, level=level))
    if result.http_status is None:
        return None, result.error_message or "Our webhook did not answer Leap."
    return result.http_status, f"Our webhook answered {result.http_status}."


def _dispatches(test: TestSend, *, level: values.Level) -> list[dict[str, object]]:
    """Write the test as Leap words dispatches."""
    slots = [
        values.timeslot_as_json(_timeslot(test, event_id=event_id, level=level), level=level)
        for event_id in test.leap_event_ids
    ]
    if level is values.Level.GROUP:
        return [{"market_group_id": test.market_group_id, "meter_ids": test.meter_ids, "timeslots": slots}]
    return [
        {"meter_id": meter_id, "timeslots": [slot]}
        for meter_id, slot in zip(test.meter_ids, slots, strict=True)
    ]


def _timeslot(test: TestSend, *, event_id: str, level: values.Level) -> values.Timeslot:
    is_group = level is values.Level.GROUP
    return values.Timeslot(
        meter_event_id=None if is_group else event_id,
        market_group_event_id=event_id if is_group else None,
        start_time=test.starts_at,
        end_time=test.ends_at,
        cancelled=False,
        energy_kw=test.energy_kw,
        performance_compensation_cap=CAP,
        priority=1,
        is_voluntary=False,
        dispatch_event_types=("standard",),
        programs=(test.program,),
    )


def _communication(client: LeapClient, test: TestSend) -> tuple[None, str]:
    """Ask Leap for a communication test; what it made of it, in words."""
    result = client.send_communication_test(
        values.CommunicationTest(
            start_time=test.starts_at,
            end_time=test.ends_at,
            program=test.program,
            meter_uuids=tuple(test.meter_ids),
            dispatch_quantity_kw=test.energy_kw,
            approved=test.is_approved,
        )
    )
    reached = "" if result.meter_count is None else f" It reaches {counted(result.meter_count, one='meter')}."
    what = "Approved: Leap sends it." if test.is_approved else "A dry run: Leap sends nothing."
    return None, f"{what}{reached}"
