"""Devices found at the broker are listed until an admin maps or dismisses them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.discovering import record_announcements
from devices.domain.discovery import Announcement, Found
from devices.models import Device
from dispatch.reading.found import SHOWN
from tests.builders import meter
from tests.people import person

pytestmark = pytest.mark.django_db


def find(*names):
    said = [
        Announcement(
            f"homeassistant/device/{name}/config",
            Found(name, f"<b>{name}", "Acme", "13", rated_kw=Decimal(5)),
        )
        for name in names
    ]
    record_announcements(said, now=timezone.now())


def page(client, role="admin"):
    user = User.objects.filter(username=f"a-{role}").first() or person(role)
    client.force_login(user)
    return client.get("/devices/").content.decode()


def test_what_was_found_is_listed_until_it_is_mapped_or_dismissed(client):
    assert "Found at the broker" not in page(client)
    find("wall", "pump")
    shown = page(client)
    assert shown.count("Dismiss<") == 2 and "Acme 13" in shown and "&lt;b&gt;wall" in shown

    wall, pump = Device.objects.get(external_id="wall"), Device.objects.get(external_id="pump")
    answer = client.post(f"/devices/{wall.pk}/dismiss/", follow=True).content.decode()
    assert "is dismissed. It stays without a meter" in answer and answer.count("Dismiss<") == 1
    pump.meters.add(meter())
    assert "Found at the broker" not in page(client)
    again = client.post(f"/devices/{pump.pk}/dismiss/", follow=True).content.decode()
    assert "does not wait any more" in again
    assert Device.objects.count() == 2

    listed = client.post(
        "/admin/devices/founddevice/",
        {"action": "list_again", "_selected_action": [wall.found.pk]},
        follow=True,
    )
    assert "Devices listed again: 1." in listed.content.decode()
    assert "Found at the broker" in page(client)


def test_an_operator_sees_them_and_decides_nothing(client):
    find("wall")
    assert "Dismiss<" not in page(client, "operator") and "An admin decides." in page(client, "operator")


def test_of_many_the_latest_are_listed_at_the_cost_of_one(client):
    def cost():
        with CaptureQueriesContext(connection) as caught:
            shown = page(client)
        return len(caught), shown

    find("one")
    few, _ = cost()
    find(*[f"device-{number}" for number in range(SHOWN + 4)])
    many, shown = cost()
    assert "5 more" in shown
    assert many <= few + 1
