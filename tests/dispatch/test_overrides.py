"""A person's word: whom it reaches, when it ends, what it may not do."""

from __future__ import annotations

from decimal import Decimal

import pytest

from devices.models import ScheduleSegment
from dispatch.models import DispatchEvent, Overlap, Override, Unserved
from dispatch.overrides import OverrideRefused, add_override, end_override
from tests.builders import at, device, group, meter
from tests.dispatch.decided import change, event, lanes, plan

pytestmark = pytest.mark.django_db


def override(action: str = "HOLD", scope: str = "FLEET", target: str = "", **fields) -> Override:
    values = {
        "starts_at": at(0),
        "ends_at": at(600),
        "target_kw": None,
        "reason": "maintenance",
        "created_by": "ana",
        "confirm_commitment": False,
        "now": at(0),
    }
    return add_override(scope=scope, target=target, action=action, **values | fields)


SCOPES = {
    "fleet": lambda meter, device, group: ("FLEET", ""),
    "group": lambda meter, device, group: ("MARKET_GROUP", group.market_group_id.upper()),
    "meter": lambda meter, device, group: ("METER", meter.meter_id.upper()),
    "device": lambda meter, device, group: ("DEVICE", device.external_id),
    "device by number": lambda meter, device, group: ("DEVICE", str(device.pk)),
}


@pytest.mark.parametrize("target_of", SCOPES.values(), ids=SCOPES.keys())
def test_hold_reaches_its_target_alone_and_ends(target_of):
    one, two = meter(), meter()
    held, other = device(one), device(two)
    event("a", one, kw="8")
    event("b", two, kw="8")
    plan()
    scope, target = target_of(one, held, group(one))

    row = override(scope=scope, target=target, starts_at=at(90), ends_at=at(100), now=at(1))
    plan(1)
    assert lanes(held) == ["60-90 8 a", "100-120 8 a"]
    assert lanes(other) == (["60-90 8 b", "100-120 8 b"] if scope == "FLEET" else ["60-120 8 b"])
    assert "Held by ana: maintenance." in Unserved.objects.get(unserved_set__devices__device=held).reason

    end_override(override_id=row.pk, now=at(2), by="bo")
    plan(2)
    assert lanes(held) == ["60-120 8 a"]
    assert not Unserved.objects.exists()
    with pytest.raises(OverrideRefused, match="ended already"):
        end_override(override_id=row.pk, now=at(3), by="bo")


def test_program_hold_stops_its_events_alone_also_those_that_come_later():
    one, two = meter(), meter()
    called, other = device(one), device(two)
    event("a", one, kw="20", programs=["CCA"])
    event("b", one, two, kw="8", programs=["ELRP"])
    plan()
    assert lanes(called) == ["60-120 10 a+b"]
    row = override(scope="PROGRAM", target="cca")
    plan(1)
    event("c", two, start=120, end=180, programs=["CCA"])
    plan(2)
    assert row.target == "CCA"
    assert (lanes(called), lanes(other)) == (["60-120 4 b"], ["60-120 4 b"])
    assert set(Unserved.objects.values_list("event__leap_event_id", flat=True)) == {"a", "c"}
    end_override(override_id=row.pk, now=at(3), by="bo")
    plan(3)
    assert (lanes(called), lanes(other)) == (["60-120 10 a+b"], ["60-120 4 b", "120-180 8 c"])


def test_opt_out_of_a_program_asks_about_its_own_commitments_alone():
    one = meter()
    device(one)
    event("a", one, programs=["CCA"])
    event("b", one, programs=["ELRP"], is_voluntary=True)
    with pytest.raises(OverrideRefused, match=r"breaks a commitment \(a\);"):
        override("OPT_OUT", "PROGRAM", "CCA")
    assert override("OPT_OUT", "PROGRAM", "ELRP").pk


def test_group_gives_for_a_device_that_is_held_and_is_short_by_the_rest():
    meters = [meter(), meter(), meter()]
    held, *others = [device(one) for one in meters]
    row = event("a", *meters, kw="24")
    plan()
    hold = override(scope="DEVICE", target=held.external_id, starts_at=at(90))
    plan(1)
    row.refresh_from_db()
    assert [lanes(each) for each in (held, *others)] == [
        ["60-90 8 a"],
        *[["60-90 8 a", "90-120 10 a"]] * 2,
    ]
    assert row.shortfall_kw == 4
    end_override(override_id=hold.pk, now=at(2), by="bo")
    plan(2)
    row.refresh_from_db()
    assert [lanes(each) for each in (held, *others)] == [["60-120 8 a"]] * 3
    assert row.shortfall_kw == 0


GIVES_WAY = {
    "cancelled": (lambda row: change(row, is_cancelled=True), ["60-120 4 loser"]),
    "shortened": (lambda row: change(row, ends_at=at(90)), ["60-90 8 winner+loser", "90-120 4 loser"]),
    "moved": (lambda row: change(row, starts_at=at(100)), ["60-100 4 loser", "100-120 8 winner+loser"]),
    "its program held": (
        lambda row: override(scope="PROGRAM", target="CCA", starts_at=at(100)),
        ["60-100 8 winner+loser", "100-120 4 loser"],
    ),
}


