"""Meters: can each be dispatched, and if not, why not; mapping, arming, files in and out."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from devices.models import Device
from meters.models import Meter
from tests.builders import device, meter
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client):
    client.force_login(person("admin"))


def words(answer) -> str:
    """The page's text without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.parametrize(
    ("tab", "fields", "devices", "sentence"),
    [
        ("yes", {}, [True], "Ready, up to 10 kW."),
        ("yes", {}, [True, False], "Ready, 1 of 2 devices online."),
        ("no", {}, [False], "Not ready: the device is offline"),
        ("no", {}, [], "Not ready: no device is mapped."),
        ("no", {"participation": "IDLE"}, [True], "Not ready: "),
        ("no", {"participation": "DISENROLL"}, [True], "Not ready: "),
        ("yes", {"enrollment_status": "PENDING"}, [True], "Ready, up to 10 kW."),
        ("archived", {"archived_at": timezone.now()}, [True], "Not ready: "),
    ],
    ids=["ready", "half-online", "offline", "no-device", "idle", "disenrolled", "pending", "archived"],
)
def test_the_sentence_and_the_tab_agree(client, boss, tab, fields, devices, sentence):
    one = meter(name="Alum Rock 110", **fields)
    for is_online in devices:
        device(one, is_online=is_online)
    for each in ("yes", "no", "archived"):
        page = words(client.get(f"/meters/?ready={each}"))
        assert ("Alum Rock 110" in page) == (each == tab)
        assert (sentence in page) == (each == tab)


def test_mapping_a_device_asks_for_a_plan_and_unmapping_undoes_it(client, boss):
    one, other = meter(), meter()
    battery = device(other, external_id="bat-1")
    Meter.objects.update(plan_requested_at=None)
    page = client.post(f"/meters/{one.meter_id}/devices/", {"external_id": "bat-1"}, follow=True)
    assert "bat-1 now sits behind" in words(page)
    assert set(battery.meters.all()) == {one, other}
    one.refresh_from_db()
    assert one.plan_requested_at is not None
    client.post(f"/meters/{one.meter_id}/devices/{battery.pk}/unmap/")
    assert set(battery.meters.all()) == {other}


def test_mapping_a_device_nobody_knows_says_so_under_the_field(client, boss):
    one = meter()
    page = client.post(f"/meters/{one.meter_id}/devices/", {"external_id": "bat-9"})
    assert page.status_code == 422
    assert "No device has this external id." in words(page)


@pytest.mark.parametrize(("hours", "is_armed"), [("1", True), ("168", True), ("169", False), ("", False)])
def test_a_meter_is_armed_for_seven_days_at_most(client, boss, hours, is_armed):
    one = meter()
    client.post(f"/meters/{one.meter_id}/arm/", {"hours": hours})
    one.refresh_from_db()
    assert (one.test_armed_until is not None) == is_armed
    if is_armed:
        assert one.test_armed_until <= timezone.now() + timedelta(days=7)
        client.post(f"/meters/{one.meter_id}/disarm/")
        one.refresh_from_db()
        assert one.test_armed_until is None


def test_a_file_is_shown_as_a_diff_before_it_changes_anything(client, boss):
    known = meter(name="Old name", nomination_kw="9.6")
    text = f"meter_id,name,nomination_kw\n{known.meter_id},New name,9.600\nbrand-new,Another,5\n"
    page = client.post("/meters/import/", {"file": SimpleUploadedFile("m.csv", text.encode())})
    assert "1 new, 1 changed, 0 the same" in words(page)
    assert "<del>Old name</del> <ins>New name</ins>" in page.content.decode()
    known.refresh_from_db()
    assert (known.name, Meter.objects.count()) == ("Old name", 1)
    client.post("/meters/import/", {"csv": text, "apply": "1"})
    known.refresh_from_db()
    assert (known.name, Meter.objects.count()) == ("New name", 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Choose a file, or paste its lines below."),
        ("meter_id,colour\na,red", "colour"),
        ("meter_id,nomination_kw\na,much", "nomination_kw: A valid number is required."),
        ("meter_id,name\na,x\na,y", "meter_id: An earlier row has the same."),
    ],
    ids=["nothing", "unknown-column", "no-number", "twice"],
)
def test_a_file_that_cannot_be_read_changes_nothing_and_says_why(client, boss, text, sentence):
    page = client.post("/meters/import/", {"csv": text, "apply": "1"})
    assert page.status_code == 422
    assert sentence in words(page)
    assert not Meter.objects.exists()


def test_what_is_exported_can_be_imported_again_and_changes_nothing(client, boss):
    one = meter(name="=1+1", programs=["CCA", "ELRP"], nomination_kw="9.6", timezone="America/Los_Angeles")
    device(one, external_id="bat-1", name="@home", kind="BATTERY", may_export=True)
    for name in ("meters", "devices"):
        text = client.get(f"/{name}/export/").content
        assert b",=" not in text
        assert b",@" not in text
        page = client.post(f"/{name}/import/", {"file": SimpleUploadedFile("x.csv", text)})
        assert "0 new, 0 changed, 1 the same" in words(page)


def test_devices_are_imported_with_the_meters_they_sit_behind(client, boss):
    one = meter()
    text = f"external_id,kind,meter_ids,rated_power_kw\nbat-1,battery,{one.meter_id},11.5"
    assert "1 new" in words(client.post("/devices/import/", {"csv": text}))
    client.post("/devices/import/", {"csv": text, "apply": "1"})
    assert list(Device.objects.get().meters.all()) == [one]
