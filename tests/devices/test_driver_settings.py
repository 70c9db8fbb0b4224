"""Settings of drivers are checked wherever they are written, and their secrets are never shown again."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from devices.driver_settings import MASK, blanked, completed, shown
from devices.models import Device
from tests.builders import device
from tests.devices.http_device import SECRET
from tests.devices.test_admin import form_of
from tests.people import person

NEWER = "whsec_" + "bmV3ZXItY2FuYXJ5LW9mLWEtZGV2aWNl"
URL = "https://gateway.example.com/7"
HELD = {"url": URL, "secret": SECRET}
CANARIES = [SECRET.removeprefix("whsec_"), NEWER.removeprefix("whsec_")]

KEPT = {
    "left out": ({"url": URL}, HELD),
    "empty": ({"url": URL, "secret": ""}, HELD),
    "masked": ({"url": URL, "secret": MASK}, HELD),
    "null": ({"url": URL, "secret": None}, {"url": URL}),
    "another": ({"url": URL, "secret": NEWER}, {"url": URL, "secret": NEWER}),
    "all else goes": ({}, {"secret": SECRET}),
    "no object": ([1], [1]),
}


@pytest.mark.parametrize(("given", "stored"), KEPT.values(), ids=KEPT.keys())
def test_a_secret_that_is_not_given_again_stays(given, stored):
    assert completed("http", given, held_driver="http", held=HELD) == stored


def test_a_mask_is_never_stored_and_a_secret_does_not_follow_to_another_driver():
    assert completed("http", {"url": URL, "secret": MASK}, held_driver="http", held={}) == {"url": URL}
    assert completed("http", {"url": URL}, held_driver="simulator", held=HELD) == {"url": URL}


SHOWN = {
    "a secret": ("http", HELD, {"url": URL, "secret": MASK}),
    "none": ("http", {"url": URL, "secret": ""}, {"url": URL, "secret": ""}),
    "of no known driver": ("gone", {"token": "t"}, {"token": MASK}),
    "no object": ("http", [1], [1]),
}


@pytest.mark.parametrize(("driver", "settings", "seen"), SHOWN.values(), ids=SHOWN.keys())
def test_secrets_are_masked(driver, settings, seen):
    assert shown(driver, settings) == seen


def test_a_typed_secret_is_not_sent_back():
    assert blanked("http", HELD) == {"url": URL, "secret": ""}
    assert blanked("http", {"secret": MASK}) == {"secret": MASK}
    assert blanked("http", {"secret": None}) == {"secret": None}


@pytest.fixture
def admin():
    return person("admin")


@pytest.fixture
def api(admin):
    client = APIClient()
    client.force_login(admin)
    return client


@pytest.fixture
def desk(admin):
    client = Client()
    client.force_login(admin)
    return client


def says_no_secret(answer):
    return not any(canary in answer.content.decode() for canary in CANARIES)


WRONG = {
    "an address that leads here": ({"url": "http://127.0.0.1/", "secret": NEWER}, "DEVICE_NETWORKS"),
    "a secret that is none": ({"url": URL, "secret": NEWER[:-4]}, "“secret” must be"),
    "no address": ({"secret": NEWER}, "“url” is missing"),
    "a name that is misspelt": ({"url": URL, "secret": NEWER, "adress": 1}, "“adress” is not a setting"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("settings", "words"), WRONG.values(), ids=WRONG.keys())
def test_the_api_the_admin_and_files_refuse_what_the_driver_cannot_use(api, desk, settings, words):
    row = device(external_id="pack-1", driver="http", settings=HELD)
    path = f"/api/v1/devices/{row.pk}/"
    new = {"external_id": "pack-2", "rated_power_kw": 5, "driver": "http", "settings": settings}
    csv = 'external_id,rated_power_kw,driver,settings\npack-1,5,http,"{}"\n'.format(
        json.dumps(settings).replace('"', '""')
    )
    answers = [
        api.post("/api/v1/devices/", new, format="json"),
        api.patch(path, {"settings": settings}, format="json"),
        api.generic("POST", "/api/v1/devices/import/?commit=true", csv, "text/csv"),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert words in answer.content.decode()
        assert says_no_secret(answer)
    address = reverse("admin:devices_device_change", args=[row.pk])
    refused = desk.post(address, form_of(desk, address) | {"settings": json.dumps(settings)})
    assert refused.status_code == 200
    assert words in refused.content.decode()
    assert says_no_secret(refused)
    assert Device.objects.get().settings == HELD


@pytest.mark.django_db
def test_a_driver_is_not_taken_without_the_settings_it_needs(api):
    row = device()
    answer = api.patch(f"/api/v1/devices/{row.pk}/", {"driver": "http"}, format="json")
    assert answer.status_code == 400
    assert "“url” is missing" in answer.content.decode()


@pytest.mark.django_db
def test_the_api_keeps_a_secret_and_shows_none(api):
    new = {"external_id": "pack-2", "rated_power_kw": 5, "driver": "http", "settings": HELD}
    made = api.post("/api/v1/devices/", new, format="json")
    assert made.status_code == 201
    path = f"/api/v1/devices/{made.json()['id']}/"
    moved = api.patch(path, {"settings": {"url": URL + "/x"}}, format="json")
    assert Device.objects.get().settings == {"url": URL + "/x", "secret": SECRET}
    replaced = api.patch(path, {"settings": {"url": URL, "secret": NEWER}}, format="json")
    assert Device.objects.get().settings["secret"] == NEWER
    for answer in [made, moved, replaced, api.get(path), api.get("/api/v1/devices/")]:
        assert says_no_secret(answer)


@pytest.mark.django_db
def test_the_admin_masks_a_secret_and_keeps_it_unless_another_is_typed(desk):
    row = device(external_id="pack-1", driver="http", settings=HELD)
    address = reverse("admin:devices_device_change", args=[row.pk])
    page = desk.get(address)
    assert MASK in page.content.decode()
    assert says_no_secret(page)

    def save(**fields):
        assert desk.post(address, form_of(desk, address) | fields).status_code == 302
        return Device.objects.get().settings

    assert save(name="Pack") == HELD
    assert save(settings=json.dumps({"url": URL + "/x", "secret": ""})) == {
        "url": URL + "/x",
        "secret": SECRET,
    }
    assert save(settings=json.dumps({"url": URL, "secret": NEWER})) == {"url": URL, "secret": NEWER}
    history = desk.get(reverse("admin:devices_device_history", args=[row.pk]))
    assert says_no_secret(history)
    assert LogEntry.objects.count() == 3


@pytest.mark.django_db
def test_a_file_that_would_change_secrets_says_so_without_them(desk):
    device(external_id="pack-1", driver="http", settings=HELD)
    device(external_id="pack-2", driver="http", settings=HELD)
    rows = [("pack-1", {"url": URL}), ("pack-2", {"url": URL, "secret": NEWER}), ("pack-3", HELD)]
    lines = [f'{name},10,http,"{json.dumps(given)}"'.replace('"', '""') for name, given in rows]
    lines = [line.replace('""{', '"{', 1).replace('}""', '}"') for line in lines]
    text = "\n".join(["external_id,rated_power_kw,driver,settings", *lines])
    page = desk.post(reverse("dispatch:device-import"), {"csv": text})
    assert page.status_code == 200
    diff = page.context["diff"]
    assert (diff.new, diff.changed, diff.same) == (1, 1, 1)
    assert not any(canary in repr(diff) for canary in CANARIES)
    desk.post(reverse("dispatch:device-import"), {"csv": text, "apply": "1"})
    stored = dict(Device.objects.values_list("external_id", "settings"))
    assert stored == {"pack-1": HELD, "pack-2": {"url": URL, "secret": NEWER}, "pack-3": HELD}
