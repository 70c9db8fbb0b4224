"""Overrides: whom one reaches is shown first, the fleet is asked about twice, each can be taken back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from devices.models import Device, DeviceSchedule, ScheduleSegment
from dispatch.models import DispatchEvent, Override
from dispatch.reading.overrides import fullest
from meters.models import Meter
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.people import person

pytestmark = pytest.mark.django_db
LOCAL = ZoneInfo("America/Los_Angeles")


@pytest.fixture(autouse=True)
def operator(client, now):
    user = person("operator")
    client.force_login(user)
    return user


def words(answer) -> str:
    """The page's text without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def until(hours: float = 2) -> datetime:
    """A full minute some hours ahead."""
    return timezone.now().replace(second=0, microsecond=0) + timedelta(hours=hours)


def typed(moment: datetime) -> str:
    """What a person in the zone types."""
    return moment.astimezone(LOCAL).strftime("%Y-%m-%dT%H:%M")


def form(**changes) -> dict[str, str]:
    """A filled form."""
    return {
        "scope": "FLEET",
        "target": "",
        "action": "HOLD",
        "ends_at": typed(until()),
        "reason": "Feeder fault",
        "zone": "America/Los_Angeles",
    } | changes


def moving(*, kw: str | None, is_commitment: bool = True):
    """A battery that is to move for the next hour."""
    one = meter()
    battery = device(one)
    now = timezone.now()
    asked = event(
        f"event-{battery.pk}",
        one,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        is_voluntary=not is_commitment,
    )
    schedule = DeviceSchedule.objects.create(device=battery, version=1, created_at=now, digest="d")
    ScheduleSegment.objects.create(
        schedule=schedule,
        device=battery,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        mode="DISCHARGE",
        target_kw=kw,
        is_commitment=is_commitment,
        leap_event_ids=[asked.leap_event_id],
    )
    return battery


def test_holding_the_fleet_is_asked_twice_and_names_the_number_of_devices(client):
    moving(kw="6")
    moving(kw=None)
    device(meter())
    first = words(client.post("/overrides/add/", form()))
    assert "Hold 3 devices?" in first
    assert "16 kW of commitments are given up on 2 devices" in first
    second = words(client.post("/overrides/add/", form(stage="confirm")))
    assert "Hold all 3 devices of the fleet?" in second
    assert not Override.objects.exists()
    done = client.post("/overrides/add/", form(stage="again"), follow=True)
    held = Override.objects.get()
    assert (held.scope, held.action, held.created_by, held.ends_at) == (
        "FLEET",
        "HOLD",
        "a-operator",
        until(),
    )
    press = rf'action="/overrides/{held.pk}/end/">[^/]*<button class="link-button">End hold<'
    assert re.search(press, done.content.decode())
    client.post(f"/overrides/{held.pk}/end/")
    assert Override.objects.get().ended_at


def test_what_is_given_up_is_named_with_what_is_nominated(client):
    batteries = [moving(kw="6"), moving(kw=None), moving(kw="3", is_commitment=False)]
    Meter.objects.update(nomination_kw="4")
    DispatchEvent.objects.update(programs=["CCA"], nomination_kw="5.5")
    shown = words(client.post("/overrides/add/", form()))
    assert "12 kW are nominated for the meters behind them." in shown
    assert "given up on 2 devices, of 2 events" in shown
    assert re.findall(r"CCA (\d+ kW) ?, 5.5 kW nominated", shown) == ["6 kW", "10 kW"]
    assert Device.objects.count() == len(batteries)


T = timezone.now().replace(microsecond=0)


def load(start: int, end: int, kw: int):
    return T + timedelta(hours=start), T + timedelta(hours=end), Decimal(kw)


@pytest.mark.parametrize(
    ("loads", "most"),
    [
        ([], 0),
        ([load(0, 1, 4), load(1, 2, 5)], 5),
        ([load(0, 2, 4), load(1, 2, 5)], 9),
        ([load(0, 3, 4), load(1, 2, 5), load(2, 3, 3)], 9),
        ([load(2, 1, 4)], 0),
    ],
    ids=["nothing", "touching", "together", "one after the other", "outside"],
)
def test_the_fullest_power_is_what_runs_at_one_time(loads, most):
    assert fullest(loads) == most


@pytest.mark.parametrize("action", ["HOLD", "OPT_OUT", "FORCE"])
def test_whoever_only_looks_overrides_nothing(client, action):
    client.force_login(person("viewer"))
    battery = moving(kw="6")
    filled = form(action=action, stage="again", confirm_commitment="on")
    assert client.post("/overrides/add/", filled).status_code == 403
    assert client.post(f"/devices/{battery.pk}/override/", filled).status_code == 403
    assert not Override.objects.exists()


