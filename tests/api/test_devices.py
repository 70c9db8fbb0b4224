"""Devices, schedules and commands over the API."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from devices.models import (
    Command,
    CommandAttempt,
    CommandState,
    Device,
    DeviceSchedule,
    ScheduleSegment,
    ScheduleState,
    SegmentMode,
)
from meters.models import Meter
from tests.builders import device, meter

HOUR = timedelta(hours=1)
BATTERY = {"external_id": "pack-1", "kind": "battery", "driver": "simulator", "rated_power_kw": 12.5}


def schedule(row: Device, *, version: int, start, superseded_at=None, kw: str | None = "5") -> DeviceSchedule:
    made = DeviceSchedule.objects.create(
        device=row,
        version=version,
        created_at=start - HOUR,
        superseded_at=superseded_at,
        state=ScheduleState.ACKNOWLEDGED,
    )
    ScheduleSegment.objects.create(
        schedule=made,
        device=row,
        starts_at=start,
        ends_at=start + HOUR,
        mode=SegmentMode.DISCHARGE,
        target_kw=kw and Decimal(kw),
        cap="up-to-site-load",
        is_commitment=True,
        leap_event_ids=["e1"],
        reason="The only event here.",
    )
    return made


def test_a_created_device_is_answered_as_stored_and_planned(admin):
    one = meter(meter_id="m1")

    answer = admin.post("/api/v1/devices/", BATTERY | {"meter_ids": ["M1"], "energy_capacity_kwh": 50})

    assert answer.status_code == 201
    row = Device.objects.get()
    assert answer.json() == {
        "id": row.pk,
        "external_id": "pack-1",
        "name": "",
        "kind": "battery",
        "driver": "simulator",
        "site": None,
        "meter_ids": ["m1"],
        "rated_power_kw": 12.5,
        "energy_capacity_kwh": 50.0,
        "may_export": False,
        "policy": "",
        "commitments_only": False,
        "state_of_charge_percent": None,
        "state_of_charge_at": None,
        "online": True,
        "last_seen_at": None,
    }
    assert row.plan_requested_at
    assert Meter.objects.get(pk=one.pk).plan_requested_at


def test_meter_ids_are_the_whole_list_and_what_is_left_out_stays(admin):
    old, new = meter(meter_id="old"), meter(meter_id="new")
    row = device(old, external_id="pack-1")

    admin.patch(f"/api/v1/devices/{row.pk}/", {"meter_ids": ["new"]})
    answer = admin.patch(f"/api/v1/devices/{row.pk}/", {"name": "Pack", "external_id": "other"})

    assert answer.json()["meter_ids"] == ["new"]
    assert (answer.json()["name"], answer.json()["external_id"]) == ("Pack", "pack-1")
    assert Meter.objects.filter(pk__in=[old.pk, new.pk], plan_requested_at__isnull=False).count() == 2


def test_a_state_of_charge_is_kept_with_its_time_and_weighed_before_it_is_planned(admin):
    row = device(meter(), external_id="pack-1")
    path = f"/api/v1/devices/{row.pk}/"

    shown = admin.patch(path, {"state_of_charge_percent": "81.25"}).json()
    row.refresh_from_db()
    assert (shown["state_of_charge_percent"], row.state_of_charge_at) == (81.25, row.weigh_requested_at)
    assert not row.plan_requested_at

    said = {"state_of_charge_percent": 80, "state_of_charge_at": "2026-07-14T20:00:00Z"}
    assert admin.patch(path, said).json()["state_of_charge_at"] == "2026-07-14T20:00:00Z"

    gone = {"state_of_charge_percent": None, "commitments_only": True}
    shown = admin.patch(path, gone, format="json").json()
    assert [shown[name] for name in (*said, "commitments_only")] == [None, None, True]
    row.refresh_from_db()
    assert row.plan_requested_at
    assert admin.get("/api/v1/devices/", {"commitments_only": "true"}).json()["count"] == 1


def test_readings_and_wishes_come_in_a_file(admin):
    row = device(external_id="pack-1")
    text = "external_id,rated_power_kw,commitments_only,state_of_charge_percent\npack-1,5,true,40\n"
    answer = admin.generic("POST", "/api/v1/devices/import/?commit=true", text, "text/csv")
    assert answer.json()["updated"] == 1, answer.content
    row.refresh_from_db()
    assert (row.commitments_only, row.state_of_charge_percent, bool(row.state_of_charge_at)) == (
        True,
        40,
        True,
    )


REFUSED = {
    "more than full": ({"state_of_charge_percent": 100.5}, "state_of_charge_percent"),
    "less than empty": ({"state_of_charge_percent": -1}, "state_of_charge_percent"),
    "a time without a charge": ({"state_of_charge_at": "2026-07-14T20:00:00Z"}, "state_of_charge_at"),
    "a charge of tomorrow": (
        {"state_of_charge_percent": 50, "state_of_charge_at": "2999-07-14T20:00:00Z"},
        "state_of_charge_at",
    ),
    "unknown meter": ({"meter_ids": ["nobody"]}, "meter_ids"),
    "unknown site": ({"site": "Nowhere"}, "site"),
    "unknown kind": ({"kind": "toaster"}, "kind"),
    "a kind that cannot be echoed": ({"kind": "\ud800"}, "kind"),
    "unknown driver": ({"driver": "telepathy"}, "driver"),
    "negative power": ({"rated_power_kw": -1}, "rated_power_kw"),
    "infinite power": ({"rated_power_kw": "Infinity"}, "rated_power_kw"),
    "power beyond the column": ({"rated_power_kw": 10**12}, "rated_power_kw"),
    "a null character": ({"name": "a\x00b"}, "name"),
    "a lone surrogate": ({"name": "\ud800"}, "name"),
    "a topic wildcard in the id": ({"external_id": "a/#"}, "external_id"),
    "settings that are no object": ({"settings": [1]}, "settings"),
    "a null character in settings": ({"settings": {"url": "\x00"}}, "settings"),
}


@pytest.mark.parametrize(("change", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_device_is_refused_by_the_name_of_the_field(admin, change, field):
    body = json.dumps(BATTERY | change)
    answer = admin.generic("POST", "/api/v1/devices/", body, content_type="application/json")

    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert not Device.objects.exists()


def test_the_newest_schedule_is_listed_and_an_older_one_as_of_its_time(viewer):
    row = device(meter(meter_id="m1"), external_id="pack-1")
    start = timezone.now()
    schedule(row, version=1, start=start, superseded_at=start, kw=None)
    schedule(row, version=2, start=start + HOUR)

    newest = viewer.get("/api/v1/schedules/", {"meter_id": "m1"}).json()["results"]
    older = viewer.get("/api/v1/schedules/", {"as_of": (start - HOUR / 2).isoformat()}).json()["results"]

    assert [one["version"] for one in newest] == [2]
    assert (newest[0]["external_id"], newest[0]["meter_ids"], newest[0]["state"]) == (
        "pack-1",
        ["m1"],
        "acknowledged",
    )
    segment = newest[0]["segments"][0]
    assert segment["start"].endswith("Z")
    assert (segment["target_kw"], segment["mode"], segment["commitment"]) == (5.0, "discharge", True)
    assert (older[0]["version"], older[0]["segments"][0]["target_kw"]) == (1, None)


def test_a_device_never_told_anything_has_an_empty_schedule(viewer):
    row = device()

    (shown,) = viewer.get("/api/v1/schedules/", {"device_id": row.pk}).json()["results"]

    assert (shown["version"], shown["segments"], shown["state"]) == (0, [], None)


def test_a_command_shows_every_attempt(viewer):
    row = device()
    now = timezone.now()
    command = Command.objects.create(
        device=row,
        schedule=schedule(row, version=3, start=now),
        key="k",
        created_at=now,
        due_at=now,
        expires_at=now + HOUR,
        state=CommandState.FAILED,
    )
    CommandAttempt.objects.create(command=command, started_at=now, outcome="REJECTED", detail="Busy.")

    shown = viewer.get("/api/v1/commands/", {"state": "failed"}).json()["results"][0]

    assert (shown["id"], shown["device_id"], shown["kind"]) == (command.pk, row.pk, "schedule")
    assert shown["schedule_version"] == 3
    assert [(one["outcome"], one["detail"], one["finished_at"]) for one in shown["attempts"]] == [
        ("rejected", "Busy.", None)
    ]


@pytest.mark.parametrize("resource", ["devices", "schedules", "commands", "meters", "market-groups"])
def test_a_page_costs_the_same_whatever_its_length(viewer, resource, django_assert_num_queries):
    def one_more(number: int) -> None:
        from tests.builders import group  # noqa: PLC0415 - only this test needs groups

        where = meter(meter_id=f"m{number}")
        group(where)
        row = device(where)
        now = timezone.now()
        Command.objects.create(
            device=row,
            schedule=schedule(row, version=1, start=now),
            key=f"k{number}",
            created_at=now,
            due_at=now,
            expires_at=now + HOUR,
        )

    one_more(0)
    viewer.get(f"/api/v1/{resource}/")  # the key's use is noted once
    with django_assert_num_queries(COST[resource]):
        viewer.get(f"/api/v1/{resource}/")
    for number in range(1, 5):
        one_more(number)
    with django_assert_num_queries(COST[resource]):
        assert viewer.get(f"/api/v1/{resource}/").json()["count"] == 5


COST = {"devices": 4, "schedules": 7, "commands": 4, "meters": 9, "market-groups": 4}
