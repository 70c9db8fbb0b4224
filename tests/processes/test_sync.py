"""A whole portal beside a Leap: a sync that is killed, and platform events in any order, odd ones too."""

from __future__ import annotations

import os
import random
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from leapvpp.leap.simulator.meters import MeterQuery
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import Header, Subscription
from leapvpp.supervision.children import family
from tests.processes.running import AS_INSTALLED, first_row, running_portal, wait_until

KEY = "key-of-the-simulator"
METERS = 1500
LATEST = "SELECT state, meters FROM meters_metersync ORDER BY id DESC LIMIT 1"
PRESS_AGAIN = """
import json
from django.utils import timezone
from meters.sync_models import MeterSync
from meters.sync_turns import request_sync
died = MeterSync.objects.filter(state="RUNNING").update(claimed_until=timezone.now())  # as after five minutes
print(json.dumps([died, request_sync(kind="FULL", by="anna", now=timezone.now())[1]]))
"""
SHOW = """
import json
from meters.enrollment_models import Enrollment
from meters.models import MarketGroupMembership, Meter, PlatformEvent
from meters.sync_models import MeterChange, MeterSync, MeterToRead
appeared = MeterChange.objects.filter(kind="APPEARED")
grouped = Enrollment.objects.exclude(market_group_id="")
print(json.dumps({
    "meters": Meter.objects.count(),
    "appeared": [appeared.count(), appeared.values("meter").distinct().count()],
    "members": [MarketGroupMembership.objects.count(), grouped.count()],
    "states": list(MeterSync.objects.exclude(kind="NAMED").order_by("pk").values_list("state", flat=True)),
    "idle": sorted(Meter.objects.filter(participation="IDLE").values_list("meter_id", flat=True)),
    "events": sorted(PlatformEvent.objects.values_list("status", flat=True)),
    "repeats": sum(PlatformEvent.objects.values_list("repeat_count", flat=True)),
    "to_read": list(MeterToRead.objects.values_list("meter_id", flat=True)),
}))
"""
NOBODY = "11111111-1111-1111-1111-111111111111"
ODD = [
    {"webhook_event_type": "meter.created"},
    {"webhook_event_type": "meter.created", "meter_id": "1" * 5000},
    {"webhook_event_type": "meter.created", "meter_id": {"$ne": None}},
    {"webhook_event_type": "meter.enrollment.group.updated", "market_group_id": NOBODY, "meter_ids": "all"},
    {"webhook_event_type": "connect_session.updated", "partner_reference": "a\0b", "status": "CREATED"},
    {"webhook_event_type": "meter.\u202egnirts", "meter_id": NOBODY},
]


def slow_down(leap: LeapSimulator) -> threading.Event:
    """Have each search of meters take its time until the event is set."""
    hurry, search = threading.Event(), leap.meters.search

    def slowly(query: MeterQuery, *, is_enrollment: bool) -> list[dict[str, Any]]:
        hurry.wait(0.1)
        return search(query, is_enrollment=is_enrollment)

    leap.meters.search = slowly  # type: ignore[method-assign]  # Leap is what is beside the test
    return hurry


def test_a_killed_sync_is_done_again_and_events_in_any_order_lead_to_what_leap_says(tmp_path):
    chance = random.Random(20261128)  # noqa: S311 - a seed is the point
    now = datetime.now(UTC)
    with LeapSimulator(api_key=KEY, page_size=50) as leap:
        meters = leap.meters.fill(METERS, now=now - timedelta(days=1))
        hurry = slow_down(leap)
        settings = AS_INSTALLED | {"LEAP_API_BASE_URL": leap.url, "LEAP_API_KEY": KEY}
        with running_portal(tmp_path, **settings) as portal:
            database = portal.environment["DATABASE_URL"]

            def is_under_way() -> bool:
                row = first_row(database, LATEST)
                return row is not None and row[0] == "RUNNING" and row[1] >= 100

            wait_until(is_under_way, what="the middle of the first sync")
            for pid in family(portal.programs()["worker"]):
                os.kill(pid, signal.SIGKILL)
            hurry.set()
            assert portal.run(PRESS_AGAIN) == [1, True], "the sync was over before it was killed"
            wait_until(lambda: first_row(database, LATEST) == ("DONE", METERS), what="the next sync")
            rows = portal.run(SHOW)
            assert rows["states"] == ["LOST", "DONE"]
            assert (rows["meters"], rows["appeared"]) == (METERS, [METERS, METERS])
            assert rows["members"][0] == rows["members"][1] > 0

            idle = chance.sample(meters, 20)
            for one in idle:
                leap.meters.idle(one, since=now - timedelta(minutes=5), now=datetime.now(UTC))
            told = [
                {"webhook_event_type": "meter.enrollment.participation-status.updated", "meter_id": one}
                for one in idle
            ]
            events = [{"webhook_event_id": str(uuid4()), "payload": each} for each in [*told, *ODD]] * 2
            chance.shuffle(events)
            answers = [
                portal.client.post("/webhooks/leap/events/", json=each, headers={"x-api-key": "key-one"})
                for each in events
            ]
            assert (
                sorted(answer.json()["status"] for answer in answers)
                == ["accepted"] * 26 + ["duplicate"] * 26
            )

            def has_followed() -> dict:
                found = portal.run(SHOW)
                is_seen = set(idle) <= set(found["idle"]) and "RECEIVED" not in found["events"]
                return found if is_seen and not found["to_read"] else {}

            rows = wait_until(has_followed, what="what the events hint at")
            assert rows["events"] == ["FOLLOWED"] * 21 + ["QUARANTINED"] * 5
            assert rows["repeats"] == 26

            leap.pusher.subscriptions["ours"] = Subscription(
                webhook_id="ours",
                receiver_url=f"{portal.url}/webhooks/leap/events/",
                event_types=("meter.enrollment.participation-status.updated",),
                headers=(Header(name="x-api-key", value="key-one"),),
            )
            leap.meters.prefer([idle[0]], "PARTICIPATE", since=now, now=datetime.now(UTC))
            wait_until(lambda: idle[0] not in portal.run(SHOW)["idle"], what="what Leap said by itself")
