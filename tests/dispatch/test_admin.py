"""The admin: looking things up, and buttons that call what the pages call."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.utils import timezone

from devices.models import Device
from dispatch.models import DispatchEvent, DispatchNotification, Overlap, Override
from tests.bodies import EVENT, NOW, body
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client) -> User:
    """An admin, signed in and let into the admin."""
    user = person("admin")
    user.is_staff = True
    user.save()
    client.force_login(user)
    return user


def press(client, model: str, action: str, *rows, **more) -> str:
    """Press an action for rows and return what it said."""
    answer = client.post(
        f"/admin/dispatch/{model}/",
        {"action": action, "_selected_action": [row.pk for row in rows], **more},
    )
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def let_go() -> None:
    """Nothing waits to be planned."""
    DispatchEvent.objects.update(plan_requested_at=None)
    Device.objects.update(plan_requested_at=None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("when=live", {"live"}),
        ("when=coming", {"calm", "overlapping", "cancelled", "changed", "test", "unmapped"}),
        ("is_overlapping__exact=1", {"overlapping"}),
        ("is_cancelled__exact=1", {"cancelled"}),
        ("changed=yes", {"changed"}),
        ("test_kind=INTEGRATION", {"test"}),
        ("unmapped=yes", {"unmapped"}),
        ("unmapped=yes&changed=yes", set()),
        ("q=CALM", {"calm"}),
    ],
)
def test_events_are_found_by_filters(client, boss, query, found):
    now = timezone.now()
    one = meter()
    ahead = {"starts_at": now + timedelta(hours=1), "ends_at": now + timedelta(hours=2)}
    event("live", one, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1))
    for name, fields in {
        "calm": {},
        "overlapping": {"is_overlapping": True},
        "cancelled": {"is_cancelled": True},
        "changed": {"revision": 2},
        "test": {"test": "INTEGRATION"},
        "unmapped": {"unmapped_meters": 1},
    }.items():
        event(name, one, **ahead | fields)
    answer = client.get(f"/admin/dispatch/dispatchevent/?{query}")
    assert {row.leap_event_id for row in answer.context["cl"].queryset} == found


@pytest.mark.parametrize(
    "model",
    [
        "dispatchevent",
        "eventrevision",
        "dispatchnotification",
        "notificationitem",
        "overlap",
        "override",
        "doubt",
    ],
)
def test_nobody_adds_or_deletes_what_is_a_fact(client, boss, model):
    boss.is_superuser = True
    boss.save()
    listed = client.get(f"/admin/dispatch/{model}/")
    assert listed.status_code == 200
    assert b"delete_selected" not in listed.content
    assert client.get(f"/admin/dispatch/{model}/add/").status_code == 403


def test_plan_again_asks_for_a_plan_of_the_events(client, boss):
    row = event("a", meter())
    let_go()
    assert "planned again" in press(client, "dispatchevent", "replan", row)
    row.refresh_from_db()
    assert row.plan_requested_at is not None


def test_plan_again_on_an_overlap_asks_for_a_plan_of_its_device(client, boss):
    row = device(meter())
    now = timezone.now()
    overlap = Overlap.objects.create(device=row, starts_at=now, ends_at=now + timedelta(hours=1))
    let_go()
    press(client, "overlap", "replan", overlap)
    row.refresh_from_db()
    assert row.plan_requested_at is not None


def test_hold_keeps_an_events_group_still_until_it_ends(client, boss):
    one = meter()
    south = group(one)
    now = timezone.now()
    row = event(
        "a",
        one,
        market_group_id=south.market_group_id,
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
    )
    assert "Say why" in press(client, "dispatchevent", "hold", row)
    assert not Override.objects.exists()
    press(client, "dispatchevent", "hold", row, reason="Feeder fault")
    held = Override.objects.get()
    assert (held.scope, held.target, held.action, held.reason, held.created_by, held.ends_at) == (
        "MARKET_GROUP",
        south.market_group_id,
        "HOLD",
        "Feeder fault",
        boss.username,
        row.ends_at,
    )


def test_end_ends_an_override_once(client, boss):
    now = timezone.now()
    row = Override.objects.create(
        scope="FLEET",
        action="HOLD",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        created_at=now,
        reason="x",
        created_by="y",
    )
    assert press(client, "override", "end", row).endswith("1 override ended.")
    assert press(client, "override", "end", row).endswith("0 overrides ended.")
    row.refresh_from_db()
    assert row.ended_by == boss.username


def test_replay_records_a_notification_again(client, boss):
    row = DispatchNotification.objects.create(
        received_at=NOW, body=body(), sha256="0" * 64, status="QUARANTINED", reason="Before the fix."
    )
    assert "1 events changed" in press(client, "dispatchnotification", "replay", row)
    assert DispatchEvent.objects.get().leap_event_id == EVENT
    row.refresh_from_db()
    assert row.status == "RECORDED"


def test_a_viewer_let_into_the_admin_presses_nothing(client):
    viewer = person("viewer")
    viewer.is_staff = True
    viewer.save()
    client.force_login(viewer)
    row = event("a", meter())
    let_go()
    assert b"<option" not in client.get("/admin/dispatch/dispatchevent/").content
    press(client, "dispatchevent", "replan", row)
    row.refresh_from_db()
    assert row.plan_requested_at is None
