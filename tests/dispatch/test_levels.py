"""Both levels at once, in the database: who is acted upon, what the page says, what an admin may change."""

from __future__ import annotations

import pytest

from devices.models import Device
from dispatch.models import DispatchEvent, Overlap, ProgramLevel, Source, Unserved
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import EVENT, METER, OTHER_EVENT, OTHER_METER, as_bytes, group_body, meter_body, timeslot
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import event, lanes, plan
from tests.people import bearer, person

pytestmark = pytest.mark.django_db

PROGRAM = {"programs": ["CCA"]}
REASON = "Asked at group level too; CCA is acted upon at group level."


@pytest.fixture
def battery() -> Device:
    """Behind one of the two meters that the group's events name."""
    device(meter(meter_id=OTHER_METER))
    return device(meter(meter_id=METER))


def hear(document: dict, *, source: Source = Source.WEBHOOK, minute: float = 0) -> None:
    receive(body=as_bytes(document), source=source, received_at=at(minute))
    record_waiting(now=at(minute))
    plan(minute)


def at_meter(**changes) -> dict:
    return meter_body(timeslot(energy_kw=9, **changes))


def at_group(**changes) -> dict:
    return group_body(timeslot(OTHER_EVENT, level="group", **changes))


def decided() -> list[tuple[str, str, str]]:
    return list(ProgramLevel.objects.order_by("program").values_list("program", "level", "source"))


def test_first_level_is_acted_upon_and_nothing_is_commanded_twice(battery):
    hear(at_group())
    hear(at_meter(), minute=1)
    assert lanes(battery) == [f"240-300 5 {OTHER_EVENT}"]
    assert decided() == [("CCA", "GROUP", "WEBHOOK")]
    assert not Overlap.objects.exists()
    (told,) = Unserved.objects.all()
    assert (told.event.leap_event_id, told.reason, told.is_shaded) == (EVENT, REASON, True)
    assert not told.event.is_unserved


def test_what_a_search_found_first_gives_way_to_the_webhook(battery):
    hear(at_meter(), source=Source.POLL)
    assert lanes(battery) == [f"240-300 9 {EVENT}"]
    hear(at_group(), minute=1)
    assert lanes(battery) == [f"240-300 5 {OTHER_EVENT}"]
    assert decided() == [("CCA", "GROUP", "WEBHOOK")]


def test_cancelled_twin_hands_over_to_the_other(battery):
    hear(at_group())
    hear(at_meter(), minute=1)
    hear(at_group(cancelled=True), minute=2)
    assert lanes(battery) == [f"240-300 9 {EVENT}"]
    assert not Unserved.objects.exists()


@pytest.mark.parametrize(
    ("level", "served"), [("meter", f"240-300 9 {EVENT}"), ("group", f"240-300 5 {OTHER_EVENT}")]
)
def test_setting_decides_whichever_arrived_first(battery, settings, level, served):
    settings.LEAP_DISPATCH_LEVEL = level
    hear(at_group())
    hear(at_meter(), minute=1)
    assert lanes(battery) == [served]


def test_decision_goes_with_the_event_that_brought_it():
    event_row = event("a", METER)
    ProgramLevel.objects.create(
        program="CCA", level="GROUP", decided_at=NOW, source="WEBHOOK", decided_by=event_row
    )
    event_row.delete()
    assert decided() == []


@pytest.mark.parametrize(("role", "status", "level"), [("admin", 302, "METER"), ("operator", 403, "GROUP")])
def test_an_admin_changes_the_level_and_open_events_are_planned_again(client, battery, role, status, level):
    user = person(role)
    user.is_staff = True
    user.save()
    client.force_login(user)
    row = ProgramLevel.objects.create(program="CCA", level="GROUP", decided_at=NOW, source="WEBHOOK")
    future = {
        "starts_at": NOW.replace(year=2100),
        "ends_at": NOW.replace(year=2101),
        "plan_requested_at": None,
    }
    open_event = event("open", METER, programs=["CCA"], **future)
    event("other", METER, programs=["ELRP"], **future)
    event("over", METER, programs=["CCA"], plan_requested_at=None)
    answer = client.post(f"/admin/dispatch/programlevel/{row.pk}/change/", {"level": "METER"})
    assert answer.status_code == status
    row.refresh_from_db()
    assert row.level == level
    waiting = set(DispatchEvent.objects.filter(plan_requested_at__isnull=False))
    assert waiting == ({open_event} if status == 302 else set())


def test_page_and_api_say_that_it_is_asked_at_both_levels(client, battery):
    hear(at_group())
    hear(at_meter(), minute=1)
    client.force_login(person("viewer"))
    of_group, of_meter = (DispatchEvent.objects.get(level=level) for level in ("GROUP", "METER"))
    acted = "acted upon at group level for CCA, because it arrived first."
    for row, other in ((of_group, "meter"), (of_meter, "group")):
        text = client.get(f"/events/{row.pk}/").content.decode()
        assert f"Also asked at {other} level; {acted}" in text
    shown = {
        row.level: client.get(f"/api/v1/events/{row.pk}/", headers=bearer("viewer")).json()["shadowed_by"]
        for row in (of_group, of_meter)
    }
    assert shown == {"GROUP": [], "METER": [OTHER_EVENT]}
