"""Overrides, replay and preview: what an operator does over the API reaches the stages' own functions."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from dispatch.models import DispatchEvent, DispatchNotification, Doubt, NotificationStatus, Override
from tests.builders import device, meter
from tests.rows import event

HOUR = timedelta(hours=1)
PAYLOADS = Path(__file__).parent.parent / "payloads"


def override(**fields) -> dict[str, object]:
    return {
        "scope": "device",
        "target": "pack-1",
        "action": "hold",
        "ends_at": (timezone.now() + HOUR).isoformat(),
    } | fields


def test_a_program_is_found_by_its_code_in_any_case(operator):
    event(programs=["CCA"])
    answer = operator.post("/api/v1/overrides/", override(scope="program", target="cca"))
    assert (answer.status_code, answer.json()["scope"], answer.json()["target"]) == (201, "program", "CCA")
    unknown = operator.post("/api/v1/overrides/", override(scope="program", target="ELRP"))
    assert unknown.status_code == 400
    assert "No program is called" in unknown.content.decode()


def test_a_hold_is_stored_with_who_made_it_and_waits_to_be_planned(operator):
    device(external_id="pack-1")

    answer = operator.post("/api/v1/overrides/", override(reason="Fuse box."))

    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["scope"], shown["target"], shown["action"]) == ("device", "pack-1", "hold")
    assert (shown["reason"], shown["created_by"], shown["target_kw"]) == ("Fuse box.", "key operator", None)
    assert Override.objects.get().plan_requested_at
    assert Override.objects.get().starts_at == Override.objects.get().created_at


def test_an_override_is_ended_once(operator):
    device(external_id="pack-1")
    made = operator.post("/api/v1/overrides/", override()).json()

    ended = operator.post(f"/api/v1/overrides/{made['id']}/end/")
    again = operator.post(f"/api/v1/overrides/{made['id']}/end/")

    assert (ended.status_code, ended.json()["ended_by"]) == (200, "key operator")
    assert again.status_code == 400


REFUSED = {
    "unknown device": {"target": "nobody"},
    "over already": {"ends_at": "2020-01-01T00:00:00Z", "starts_at": "2019-01-01T00:00:00Z"},
    "power of a hold": {"target_kw": 5},
    "no such action": {"action": "explode"},
    "a null character": {"reason": "a\x00"},
    "a time beyond the calendar": {"ends_at": "9999-12-31T23:59:59-14:00"},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_a_senseless_override_is_refused(operator, change):
    device(external_id="pack-1")

    assert operator.post("/api/v1/overrides/", override(**change)).status_code == 400
    assert not Override.objects.exists()


def test_opting_out_of_a_commitment_needs_to_be_said_with_a_reason(operator):
    device(meter(meter_id="m1"), external_id="pack-1")
    now = timezone.now()
    event("e1", meter_ids=["m1"], starts_at=now, ends_at=now + 2 * HOUR)

    assert operator.post("/api/v1/overrides/", override(action="opt_out")).status_code == 400
    sure = override(action="opt_out", confirm_commitment=True, reason="The customer asked.")
    assert operator.post("/api/v1/overrides/", sure).status_code == 201


def test_a_doubt_is_settled_once(operator):
    row = event("e1", is_confirmed=False)
    doubt = Doubt.objects.create(event=row, raised_at=timezone.now(), why="Late?", digest="d")

    (shown,) = operator.get("/api/v1/doubts/", {"open": "true"}).json()["results"]
    settled = operator.post(f"/api/v1/doubts/{doubt.pk}/settle/", {"verdict": "keep"})
    again = operator.post(f"/api/v1/doubts/{doubt.pk}/settle/", {"verdict": "keep"})

    assert (shown["leap_event_id"], shown["why"], shown["verdict"]) == ("e1", "Late?", "")
    assert (settled.json()["verdict"], settled.json()["settled_by"]) == ("kept", "key operator")
    assert again.status_code == 400
    assert operator.get(f"/api/v1/events/{row.pk}/").json()["confirmed"] is True


def test_a_replay_records_what_was_left(operator):
    row = DispatchNotification.objects.create(
        received_at=timezone.now(), body=b"[]", sha256="s", status=NotificationStatus.QUARANTINED
    )

    answer = operator.post(f"/api/v1/notifications/{row.pk}/replay/")

    assert (answer.status_code, answer.json()["status"]) == (200, "quarantined")


def test_a_preview_tells_each_device_and_stores_nothing(viewer):
    guide = json.loads((PAYLOADS / "guide-group-notification.json").read_text())
    dispatch = guide["group_dispatches"][0]
    start = timezone.now().replace(microsecond=0) + HOUR
    dispatch["timeslots"][0] |= {
        "start_time": start.isoformat(),
        "end_time": (start + HOUR).isoformat(),
    }
    row = device(meter(meter_id=dispatch["meter_ids"][0]), rated_power_kw=50)

    shown = viewer.post("/api/v1/plans/preview/", guide).json()

    (planned,) = shown["devices"]
    assert planned["device_id"] == row.pk
    assert [one["target_kw"] for one in planned["segments"]] == [8.5]
    assert planned["segments"][0]["start"] == start.isoformat().replace("+00:00", "Z")
    assert (planned["before"], planned["changed"]) == ([], True)
    (asked,) = shown["events"]
    assert (asked["id"], asked["level"], asked["before"]) == (None, "group", None)
    assert asked["after"] == {
        "devices": 1,
        "planned_kw": 8.5,
        "planned_kwh": 8.5,
        "shortfall_kw": 0,
        "not_served": [],
    }
    assert (shown["unmapped_meters"], shown["problems"]) == (1, [])
    assert not DispatchEvent.objects.exists()