@pytest.mark.parametrize(("happens", "expected"), GIVES_WAY.values(), ids=GIVES_WAY.keys())
def test_loser_takes_over_by_itself_and_the_change_is_seen(happens, expected):
    one = meter()
    battery = device(one)
    winner = event("winner", one, kw="8", programs=["CCA"])
    event("loser", one, kw="4", programs=["ELRP"], priority_rank=2)
    plan()
    assert lanes(battery) == ["60-120 8 winner+loser"]
    met = Overlap.objects.get()
    assert "ELRP (rank 2, 4 kW) is met inside CCA's share" in met.reason
    happens(winner)
    plan(1)
    assert lanes(battery) == expected
    assert battery.schedules.count() == 2
    alone = [each for each in expected if each.endswith(" loser")]
    said = ScheduleSegment.objects.filter(schedule__superseded_at=None, leap_event_ids=["loser"])
    assert {each.reason.startswith("Serves ELRP, rank 2") for each in said} == {True}
    assert len(said) == len(alone)
    told = list(Overlap.objects.order_by("starts_at").values_list("starts_at", "ends_at", "reason"))
    assert told != [(met.starts_at, met.ends_at, met.reason)]


def test_group_hold_reaches_meters_that_only_a_call_named():
    one = meter()
    battery = device(one)
    named = group()
    event("a", one, market_group_id=named.market_group_id)
    plan()
    override(scope="MARKET_GROUP", target=named.market_group_id)
    plan(1)
    assert lanes(battery) == []


def test_hold_meets_an_event_that_comes_later():
    one = meter()
    battery = device(one)
    override(starts_at=at(90))
    plan()
    event("a", one)
    plan(1)
    assert lanes(battery) == ["60-90 8 a"]


def test_running_hold_that_is_ended_lets_the_rest_run():
    one = meter()
    battery = device(one)
    event("a", one)
    row = override()
    plan()
    end_override(override_id=row.pk, now=at(80), by="ana")
    plan(80)
    assert lanes(battery) == ["80-120 8 a"]


def test_force_runs_without_an_event():
    battery = device(meter())
    override(
        "FORCE", "DEVICE", battery.external_id, starts_at=at(5), ends_at=at(10), target_kw=Decimal("2.5")
    )
    plan()
    assert lanes(battery) == ["5-10 2.5 "]


BREAKS = {
    "opt-out": (
        {"action": "OPT_OUT"},
        r"opt-out breaks a commitment \(a\); it needs a confirmation and a reason",
    ),
    "opt-out without a reason": (
        {"action": "OPT_OUT", "confirm_commitment": True, "reason": " "},
        "it needs a reason",
    ),
    "hold without a reason": ({"reason": ""}, r"hold breaks a commitment \(a\); it needs a reason"),
    "force below it without a reason": (
        {"action": "FORCE", "target_kw": Decimal(1), "reason": ""},
        r"force may break a commitment \(a\); it needs a reason",
    ),
}


@pytest.mark.parametrize(("fields", "sentence"), BREAKS.values(), ids=BREAKS.keys())
def test_breaking_a_commitment_needs_a_reason_and_an_opt_out_a_confirmation(fields, sentence):
    one = meter()
    battery = device(one)
    row = event("a", one)
    plan()
    target = {"action": "HOLD", "scope": "METER", "target": one.meter_id} | fields
    with pytest.raises(OverrideRefused, match=sentence):
        override(**target)
    assert not Override.objects.exists()
    override(**target | {"confirm_commitment": True, "reason": "oxygen"})
    plan(1)
    assert lanes(battery) == (["0-600 1 "] if "target_kw" in fields else [])
    change(row, is_voluntary=True)
    assert override(**target).pk


def test_unconfirmed_opt_out_spares_a_commitment_that_comes_later():
    one = meter()
    battery = device(one)
    row = event("a", one, is_voluntary=True)
    plan()
    override("OPT_OUT", "DEVICE", battery.external_id)
    plan(1)
    assert lanes(battery) == []
    change(row, is_voluntary=False)
    plan(2)
    assert lanes(battery) == ["60-120 8 a"]
    assert DispatchEvent.objects.get().is_unserved is False


NONSENSE = {
    "ends before it begins": ({"ends_at": at(0)}, "ends before it begins"),
    "over already": ({"starts_at": at(-9), "ends_at": at(-1)}, "over already"),
    "power with a hold": ({"target_kw": Decimal(5)}, "Only a force"),
    "no power": ({"action": "FORCE", "target_kw": Decimal(0)}, "above 0 kW"),
    "power that is no number": ({"action": "FORCE", "target_kw": Decimal("NaN")}, "above 0 kW"),
    "unknown device": ({"scope": "DEVICE", "target": "nobody"}, "No device is called “nobody”"),
    "unknown group": ({"scope": "MARKET_GROUP", "target": "g"}, "No market group is called “g”"),
    "unknown action": ({"action": "DANCE"}, "holds, opts out or forces"),
}


@pytest.mark.parametrize(("fields", "sentence"), NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_with_a_sentence(fields, sentence):
    with pytest.raises(OverrideRefused, match=sentence):
        override(**fields)
    assert not Override.objects.exists()
