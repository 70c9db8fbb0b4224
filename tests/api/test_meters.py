"""Meters, market groups and files of them over the API."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from devices.models import Device
from meters.models import MarketGroupMembership, Meter
from tests.builders import device, group, meter

NEW = {
    "meter_id": "0D61-a",
    "partner_reference": "Site 7",
    "programs": ["CCA"],
    "transmission_region": "CAISO",
}


def test_a_created_meter_is_answered_as_stored_and_planned(admin):
    answer = admin.post("/api/v1/meters/", NEW)

    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["meter_id"], shown["programs"], shown["market_groups"]) == ("0d61-a", ["CCA"], [])
    assert (shown["enrollment_status"], shown["participation"]) == ("ACTIVE", "PARTICIPATE")
    assert shown["dispatchable"] is False
    assert shown["not_dispatchable_because"]
    assert Meter.objects.get().plan_requested_at


def test_a_mapped_meter_names_its_devices_and_groups(viewer):
    row = meter(meter_id="m1")
    device(row, external_id="pack-1")
    group(row, market_group_id="g1")

    shown = viewer.get("/api/v1/meters/m1/").json()

    assert (shown["devices"], shown["market_groups"]) == (["pack-1"], ["g1"])
    assert (shown["dispatchable"], shown["not_dispatchable_because"]) == (True, "")
    assert viewer.get("/api/v1/market-groups/g1/").json()["meter_ids"] == ["m1"]


@pytest.mark.parametrize("resource", ["devices", "schedules", "market-groups", "meters/M1"])
def test_a_meter_is_found_by_its_id_in_any_case(viewer, resource):
    row = meter(meter_id="m1")
    device(row, external_id="pack-1")
    group(row, market_group_id="g1")
    device(meter(meter_id="m2"), external_id="pack-2")

    shown = viewer.get(f"/api/v1/{resource}/", {"meter_id": "M1"}).json()

    assert shown.get("count", 1) == 1, shown


def test_a_change_keeps_the_id_and_makes_an_idle_meter_not_dispatchable(admin):
    device(meter(meter_id="m1"))

    shown = admin.patch("/api/v1/meters/m1/", {"participation": "idle", "meter_id": "m2"}).json()

    assert (shown["meter_id"], shown["participation"], shown["dispatchable"]) == ("m1", "IDLE", False)


REFUSED = {
    "taken id": ({"meter_id": "m1"}, "meter_id"),
    "no id": ({"meter_id": None}, "meter_id"),
    "a zone nobody knows": ({"timezone": "Mars/Olympus"}, "timezone"),
    "programs that are no list": ({"programs": {"a": 1}}, "programs"),
    "a negative nomination": ({"nomination_kw": -3}, "nomination_kw"),
    "too long a name": ({"name": "x" * 201}, "name"),
}


@pytest.mark.parametrize(("change", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_meter_is_refused_by_the_name_of_the_field(admin, change, field):
    meter(meter_id="m1")

    answer = admin.post("/api/v1/meters/", NEW | change)

    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]


def send(client, path: str, text: str | bytes):
    return client.generic("POST", path, text, content_type="text/csv")


def test_an_import_is_a_dry_run_until_it_is_told_to_commit(admin):
    meter(meter_id="m1", name="Old")
    text = "meter_id,name,programs\nM1,New,\nm2,Second,CCA;ELRP\n"

    dry = send(admin, "/api/v1/meters/import/", text).json()
    assert (dry, Meter.objects.count()) == ({"applied": False, "created": 1, "updated": 1, "errors": {}}, 1)

    done = send(admin, "/api/v1/meters/import/?commit=true", text).json()
    assert done == {"applied": True, "created": 1, "updated": 1, "errors": {}}
    assert dict(Meter.objects.values_list("meter_id", "name")) == {"m1": "New", "m2": "Second"}
    assert Meter.objects.get(meter_id="m2").programs == ["CCA", "ELRP"]


def test_one_wrong_row_keeps_the_whole_file_out(admin):
    meter(meter_id="m1")
    text = "external_id,kind,rated_power_kw,meter_ids\na,battery,5,m1\nb,toaster,x,m1\n"

    dry = send(admin, "/api/v1/devices/import/", text)
    done = send(admin, "/api/v1/devices/import/?commit=true", text)

    assert (dry.status_code, list(dry.json()["errors"]["3"])) == (200, ["kind", "rated_power_kw"])
    assert (done.status_code, list(done.json()["errors"])) == (400, ["3"])
    assert not Device.objects.exists()


def test_devices_and_their_mapping_come_in_a_form_too(admin):
    meter(meter_id="m1")
    meter(meter_id="m2")
    file = SimpleUploadedFile("d.csv", b"external_id,kind,rated_power_kw,meter_ids\na,battery,5.5,m1 M2\n")

    answer = admin.post("/api/v1/devices/import/?commit=true", {"file": file}, format="multipart")

    assert answer.json() == {"applied": True, "created": 1, "updated": 0, "errors": {}}
    assert list(Device.objects.get().meters.order_by("meter_id").values_list("meter_id", flat=True)) == [
        "m1",
        "m2",
    ]


UNREADABLE = {
    "empty": b"",
    "only a header": b"meter_id\n",
    "no UTF-8": b"meter_id\n\xff\xfe\n",
    "unknown column": b"meter_id,secret\nm1,x\n",
    "an open quote": b'meter_id,name\nm1,"x\n',
    "a key twice": b"meter_id\nm1\nM1\n",
    "a surplus cell": b"meter_id\nm1,x\n",
    "a null character": b"meter_id,name\nm1,a\x00b\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(admin, text):
    answer = send(admin, "/api/v1/meters/import/?commit=true", text)

    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"]
    assert not Meter.objects.exists()


def test_a_group_says_who_is_in_it_at_a_time_by_period_and_counts_a_meter_once(viewer):
    one, two = meter(meter_id="m1"), meter(meter_id="m2")
    south = group(one, market_group_id="g1", since=datetime(2026, 6, 1, tzinfo=UTC))
    for program in ("CCA", "ELRP"):
        MarketGroupMembership.objects.create(
            group=south,
            meter=two,
            program=program,
            delivery_period="CCA_2026_AUG",
            starts_at=datetime(2026, 8, 1, tzinfo=UTC),
            ends_at=datetime(2026, 9, 1, tzinfo=UTC),
        )

    def shown(at: str) -> dict:
        return viewer.get("/api/v1/market-groups/g1/", {"at": at}).json()

    assert shown("2026-07-31T23:59:59Z")["meter_ids"] == ["m1"]
    august = shown("2026-08-01T00:00:00Z")
    assert august["meter_ids"] == ["m1", "m2"]
    assert august["memberships"][1] == {
        "meter_id": "m2",
        "program": "CCA",
        "delivery_period": "CCA_2026_AUG",
        "starts_at": "2026-08-01T00:00:00Z",
        "ends_at": "2026-09-01T00:00:00Z",
    }
    assert shown("2026-09-01T00:00:00Z")["meter_ids"] == ["m1"]
    assert viewer.get("/api/v1/market-groups/", {"at": "2026-05-01"}).json()["results"][0]["meter_ids"] == []
    assert viewer.get("/api/v1/market-groups/", {"at": "soon"}).status_code == 400
