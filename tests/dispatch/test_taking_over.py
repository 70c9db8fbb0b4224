"""A winner that is cancelled: from its body to the new version of the schedule and the pages that tell it."""

from __future__ import annotations

import re

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import DeviceSchedule
from dispatch.models import DispatchEvent, Overlap, Source
from dispatch.planning import plan_waiting
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import METER, OTHER_EVENT, as_bytes, at, meter_body, text, timeslot
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


TAKES_OVER = "ELRP takes over on 1 device from "
CHANGES = {
    "cancelled": (ELRP, {"cancelled": True}, [f"{TAKES_OVER}00:00"]),
    "shortened": (ELRP, {"end_time": text(at(270))}, [f"{TAKES_OVER}00:30"]),
    "moved to after the loser": (
        ELRP,
        {"start_time": text(at(360)), "end_time": text(at(420))},
        [f"{TAKES_OVER}00:00"],
    ),
    "begins later": (ELRP, {"start_time": text(at(260))}, [f"{TAKES_OVER}00:00"]),
    "given less power": (ELRP, {"energy_kw": 5}, []),
    "cancelled with nobody else": (None, {"cancelled": True}, []),
    "cancelled beside one that touches it": (
        ELRP | {"start_time": text(at(300)), "end_time": text(at(360))},
        {"cancelled": True},
        [],
    ),
}


@pytest.mark.parametrize(("other", "change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_says_who_takes_over(client, other, change, said):
    device(meter(meter_id=METER), kind="BATTERY")
    hear(meter_body(AWARD, *([other] if other else [])), minute=0)
    hear(meter_body(AWARD | change), minute=5)
    client.force_login(person("viewer"))
    event = DispatchEvent.objects.get(leap_event_id=AWARD["meter_event_id"])
    with time_machine.travel(at(10), tick=False):
        pages = [client.get(page).text for page in ("/changes/", f"/events/{event.pk}/")]
    for page in pages:
        assert re.findall(r"[A-Z]+ takes? over on [^<]+", page) == said


def test_what_a_later_change_does_is_not_said_of_this_one(client):
    device(meter(meter_id=METER), kind="BATTERY")
    hear(meter_body(AWARD, ELRP), minute=0)
    hear(meter_body(AWARD | {"nomination_kw": 12}), minute=5)
    hear(meter_body(AWARD | {"cancelled": True}), minute=90)
    client.force_login(person("viewer"))
    with time_machine.travel(at(100), tick=False), CaptureQueriesContext(connection) as few:
        assert client.get("/changes/").text.count(TAKES_OVER) == 1
    hear(meter_body(ELRP | {"cancelled": True}), minute=101)
    with time_machine.travel(at(110), tick=False), CaptureQueriesContext(connection) as more:
        client.get("/changes/")
    assert len(more) == len(few)
