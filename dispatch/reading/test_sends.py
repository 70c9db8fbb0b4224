"""Tests that were asked for, and how far each came back: a line per step with the time it took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.http import QueryDict

from devices.models import MeterDevice, ScheduleSegment, ScheduleState
from dispatch.models import DispatchEvent, NotificationItem, TestKind, TestSend, TestSendState
from dispatch.reading import words
from dispatch.reading.listing import page_of
from meters.models import MarketGroup, MarketGroupMembership, Meter

PAGE_SIZE = 10
OPEN_FOR = timedelta(minutes=10)
"""How long after asking a page still waits for news."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
STATE_VERDICTS = {
    TestSendState.WAITING: "plain",
    TestSendState.SENDING: "warn",
    TestSendState.ANSWERED: "ok",
    TestSendState.FAILED: "bad",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test's way. `kind`: ok, bad, wait (not yet), plain (does not happen)."""

    name: str
    text: str
    kind: str
    at: datetime | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One test with its steps."""

    id: int
    kind: str
    is_integration: bool
    state: str
    verdict: str
    target: str
    meters: int
    starts_at: datetime
    ends_at: datetime
    energy_kw: Decimal | None
    program: str
    is_approved: bool
    created_by: str
    created_at: datetime
    event_id: int | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class TestList:
    """One page of tests; `is_open` while one of them may still move."""

    __test__ = False

    page: Page[Any]
    rows: tuple[Row, ...]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Came:
    """What of a test has come back."""

    events: tuple[DispatchEvent, ...] = ()
    items: tuple[NotificationItem, ...] = ()
    devices: int = 0
    told: int = 0
    confirmed: int = 0
    confirmed_at: datetime | None = None


def read_list(query: QueryDict, *, now: datetime) -> TestList:
    """Read one page of tests, newest first. Eight queries, whatever the page holds."""
    page = page_of(
        TestSend.objects.order_by("-created_at", "-id"), number=query.get("page", ""), size=PAGE_SIZE
    )
    tests = list(page)
    events = _events_of(tests)
    items = _items_of(event.pk for found in events.values() for event in found)
    devices = _devices_of(tests)
    segments = _segments_of(tests, devices)
    names = _names(tests)
    rows = tuple(
        _row(test, came=_came(test, events, items, devices, segments), names=names) for test in tests
    )
    is_open = any(_is_open(test, row, now=now) for test, row in zip(tests, rows, strict=True))
    return TestList(page=page, rows=rows, is_open=is_open)


def _is_open(test: TestSend, row: Row, *, now: datetime) -> bool:
    return test.created_at > now - OPEN_FOR and any(step.kind == "wait" for step in row.steps)


def _events_of(tests: Sequence[TestSend]) -> dict[int, list[DispatchEvent]]:
    """Find each test's events: by the ids we chose, else by window and meters. One query."""
    if not tests:
        return {}
    rows = (
        DispatchEvent.objects.filter(
            first_received_at__gte=min(test.created_at for test in tests),
            starts_at__in={test.starts_at for test in tests},
        )
        .exclude(test="")
        .select_related("recipients")
    )
    found: dict[int, list[DispatchEvent]] = defaultdict(list)
    for event in rows.order_by("first_received_at", "id"):
        for test in tests:
            if _belongs(event, test):
                found[test.pk].append(event)
    return found


def _belongs(event: DispatchEvent, test: TestSend) -> bool:
    if test.kind == TestKind.INTEGRATION:
        return event.leap_event_id in test.leap_event_ids
    is_same = (event.test, event.starts_at, event.ends_at) == (test.kind, test.starts_at, test.ends_at)
    is_after = event.first_received_at >= test.created_at
    return is_same and is_after and not set(test.meter_ids).isdisjoint(event.recipients.meter_ids)


def _items_of(event_ids: Iterable[int]) -> dict[int, NotificationItem]:
    """Find the first notification item of each event. One query."""
    rows = NotificationItem.objects.filter(event_id__in=list(event_ids)).select_related("notification")
    found: dict[int, NotificationItem] = {}
    for item in rows.defer("notification__body").order_by("notification_id", "position"):
        if item.event_id is not None:
            found.setdefault(item.event_id, item)
    return found


def _devices_of(tests: Sequence[TestSend]) -> dict[str, set[int]]:
    """Find the devices behind each meter named. One query."""
    named = {meter_id for test in tests for meter_id in test.meter_ids}
    found: dict[str, set[int]] = defaultdict(set)
    rows = MeterDevice.objects.filter(meter__meter_id__in=named).values_list("meter__meter_id", "device_id")
    for meter_id, device_id in rows:
        found[meter_id].add(device_id)
    return found


def _segments_of(tests: Sequence[TestSend], devices: Mapping[str, set[int]]) -> list[Any]:
    """Read the segments of those devices that begin or end with a test's window. One query."""
    if not tests:
        return []
    ids = {device_id for found in devices.values() for device_id in found}
    return list(
        ScheduleSegment.objects.filter(
            device_id__in=ids,
            starts_at__lt=max(test.ends_at for test in tests),
            ends_at__gt=min(test.starts_at for test in tests),
            schedule__created_at__gte=min(test.created_at for test in tests),
        ).values_list("device_id", "leap_event_ids", "schedule__state", "schedule__acknowledged_at")
    )


def _came(
    test: TestSend,
    events: Mapping[int, list[DispatchEvent]],
    items: Mapping[int, NotificationItem],
    devices: Mapping[str, set[int]],
    segments: Sequence[Any],
) -> Came:
    mine = events.get(test.pk, [])
    named = {event.leap_event_id for event in mine}
    told: dict[int, datetime | None] = {}
    for device_id, leap_event_ids, state, acknowledged_at in segments:
        if named.intersection(leap_event_ids):
            is_confirmed = state == ScheduleState.ACKNOWLEDGED
            told[device_id] = (acknowledged_at if is_confirmed else None) or told.get(device_id)
    answers = [at for at in told.values() if at]
    return Came(
        events=tuple(mine),
        items=tuple(items[event.pk] for event in mine if event.pk in items),
        devices=len({device for meter_id in test.meter_ids for device in devices.get(meter_id, ())}),
        told=len(told),
        confirmed=len(answers),
        confirmed_at=max(answers, default=None),
    )


def _names(tests: Sequence[TestSend]) -> dict[str, str]:
    """Name the groups and the single meters that tests are for. Two queries."""
    groups = {test.market_group_id for test in tests}
    single = {test.meter_ids[0] for test in tests if len(test.meter_ids) == 1}
    names = {
        group.market_group_id: str(group) for group in MarketGroup.objects.filter(market_group_id__in=groups)
    }
    return names | {meter.meter_id: str(meter) for meter in Meter.objects.filter(meter_id__in=single)}


def _row(test: TestSend, *, came: Came, names: Mapping[str, str]) -> Row:
    key = test.market_group_id or test.meter_ids[0]
    return Row(
        id=test.pk,
        kind=test.get_kind_display(),
        is_integration=test.kind == TestKind.INTEGRATION,
        state=test.get_state_display(),
        verdict=STATE_VERDICTS[TestSendState(test.state)],
        target=names.get(key, key),
        meters=len(test.meter_ids),
        starts_at=test.starts_at,
        ends_at=test.ends_at,
        energy_kw=test.energy_kw,
        program=test.program,
        is_approved=test.is_approved,
        created_by=test.created_by,
        created_at=test.created_at,
        event_id=came.events[0].pk if came.events else None,
        steps=tuple(_in_order(_steps(test, came))),
    )


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """Put what has happened in the order of time, before what is still to come."""
    done = [step for step in steps if step.at]
    return sorted(done, key=lambda step: step.at or LONG_AGO) + [step for step in steps if not step.at]


def _steps(test: TestSend, came: Came) -> list[Step]:
    """Tell a test's way, each step with the time since it was asked for."""
    steps = [
        _step(test, "Sent", at=test.sent_at, text=f"A worker asked Leap, for {test.created_by}."),
        _answer(test),
    ]
    if test.state == TestSendState.FAILED:
        return steps
    if test.kind == TestKind.COMMUNICATION and not test.is_approved:
        return [*steps, Step("Webhook", "A dry run: nothing is sent.", "plain")]
    first = min((item.notification.received_at for item in came.items), default=None)
    wanted = len(test.leap_event_ids) or len(test.meter_ids)
    steps.append(
        _step(test, "Webhook", at=first, text=f"{words.counted(len(came.events), one='event')} came back.")
    )
    recorded = max(
        (i.notification.recorded_at for i in came.items if i.notification.recorded_at), default=None
    )
    is_whole = len(came.events) >= wanted
    text = "Recorded." if is_whole else f"{len(came.events)} of {wanted} events recorded."
    steps.append(_step(test, "Recorded", at=recorded, text=text))
    planned = [event.planned_at for event in came.events if event.planned_at]
    is_planned = bool(planned) and len(planned) == len(came.events)
    steps.append(
        _step(test, "Planned", at=max(planned) if is_planned else None, text="Devices' schedules decided.")
    )
    steps.append(_confirmation(test, came, is_planned=is_planned))
    return steps


def _answer(test: TestSend) -> Step:
    if test.state == TestSendState.FAILED:
        return _step(test, "Leap", at=test.answered_at or test.sent_at, text=test.detail, kind="bad")
    kind = "bad" if test.webhook_status and test.webhook_status >= 300 else "ok"
    return _step(test, "Leap", at=test.answered_at, text=test.detail, kind=kind)


def _confirmation(test: TestSend, came: Came, *, is_planned: bool) -> Step:
    """Say what devices made of it; an integration test moves those behind armed meters alone."""
    if not is_planned:
        return Step("Devices", "Not yet.", "wait")
    if not came.told and test.kind == TestKind.INTEGRATION:
        return Step("Devices", "Stay still: no meter is armed. Arm one on its page to move it.", "plain")
    if not came.told:
        return Step("Devices", "None moves; see the event for why.", "plain")
    text = f"{came.confirmed} of {words.counted(came.told, one='device')} confirmed."
    return _step(test, "Devices", at=came.confirmed_at if came.confirmed == came.told else None, text=text)


def _step(test: TestSend, name: str, *, at: datetime | None, text: str, kind: str = "ok") -> Step:
    if at is None:
        return Step(name, "Not yet.", "wait")
    return Step(name, text, kind, at=at, after=seconds(at - test.created_at))


def seconds(span: timedelta) -> str:
    """Write a short length of time: "0.42 s", "12.3 s", then as other lengths.

    >>> seconds(timedelta(milliseconds=420)), seconds(timedelta(seconds=150))
    ('0.42 s', '2 min')
    """
    value = max(span.total_seconds(), 0.0)
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.1f} s" if value < 100 else words.length(span)


def groups_offered() -> tuple[tuple[str, str], ...]:
    """Offer market groups by name. One query."""
    rows = MarketGroup.objects.order_by("name", "id")
    return tuple((group.market_group_id, str(group)) for group in rows[:500])


def meters_of_group(market_group_id: str, *, now: datetime) -> tuple[str, ...]:
    """List the Leap ids of a group's present meters."""
    rows = MarketGroupMembership.objects.filter(group__market_group_id=market_group_id, starts_at__lte=now)
    present = rows.exclude(ends_at__lte=now).order_by("meter__meter_id")
    return tuple(present.values_list("meter__meter_id", flat=True).distinct())