def test_a_groups_hold_is_asked_once_and_can_be_ended(client):
    south = group(meter(), name="South Bay")
    form_of_group = form(scope="MARKET_GROUP", target=south.market_group_id)
    assert "Hold 0 devices?" in words(client.post("/overrides/add/", form_of_group))
    client.post("/overrides/add/", form_of_group | {"stage": "confirm"})
    held = Override.objects.get()
    assert "South Bay" in words(client.get("/overrides/"))
    client.post(f"/overrides/{held.pk}/end/")
    held.refresh_from_db()
    assert (held.ended_by, held.ended_at is not None) == ("a-operator", True)
    again = client.post(f"/overrides/{held.pk}/end/", follow=True)
    assert "has ended already" in words(again)


def test_a_programs_hold_shows_its_own_commitments_and_the_lane_of_who_is_called(client):
    of_program, other = moving(kw="6"), moving(kw="4")
    DispatchEvent.objects.filter(leap_event_id=f"event-{of_program.pk}").update(programs=["NYISO-SCR"])
    chosen = form(scope="PROGRAM", target="nyiso-scr")
    first = words(client.post("/overrides/add/", chosen))
    assert "Hold 1 device?" in first
    assert "6 kW of commitments is given up on 1 device" in first
    client.post("/overrides/add/", chosen | {"stage": "confirm"})
    held = Override.objects.get()
    assert (held.scope, held.target) == ("PROGRAM", "NYISO-SCR")
    lane = f'href="/overrides/{held.pk}/"'
    assert "NYISO-SCR" in words(client.get("/overrides/"))
    assert lane in client.get(f"/devices/{of_program.pk}/").content.decode()
    assert lane not in client.get(f"/devices/{other.pk}/").content.decode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reason": ""}, "Say why, for the people on the next shift."),
        ({"ends_at": ""}, "Say until when; every override ends by itself."),
        ({"ends_at": "yesterday"}, "Write a date and a time."),
        ({"ends_at": typed(datetime(2020, 1, 1, tzinfo=UTC))}, "Choose a time that is yet to come."),
        ({"starts_at": "2100-01-01T00:00"}, "The end must lie after the start."),
        ({"scope": "DEVICE", "target": "bat-9"}, "No device is called “bat-9”."),
        ({"scope": "METER"}, "Type the id of what is meant"),
        ({"action": "FORCE", "target_kw": "-1"}, "greater than or equal to 0"),
    ],
    ids=["no-reason", "no-end", "no-date", "past", "backwards", "unknown", "no-target", "negative"],
)
def test_what_is_wrong_stands_under_its_field_and_nothing_is_added(client, changes, sentence):
    page = client.post("/overrides/add/", form(**changes) | {"stage": "again"})
    assert page.status_code == 422
    assert sentence in words(page)
    assert not Override.objects.exists()


def test_a_device_is_held_from_its_page_with_the_way_back(client):
    battery = device(meter())
    filled = {"action": "HOLD", "ends_at": typed(until()), "reason": "Service", "zone": "America/Los_Angeles"}
    page = client.post(f"/devices/{battery.pk}/override/", filled, follow=True)
    held = Override.objects.get()
    assert (held.scope, held.target, held.ends_at) == ("DEVICE", battery.external_id, until())
    assert "End hold" in words(page)
    assert "By a-operator: Service" in words(page)


@pytest.mark.parametrize("action", ["HOLD", "OPT_OUT"])
def test_a_devices_page_asks_before_a_commitment_is_given_up(client, action):
    battery = moving(kw="6")
    filled = {"action": action, "ends_at": typed(until()), "reason": "Oxygen", "zone": "America/Los_Angeles"}
    page = client.post(f"/devices/{battery.pk}/override/", filled)
    assert "6 kW of commitments is given up on 1 device" in words(page)
    asks = 'name="confirm_commitment" id="give-up"' in page.content.decode()
    assert asks is (action == "OPT_OUT")
    assert not Override.objects.exists()
    repeated = form(
        scope="DEVICE", target=battery.external_id, action=action, reason="Oxygen", stage="confirm"
    )
    if asks:
        assert "breaks a commitment" in words(client.post("/overrides/add/", repeated))
        repeated["confirm_commitment"] = "on"
    client.post("/overrides/add/", repeated)
    assert Override.objects.get().target == battery.external_id
