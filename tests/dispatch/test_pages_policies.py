"""The pages, the admin and the API of response policies."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from devices.models import Device
from dispatch.policy_models import PolicyAssignment, PolicyVersion, ProgramPrice, ResponsePolicy
from tests.builders import device, meter
from tests.people import bearer, person

pytestmark = pytest.mark.django_db

TYPED = {
    "name": "Cool house",
    "longest_run_minutes": "180",
    "rest_minutes": "120",
    "hours_a_day": "4",
    "events_a_day": "",
    "blackouts": "22:00-06:00\r\n07:00-09:00 Mon",
    "notice_minutes": "0",
    "ignore_below_kw": "0",
    "plans_energy": "on",
    "reserve_percent": "20",
    "lowest_percent": "5",
    "highest_percent": "100",
    "expected_percent": "",
    "recharge_minutes": "480",
    "may_export": "on",
    "discharge": "FIXED",
    "expected_load_kw": "",
    "beyond_award": "UP_TO_CAP",
    "when_short": "SPREAD",
    "voluntary": "REDUCE",
    "keep_percent": "50",
    "below_charge_percent": "40",
    "voluntary_hours": "17:00-21:00\r\n",
    "comfort_price": "1.5",
    "ramp_minutes": "5",
    "precondition_minutes": "60",
    "recovery_minutes": "30",
}


@pytest.fixture
def admin(client):
    client.force_login(person("admin"))
    return client


def add(admin, **typed) -> ResponsePolicy:
    answer = admin.post("/policies/add/", TYPED | typed)
    assert answer.status_code == 302, answer.content.decode()
    return ResponsePolicy.objects.get(pk=answer["Location"].split("/")[2])


def test_a_template_fills_the_form_and_what_is_typed_becomes_a_policy(admin):
    assert (
        'value="Smart thermostat"' in admin.get("/policies/add/?template=smart-thermostat").content.decode()
    )
    made = add(admin)
    shown = admin.get(f"/policies/{made.pk}/").content.decode()
    assert "At most 3 h in a run." in shown
    assert "At most 4 h a day." in shown
    assert "Never at 22:00–06:00, 07:00–09:00 Mon." in shown
    assert "Cool house" in admin.get("/policies/").content.decode()


def test_an_edit_is_a_version_and_a_mistake_is_told_at_its_field(admin):
    made = add(admin)
    wrong = admin.post(f"/policies/{made.pk}/edit/", TYPED | {"rest_minutes": "0"})
    assert wrong.status_code == 422
    assert "A longest run needs a rest after it" in wrong.content.decode()
    admin.post(f"/policies/{made.pk}/edit/", TYPED | {"hours_a_day": "5"})
    assert list(PolicyVersion.objects.order_by("number").values_list("number", "changed_by")) == [
        (1, "a-admin"),
        (2, "a-admin"),
    ]


def test_a_policy_is_given_shown_on_its_device_and_taken_away(admin):
    battery = device(meter(), external_id="pack-1")
    made = add(admin)
    path = f"/policies/{made.pk}/"
    assert (
        "No device is called"
        in admin.post(path + "assign/", {"scope": "DEVICE", "target": "x"}).content.decode()
    )
    admin.post(path + "assign/", {"scope": "DEVICE", "target": "pack-1"})
    admin.post(path + "assign/", {"scope": "FLEET"})
    assert (Device.objects.get().policy, PolicyAssignment.objects.count()) == ("Cool house", 1)
    assert Device.objects.get().plan_requested_at
    assert "Cool house v1" in admin.get(f"/devices/{battery.pk}/").content.decode()
    assert "pack-1" in admin.get(path).content.decode()
    admin.post(path + "delete/")
    assert ResponsePolicy.objects.exists()
    admin.post(path + "unassign/", {"scope": "FLEET"})
    admin.post(path + "unassign/", {"scope": "DEVICE", "target": "pack-1"})
    assert Device.objects.get().policy == ""
    admin.post(path + "delete/")
    assert not ResponsePolicy.objects.exists()


def test_a_viewer_reads_and_finds_no_button(client):
    client.force_login(person("admin"))
    made = add(client)
    client.force_login(person("viewer", name="vera"))
    shown = client.get(f"/policies/{made.pk}/").content.decode()
    assert "Take away" not in shown
    assert "/edit/" not in shown
    assert client.get("/policies/add/").status_code == 403


def test_the_admin_writes_policies_as_the_page_does(admin):
    inlines = {
        f"{name}-{count}_FORMS": 0 for name in ("assignments", "versions") for count in ("TOTAL", "INITIAL")
    }
    answer = admin.post("/admin/dispatch/responsepolicy/add/", TYPED | inlines)
    assert answer.status_code == 302, answer.content.decode()
    made = ResponsePolicy.objects.get()
    admin.post(f"/admin/dispatch/responsepolicy/{made.pk}/change/", TYPED | inlines | {"hours_a_day": "5"})
    made.refresh_from_db()
    assert (made.version, made.hours_a_day, made.versions.count()) == (2, 5, 2)
    assert admin.get(f"/admin/dispatch/responsepolicy/{made.pk}/change/").status_code == 200


def test_the_api_lists_policies_with_whom_they_are_for(admin):
    made = add(admin)
    admin.post(f"/policies/{made.pk}/assign/", {"scope": "FLEET", "target": ""})
    (shown,) = admin.get("/api/v1/policies/", headers=bearer("viewer")).json()["results"]
    assert (shown["name"], shown["version"], shown["strategies"]) == ("Cool house", 1, ["B", "C", "D"])
    assert (shown["reserve_percent"], shown["discharge"], shown["comfort_price"]) == (20, "fixed", 1.5)
    assert (shown["hours_a_day"], shown["events_a_day"]) == (4.0, None)
    assert shown["blackouts"] == ["22:00-06:00", "07:00-09:00 Mon"]
    assert shown["assigned_to"] == [{"scope": "fleet", "target": ""}]


def test_prices_are_set_changed_and_removed_on_the_page_and_in_the_admin(admin, client):
    told = admin.post("/policies/prices/", {"program": "ELRP", "usd_per_kwh": "0.4"}, follow=True)
    assert "ELRP pays 0.40 $/kWh." in told.content.decode()
    admin.post("/policies/prices/", {"program": "ELRP", "usd_per_kwh": "2"})
    (shown,) = admin.get("/api/v1/program-prices/", headers=bearer("viewer")).json()["results"]
    assert shown == {"program": "ELRP", "usd_per_kwh": 2.0}

    wrong = admin.post("/policies/prices/", {"program": "", "usd_per_kwh": "-1"})
    assert wrong.status_code == 422
    assert "Give 0 to 1,000 dollars per kWh." in wrong.content.decode()

    path = "/admin/dispatch/programprice/"
    admin.post(f"{path}{ProgramPrice.objects.get().pk}/change/", {"usd_per_kwh": "3"})
    assert ProgramPrice.objects.get().usd_per_kwh == 3
    admin.post(f"{path}add/", {"program": "CCA", "usd_per_kwh": "1"})
    admin.post("/policies/prices/remove/", {"program": "CCA"})
    selected = {"action": "delete_selected", "_selected_action": ProgramPrice.objects.get().pk, "post": "yes"}
    admin.post(path, selected)
    assert not ProgramPrice.objects.exists()
    client.force_login(person("operator"))
    assert client.post("/policies/prices/", {"program": "ELRP", "usd_per_kwh": "1"}).status_code == 403


def test_a_price_saved_in_the_admin_plans_again_who_is_under_a_price_of_comfort(admin):
    add(admin)
    path = f"/policies/{ResponsePolicy.objects.get().pk}/assign/"
    admin.post(path, {"scope": "DEVICE", "target": device(external_id="pack-1").external_id})
    other = device(external_id="pack-2", policy="Another")
    Device.objects.update(plan_requested_at=None)
    admin.post("/admin/dispatch/programprice/add/", {"program": "CCA", "usd_per_kwh": "1"})
    assert [row.external_id for row in Device.objects.exclude(plan_requested_at=None)] == ["pack-1"]
    assert not Device.objects.get(pk=other.pk).plan_requested_at


def test_a_device_shows_its_charge_and_its_customers_wish_which_operators_keep(client):
    row = device(
        meter(), external_id="pack-1", state_of_charge_percent="81.50", state_of_charge_at=timezone.now()
    )
    client.force_login(person("operator"))
    assert "81.5 %" in client.get(f"/devices/{row.pk}/").content.decode()
    client.post(f"/devices/{row.pk}/wish/", {"commitments_only": "yes"})
    client.post(f"/devices/{row.pk}/wish/", {"commitments_only": "yes"})
    row.refresh_from_db()
    assert (row.commitments_only, bool(row.plan_requested_at)) == (True, True)
    (said,) = LogEntry.objects.all()
    assert (said.user.username, said.change_message) == (
        "a-operator",
        "The customer answers commitments only.",
    )
    assert "pack-1" in client.get("/devices/?wish=commitments").content.decode()
    assert "No device matches" in client.get("/devices/?wish=all").content.decode()
