"""What Leap said, exactly; and what a body would do."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import Command, DeviceSchedule
from dispatch.models import DispatchEvent, DispatchNotification
from tests.bodies import METER, body, text, timeslot
from tests.builders import device, group, meter
from tests.people import person

pytestmark = pytest.mark.django_db


def stored(raw: bytes, **fields) -> DispatchNotification:
    """A notification as received."""
    values = {"received_at": timezone.now(), "body": raw, "sha256": hashlib.sha256(raw).hexdigest()}
    return DispatchNotification.objects.create(**values | fields)


@pytest.mark.parametrize(
    "raw", [b'{"a":1}', b"\xff\xfe not text", b'{"a": "<script>alert(1)</script>"}', b""]
)
def test_the_exact_bytes_go_to_admins_and_are_never_shown_as_a_page(client, raw):
    row = stored(raw)
    client.force_login(person("operator"))
    assert client.get(f"/notifications/{row.pk}/body/").status_code == 403
    page = client.get(f"/notifications/{row.pk}/")
    assert page.status_code == 200
    assert b"<script>alert" not in page.content
    client.force_login(person("admin"))
    answer = client.get(f"/notifications/{row.pk}/body/")
    assert answer.content == raw
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")


def test_replay_after_a_fix_makes_the_events_and_twice_makes_no_more(client):
    client.force_login(person("operator"))
    row = stored(body(), status="QUARANTINED", reason="Before the fix.")
    for _ in range(2):
        page = client.post(f"/notifications/{row.pk}/replay/", follow=True)
    assert DispatchEvent.objects.count() == 1
    assert "New event" in page.content.decode()


def test_a_notification_is_found_by_event_number_and_hash(client):
    client.force_login(person("viewer"))
    row, other = stored(body()), stored(b"{}")
    row.items.create(position=0, outcome="CREATED", leap_event_id="abc")
    for wanted in ("ABC", str(row.pk), row.sha256[:12]):
        found = [each.id for each in client.get(f"/notifications/?q={wanted}").context["list"].rows]
        assert row.pk in found
        assert other.pk not in found


def test_a_preview_shows_the_plan_and_leaves_no_trace(client):
    client.force_login(person("viewer"))
    battery = device(meter(meter_id=METER))
    now = timezone.now().replace(microsecond=0)
    pasted = body(
        timeslot(start_time=text(now), end_time=text(now + timedelta(hours=6)), energy_kw=4),
        timeslot("other", energy_kw="much"),
    )
    page = client.post("/preview/", {"body": pasted.decode()})
    shown = page.content.decode()
    assert battery.external_id in shown
    assert "Curtail 4 kW" in shown
    assert page.context["result"].problems[0][0] == "other"
    assert not DispatchEvent.objects.exists() | DeviceSchedule.objects.exists() | Command.objects.exists()


@pytest.mark.parametrize("pasted", ["", "not json", "[1]", "{" * 100])
def test_a_preview_of_what_is_no_body_says_so_under_the_field(client, pasted):
    client.force_login(person("viewer"))
    page = client.post("/preview/", {"body": pasted})
    assert page.status_code == 422
    assert page.context["form"].errors["body"]


def test_the_example_names_meters_that_are_there_and_can_be_previewed(client):
    client.force_login(person("viewer"))
    one = meter()
    battery = device(one)
    group(one)
    example = client.get("/preview/?example=1").context["form"].initial["body"]
    page = client.post("/preview/", {"body": example})
    assert page.context["result"].problems == ()
    assert [each.devices for each in page.context["compared"].cases] == [((battery.pk, str(battery)),)]
