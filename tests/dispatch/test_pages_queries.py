"""A list costs the same number of queries whatever it holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Command, CommandAttempt, DeviceSchedule, ScheduleSegment
from dispatch.models import DispatchNotification, NotificationItem, Overlap, Override, Unserved
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.people import person

pytestmark = pytest.mark.django_db


def grow(number: int) -> dict[str, object]:
    """One more of everything; the ids of the details."""
    now = timezone.now()
    later = now + timedelta(hours=1)
    one = meter(name=f"Meter {number}", programs=["CCA"])
    south = group(one, name=f"Group {number}")
    battery = device(one, name=f"Battery {number}")
    asked = event(f"event-{number}", one, market_group_id=south.market_group_id, starts_at=now, ends_at=later)
    schedule = DeviceSchedule.objects.create(device=battery, version=1, created_at=now, digest="d")
    ScheduleSegment.objects.create(
        schedule=schedule,
        device=battery,
        starts_at=now,
        ends_at=later,
        mode="CURTAIL",
        is_commitment=True,
        leap_event_ids=[asked.leap_event_id],
    )
    command = Command.objects.create(
        device=battery, schedule=schedule, key=f"k{number}", created_at=now, due_at=now, expires_at=later
    )
    CommandAttempt.objects.create(command=command, started_at=now)
    Overlap.objects.create(device=battery, starts_at=now, ends_at=later, reason="Both.")
    Unserved.objects.create(event=asked, device=battery, starts_at=now, ends_at=later, reason="Held.")
    Override.objects.create(
        scope="METER",
        target=one.meter_id,
        action="HOLD",
        starts_at=now,
        ends_at=later,
        created_at=now,
        reason="Feeder fault",
        created_by="otto",
    )
    told = DispatchNotification.objects.create(received_at=now, body=b"{}", sha256=f"{number:064d}")
    NotificationItem.objects.create(notification=told, position=0, outcome="CREATED", event=asked)
    return {
        "meter": one.meter_id,
        "group": south.market_group_id,
        "device": battery.pk,
        "notification": told.pk,
    }


LISTS = [
    "/notifications/",
    "/meters/?q=m&ready=no&program=CCA&sort=-nomination",
    "/groups/?sort=-name",
    "/devices/?kind=load&sort=-rated",
    "/commands/?q=b&sort=due",
    "/overrides/",
    "/meters/export/",
    "/devices/export/",
]
DETAILS = ["/notifications/{notification}/", "/meters/{meter}/", "/groups/{group}/", "/devices/{device}/"]


def test_the_number_of_queries_does_not_grow_with_the_rows(client):
    client.force_login(person("admin"))
    ids = grow(0)
    grow(1)
    paths = [path.format(**ids) for path in LISTS + DETAILS]
    before = {path: _queries(client, path) for path in paths}
    for number in range(2, 12):
        grow(number)
    assert {path: _queries(client, path) for path in paths} == before


def _queries(client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(captured)
