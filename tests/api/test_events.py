"""Events, revisions, notifications and overlaps as an integrator reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import DeviceSchedule, ScheduleSegment
from dispatch.comparing_groups import compare_waiting
from dispatch.models import (
    DispatchNotification,
    EventRevision,
    ItemOutcome,
    NotificationItem,
    NotificationStatus,
    Overlap,
    RevisionKind,
    Source,
)
from meters.grouping import request_comparison
from tests.builders import device, group, meter
from tests.rows import event

HOUR = timedelta(hours=1)


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return sorted(row["leap_event_id"] for row in answer.json()["results"])


def test_an_event_has_the_fields_of_the_contract(viewer):
    start = timezone.now().replace(microsecond=0) + HOUR
    row = event("e1", starts_at=start, ends_at=start + HOUR, energy_kw="8.5", meter_ids=["m1"])

    shown = viewer.get(f"/api/v1/events/{row.pk}/").json()

    assert {name: shown[name] for name in CONTRACT} == CONTRACT | {
        "id": row.pk,
        "start_time": start.isoformat().replace("+00:00", "Z"),
        "end_time": (start + HOUR).isoformat().replace("+00:00", "Z"),
    }


def test_a_page_of_events_is_never_longer_than_a_hundred(viewer):
    start = timezone.now()
    for number in range(101):
        event(f"e{number}", starts_at=start, ends_at=start + HOUR)
    assert len(viewer.get("/api/v1/events/", {"page_size": 1000}).json()["results"]) == 100


def test_an_event_says_how_its_group_is_out_of_step(viewer):
    ours, theirs = meter(), meter()
    south = group(ours)
    row = event("e1", market_group_id=south.market_group_id, meter_ids=[theirs.meter_id, "nobody"])
    assert viewer.get(f"/api/v1/events/{row.pk}/").json()["out_of_step"] is None

    request_comparison([south.market_group_id], now=timezone.now())
    compare_waiting(now=timezone.now())

    shown = viewer.get(f"/api/v1/events/{row.pk}/").json()["out_of_step"]
    assert shown.pop("found_at")
    assert shown == {
        "called": 2,
        "held": 1,
        "group_unknown": False,
        "called_not_ours": sorted([theirs.meter_id, "nobody"]),
        "ours_not_called": [ours.meter_id],
        "unknown": ["nobody"],
    }


CONTRACT = {
    "id": 0,
    "level": "meter",
    "leap_event_id": "e1",
    "market_group_id": None,
    "meter_ids": ["m1"],
    "start_time": "",
    "end_time": "",
    "status": "scheduled",
    "cancelled": False,
    "energy_kw": 8.5,
    "nomination_kw": None,
    "priority": 1,
    "is_voluntary": False,
    "performance_compensation_cap": "up-to-nomination",
    "dispatch_event_types": ["standard"],
    "programs": ["CCA"],
    "test": None,
    "confirmed": True,
    "revision": 1,
    "extra": {},
}


@pytest.fixture
def three_events(db):
    now = timezone.now()
    event("past", starts_at=now - 3 * HOUR, ends_at=now - HOUR, programs=["ELRP"])
    event("live", starts_at=now - HOUR, ends_at=now + HOUR, meter_ids=["m1", "m2"], is_confirmed=False)
    event("next", starts_at=now + HOUR, ends_at=now + 2 * HOUR, market_group_id="g1", test="COMMUNICATION")
    return now


FILTERS = {
    "status": ({"status": "active"}, ["live"]),
    "program in any case": ({"program": "elrp"}, ["past"]),
    "a program is a whole word": ({"program": "EL"}, []),
    "meter in any case": ({"meter_id": "M2"}, ["live"]),
    "market group": ({"market_group_id": "g1"}, ["next"]),
    "test": ({"test": "communication"}, ["next"]),
    "leap event id": ({"leap_event_id": "past"}, ["past"]),
    "codes in any case": ({"status": "ACTIVE"}, ["live"]),
    "test in any case": ({"test": "Communication"}, ["next"]),
    "two at once": ({"status": "active", "program": "ELRP"}, []),
    "unconfirmed": ({"confirmed": "false"}, ["live"]),
    "nothing": ({}, ["live", "next", "past"]),
}


@pytest.mark.parametrize(("query", "found"), FILTERS.values(), ids=FILTERS.keys())
def test_filters_keep_what_they_say(viewer, three_events, query, found):
    assert names(viewer.get("/api/v1/events/", query)) == found


@pytest.mark.parametrize("name", ["leap_event_id", "market_group_id"])
def test_a_uuid_is_found_in_any_case(viewer, name):
    uuid = "0d61a3b2-1c7e-4b7e-9d3f-2a4b5c6d7e8f"
    event(uuid, market_group_id=uuid)

    assert names(viewer.get("/api/v1/events/", {name: uuid.upper()})) == [uuid]


def test_windows_are_half_open(viewer, three_events):
    edge = (three_events + HOUR).isoformat()

    assert names(viewer.get("/api/v1/events/", {"ends_after": edge})) == ["next"]
    assert names(viewer.get("/api/v1/events/", {"starts_before": edge})) == ["live", "past"]


def test_revisions_come_oldest_first_with_what_changed(viewer):
    row = event("e1")
    body = DispatchNotification.objects.create(received_at=timezone.now(), body=b"{}", sha256="s")
    for number, kind in enumerate([RevisionKind.CREATED, RevisionKind.ENDED_EARLY], start=1):
        EventRevision.objects.create(
            event=row,
            number=number,
            received_at=timezone.now(),
            source=Source.WEBHOOK,
            kind=kind,
            changes={"end_time": ["a", "b"]},
            notification=body,
        )

    first, second = viewer.get(f"/api/v1/events/{row.pk}/revisions/").json()["results"]

    assert (first["revision"], first["kind"], first["source"]) == (1, "created", "webhook")
    assert (second["kind"], second["changes"]) == ("ended_early", {"end_time": ["a", "b"]})
    assert second["notification_id"] == body.pk


def test_a_notification_names_the_outcome_of_each_timeslot(viewer):
    body = DispatchNotification.objects.create(
        received_at=timezone.now(), body=b"{}", sha256="s", status=NotificationStatus.RECORDED
    )
    NotificationItem.objects.create(
        notification=body, position=0, leap_event_id="e1", outcome=ItemOutcome.QUARANTINED, reason="Why."
    )

    shown = viewer.get("/api/v1/notifications/", {"leap_event_id": "e1"}).json()["results"][0]

    assert (shown["id"], shown["source"], shown["status"], shown["level"]) == (
        body.pk,
        "webhook",
        "recorded",
        None,
    )
    assert shown["items"] == [
        {"leap_event_id": "e1", "event_id": None, "outcome": "quarantined", "reason": "Why."}
    ]


def test_an_overlap_says_what_is_served_and_why_not(viewer):
    row = device()
    now = timezone.now()
    Overlap.objects.create(
        device=row,
        starts_at=now,
        ends_at=now + HOUR,
        event_ids=[1, 2],
        leap_event_ids=["a", "b"],
        served=["a"],
        not_served=[{"leap_event_id": "b", "reason": "Why."}],
    )

    shown = viewer.get("/api/v1/overlaps/", {"device_id": row.pk}).json()["results"][0]

    assert (shown["device_id"], shown["event_ids"], shown["served"]) == (row.pk, [1, 2], ["a"])
    assert shown["not_served"] == [{"leap_event_id": "b", "reason": "Why."}]


def test_a_page_of_events_costs_the_same_whatever_its_length(viewer):
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert viewer.get("/api/v1/events/").status_code == 200
        return len(queries)

    event("e0")
    viewer.get("/api/v1/events/")  # the key's use is noted once
    few = cost()
    for number in range(1, 6):
        event(f"e{number}", meter_ids=[f"m{number}"])

    assert cost() == few


def test_an_event_is_recalled_as_it_was_known_at_a_time(viewer):
    now = timezone.now()
    row = event("e1", meter_ids=["m1"], starts_at=now - HOUR, ends_at=now - HOUR / 2, is_ended_early=True)
    told = {"start_time": now - HOUR, "cancelled": False, "energy_kw": 5, "meter_ids": row.recipients.digest}
    for number, end in enumerate([now + HOUR, now - HOUR / 2], start=1):
        EventRevision.objects.create(
            event=row,
            number=number,
            received_at=now - HOUR * 3 / number,
            source=Source.WEBHOOK,
            kind=RevisionKind.CREATED if number == 1 else RevisionKind.ENDED_EARLY,
            fields=content(**told | {"end_time": end}),
        )

    def shown(at) -> tuple[int, str]:
        answer = viewer.get(f"/api/v1/events/{row.pk}/", {"as_of": at.isoformat()} if at else {})
        return answer.status_code, answer.json()["status"]

    assert shown(now - 4 * HOUR) == (404, 404)
    assert shown(now - 2 * HOUR) == (200, "scheduled")
    assert shown(now - HOUR * 3 / 4) == (200, "active")
    assert shown(None) == (200, "ended_early")


def content(**fields) -> dict[str, object]:
    """A revision's content as recording keeps it."""
    times = {name: fields[name].isoformat() for name in ("start_time", "end_time")}
    return (
        {
            "nomination_kw": None,
            "priority": 1,
            "is_voluntary": False,
            "performance_compensation_cap": "up-to-nomination",
            "dispatch_event_types": ["standard"],
            "programs": ["CCA"],
            "test": None,
            "market_group_id": None,
        }
        | fields
        | times
    )


def test_readiness_counts_devices_by_where_they_stand(viewer):
    one = meter(meter_id="m1")
    row = event("e1", meter_ids=["m1"], energy_kw="9", unmapped_meters=1)
    for state in ("ACKNOWLEDGED", "SENT"):
        plan = DeviceSchedule.objects.create(
            device=device(one), version=1, created_at=timezone.now(), digest="d", state=state
        )
        ScheduleSegment.objects.create(
            schedule=plan,
            device=plan.device,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            mode="CURTAIL",
            target_kw=5,
            leap_event_ids=["e1"],
        )

    shown = viewer.get(f"/api/v1/events/{row.pk}/readiness/").json()

    assert shown["devices"] == 2
    assert (shown["ready"], shown["confirmed"], shown["unacknowledged"]) == (1, 1, 1)
    assert (shown["ready_kw"], shown["planned_kw"], shown["asked_kw"]) == (5, 10, 9)
    assert shown["causes"] == ["1 unacknowledged", "1 meter without a device"]
