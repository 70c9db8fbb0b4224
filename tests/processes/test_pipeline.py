"""From Leap's POST to a device's acknowledgement, through real sockets, worker and dispatcher."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.bodies import payload, text
from tests.processes.running import Portal, running_portal, wait_until

MAKE_ROWS = """
import json
from devices.models import Device
from meters.models import Meter
for meter_id in {meters}:
    device = Device.objects.create(external_id=f"device {{meter_id[:4]}}", rated_power_kw=20)
    device.meter_devices.create(meter=Meter.objects.create(meter_id=meter_id))
print(json.dumps("made"))
"""


def guide_example(*, start: datetime) -> dict:
    """The group dispatch of Leap's guide, moved to the hour that begins at `start`."""
    body = json.loads(payload("guide-group-notification"))
    [slot] = body["group_dispatches"][0]["timeslots"]
    slot |= {"start_time": text(start), "end_time": text(start + timedelta(hours=1))}
    return body


def schedules(portal: Portal) -> list[dict]:
    """Return every schedule once all of them are acknowledged, else nothing."""
    found = portal.get("schedules/")
    return found if found and all(row["state"] == "acknowledged" for row in found) else []


def test_the_guides_example_becomes_acknowledged_schedules(tmp_path):
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    body = guide_example(start=start)
    [group] = body["group_dispatches"]
    with running_portal(tmp_path) as portal:
        portal.sign_in()
        assert portal.run(MAKE_ROWS.format(meters=group["meter_ids"])) == "made"
        answer = portal.client.post(
            "/webhooks/leap/dispatch/", json=body, headers={"X-API-KEY": "key-one", "authorization": ""}
        )
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")

        found = wait_until(lambda: schedules(portal), what="the acknowledgement of both devices")
        segments = [segment for row in found for segment in row["segments"]]
        assert len(found) == len(segments) == 2
        assert sum(segment["target_kw"] for segment in segments) == 8.5
        assert {segment["start"] for segment in segments} == {text(start)}
        assert {segment["end"] for segment in segments} == {text(start + timedelta(hours=1))}
        [event] = portal.get("events/")
        assert (event["leap_event_id"], event["status"], event["revision"]) == (
            group["timeslots"][0]["market_group_event_id"],
            "scheduled",
            1,
        )

        group["timeslots"][0]["cancelled"] = True
        portal.client.post("/webhooks/leap/dispatch/", json=body, headers={"X-API-KEY": "key-two"})
        wait_until(
            lambda: [row for row in schedules(portal) if not row["segments"]],
            what="the acknowledgement of the cancellation",
        )
        assert [event["status"] for event in portal.get("events/")] == ["cancelled"]
        states = [command["state"] for command in portal.get("commands/")]
        assert set(states) <= {"acknowledged", "superseded"}
