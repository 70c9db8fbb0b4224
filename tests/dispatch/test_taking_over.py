"""A winner that is cancelled: from its body to the new version of the schedule and the pages that tell it."""

from __future__ import annotations

import pytest
import time_machine

from devices.models import DeviceSchedule
from dispatch.models import Overlap, Source
from dispatch.planning import plan_waiting
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import METER, OTHER_EVENT, as_bytes, at, meter_body, timeslot
from tests.builders import device, meter
from tests.dispatch.decided import lanes
from tests.people import person

pytestmark = pytest.mark.django_db

AWARD = timeslot(energy_kw=8, programs=["CCA"])
ELRP = timeslot(OTHER_EVENT, energy_kw=4, programs=["ELRP"], priority=3, is_voluntary=True)


def hear(document: dict, *, minute: float) -> None:
    """Receive, record and plan a body."""
    now = at(minute)
    receive(body=as_bytes(document), source=Source.WEBHOOK, received_at=now)
    record_waiting(now=now)
    plan_waiting(now=now)


def test_a_cancelled_winner_gives_way_in_a_new_version_and_pages_tell_it(client):
    battery = device(meter(meter_id=METER), kind="BATTERY")
    hear(meter_body(AWARD, ELRP), minute=0)
    assert lanes(battery) == [f"240-300 8 {AWARD['meter_event_id']}+{OTHER_EVENT}"]
    hear(meter_body({**AWARD, "cancelled": True}), minute=5)

    assert lanes(battery) == [f"240-300 4 {OTHER_EVENT}"]
    before, after = DeviceSchedule.objects.order_by("version")
    assert (before.superseded_at, after.created_at, after.superseded_at) == (at(5), at(5), None)
    assert "is met inside CCA's share" in before.segments.get().reason
    assert after.segments.get().reason == "Serves ELRP, rank 3, voluntary: its share of 4 kW."
    assert not Overlap.objects.exists()

    client.force_login(person("viewer"))
    with time_machine.travel(at(10), tick=False):
        changes, of_battery = (client.get(page).text for page in ("/changes/", f"/devices/{battery.pk}/"))
    assert all(word in changes for word in ("CCA", "Cancelled", "00:00–01:00 UTC"))
    assert "Serves ELRP, rank 3, voluntary: its share of 4 kW." in of_battery
    assert "A newer schedule took its place." in of_battery
