"""What a dispatch would lead to, without leaving a trace."""

from __future__ import annotations

import json

import pytest

from devices.models import Command, DeviceSchedule
from dispatch.models import DispatchEvent
from dispatch.preview import MOST_TIMESLOTS, TooManyTimeslots, preview, preview_event
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import event, plan

pytestmark = pytest.mark.django_db


def body(meter_id: str, leap_event_id: str, **fields) -> bytes:
    slot = {
        "meter_event_id": leap_event_id,
        "start_time": at(60).isoformat(),
        "end_time": at(120).isoformat(),
        "cancelled": False,
        "performance_compensation_cap": "up-to-nomination",
        "priority": 1,
        "is_voluntary": False,
        "dispatch_event_types": ["standard"],
        "programs": ["CCA"],
        "energy_kw": 9,
    }
    return json.dumps(
        {
            "integration_test_notification": fields.pop("is_test", False),
            "meter_dispatches": [{"meter_id": meter_id, "timeslots": [slot | fields]}],
        }
    ).encode()


def told(result) -> list[list[str]]:
    return [[_told(each) for each in one.segments] for one in result.devices]


def _told(segment) -> str:
    return f"{float(segment.target_kw):g} {'+'.join(segment.leap_event_ids)}"


def test_preview_combines_with_what_is_live_and_stores_nothing():
    one = meter()
    battery = device(one)
    event("a", one, kw="8")
    plan()
    before = DeviceSchedule.objects.count(), Command.objects.count(), DispatchEvent.objects.count()

    result = preview(body=body(one.meter_id, "new"), now=NOW)
    assert [each.external_id for each in result.devices] == [battery.external_id]
    assert told(result) == [["9 new+a"]]
    assert (DeviceSchedule.objects.count(), Command.objects.count(), DispatchEvent.objects.count()) == before


def test_preview_of_a_known_event_shows_it_changed():
    one = meter()
    device(one)
    event("a", one, level="METER")
    plan()
    assert told(preview(body=body(one.meter_id, "a", energy_kw=3), now=NOW)) == [["3 a"]]
    assert told(preview(body=body(one.meter_id, "a", cancelled=True), now=NOW)) == [[]]


def test_preview_of_an_integration_test_shows_what_it_would_do():
    one = meter()
    device(one)
    row = event("t", one, test="INTEGRATION")
    plan()
    assert not DeviceSchedule.objects.exists()
    result = preview_event(event_id=row.pk, now=NOW)
    assert (told(result), result.is_as_if_armed) == ([["8 t"]], True)
    result = preview(body=body(one.meter_id, "u", is_test=True), now=NOW)
    assert (told(result), result.is_as_if_armed) == ([["9 u+t"]], True)


def test_preview_tells_what_cannot_be_used_and_who_has_no_device():
    one = meter()
    result = preview(body=body(one.meter_id, "a", energy_kw="much"), now=NOW)
    assert result.devices == ()
    assert [name for name, _ in result.problems] == ["a"]
    assert preview(body=body(one.meter_id, "a"), now=NOW).unmapped_meters == 1


def test_a_body_of_too_many_timeslots_is_not_tried():
    of = json.loads(body(meter().meter_id, "a"))
    (slot,) = of["meter_dispatches"][0]["timeslots"]
    slots = [slot | {"meter_event_id": f"a{number}"} for number in range(MOST_TIMESLOTS + 1)]
    of["meter_dispatches"][0]["timeslots"] = slots
    with pytest.raises(TooManyTimeslots, match="has 501 timeslots, and a preview looks at no more than 500"):
        preview(body=json.dumps(of).encode(), now=NOW)
