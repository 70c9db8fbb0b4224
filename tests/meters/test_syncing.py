"""Meters in step with Leap: over real HTTP against the simulator, what is ours left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import MeterDevice
from leapvpp.leap.simulator.server import LeapSimulator
from meters import syncing
from meters.enrollment_models import Program
from meters.models import MarketGroup, MarketGroupMembership, Meter
from meters.queries import SYNC_METERS, waiting
from meters.readiness import reason_not_dispatchable
from meters.sync_models import MeterAtLeap, MeterChange, MeterSync, SyncKind, SyncState
from meters.sync_turns import LEASE, TurnLost, request_sync, start
from tests.builders import device, meter
from tests.leap.contracts.checking import checked

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    """A Leap that pages by seven, known to the portal."""
    with LeapSimulator(api_key=KEY, page_size=7) as simulator, checked(simulator, answers=False):
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        yield simulator


def sync(*arguments: str) -> MeterSync:
    call_command("sync_meters", *arguments, stdout=StringIO())
    return MeterSync.objects.latest("pk")


def told(run: MeterSync) -> dict[str, tuple[str, dict]]:
    rows = MeterChange.objects.filter(sync=run).select_related("meter")
    return {row.meter.meter_id: (row.kind, row.fields) for row in rows}


def test_all_meters_appear_with_groups_and_all_that_leap_said(leap):
    ids = leap.meters.fill(60, now=timezone.now())

    run = sync()

    assert (run.kind, run.state, run.turn, run.pages) == ("FULL", "DONE", None, 9)
    assert (run.meters, run.appeared, run.changed, run.vanished) == (60, 60, 0, 0)
    one = Meter.objects.get(meter_id=ids[0])
    assert (one.partner_reference, one.transmission_region, one.programs) == (
        "customer-000000",
        "CAISO",
        ["CCA"],
    )
    assert (one.timezone, one.enrollment_status, one.participation) == (
        "America/Los_Angeles",
        "ACTIVE",
        "PARTICIPATE",
    )
    assert one.plan_requested_at is not None
    assert one.at_leap.details["utility"] == {"utility_name": "PGE"}
    assert one.at_leap.enrollment["required_actions"] == {"partner": [], "leap": []}
    assert sorted(MarketGroup.objects.values_list("name", flat=True)) == ["CAISO_1", "NYISO_2"]
    assert MarketGroupMembership.objects.count() == 60


def test_nothing_of_ours_is_overwritten_and_nothing_is_told_twice(leap):
    (meter_id,) = leap.meters.fill(1, now=timezone.now())
    ours = meter(
        meter_id=meter_id,
        name="The Smiths",
        timezone="America/Denver",
        nomination_kw=4,
        partner_reference="old",
    )
    device(ours)

    first = sync()
    Meter.objects.update(plan_requested_at=None)
    second = sync("--full")

    found = Meter.objects.get()
    assert (found.name, found.timezone, found.nomination_kw) == ("The Smiths", "America/Denver", 4)
    assert MeterDevice.objects.filter(meter=found).count() == 1
    assert told(first)[meter_id][1]["partner_reference"] == ["old", "customer-000000"]
    assert told(second) == {}
    assert found.plan_requested_at is None


def test_changes_are_found_since_the_last_run_and_ask_for_plans_where_they_move_devices(leap):
    long_ago = timezone.now() - timedelta(days=1)
    idle, archived, regrouped, renamed, tagged, *_ = leap.meters.fill(60, now=long_ago)
    sync()
    Meter.objects.update(plan_requested_at=None)
    now = timezone.now()
    leap.meters.idle(idle, since=now - timedelta(minutes=1), now=now)
    leap.meters.archive(archived, now=now)
    new_group = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"
    leap.meters.regroup([regrouped], market_group_id=new_group, name="NEW", now=now)
    leap.meters.change(renamed, now=now, partner_reference="somebody-else")
    leap.meters.change(tagged, now=now, tags=["solar"], site={"number_of_devices": 2})

    run = sync()

    assert (run.kind, run.meters < 60, run.changed, run.archived) == ("CHANGES", True, 4, 1)
    changes = told(run)
    assert changes[idle][1]["participation"] == ["PARTICIPATE", "IDLE"]
    assert changes[archived] == ("ARCHIVED", {"archived": [False, True]})
    assert changes[regrouped][1]["market_groups"][1] == [new_group]
    assert changes[renamed][1] == {"partner_reference": ["customer-000003", "somebody-else"]}
    assert changes[tagged][1] == {"tags": [[], ["solar"]], "site.number_of_devices": [1, 2]}
    planned = Meter.objects.filter(plan_requested_at__isnull=False).values_list("meter_id", flat=True)
    assert set(planned) == {idle, archived, regrouped}
    reasons = [
        reason_not_dispatchable(meter=Meter.objects.get(meter_id=one), now=timezone.now())
        for one in (idle, archived, renamed)
    ]
    assert reasons == ["The meter is idle at Leap.", "The meter is archived.", ""]
    before, after = MarketGroupMembership.objects.filter(meter__meter_id=regrouped).order_by("group_id")
    assert before.ends_at <= timezone.now() < after.ends_at


def test_an_idle_period_that_begins_later_is_noticed_though_leap_changes_nothing(leap):
    long_ago = timezone.now() - timedelta(days=1)
    (meter_id,) = leap.meters.fill(1, now=long_ago)
    leap.meters.idle(meter_id, since=timezone.now() + timedelta(hours=1), now=long_ago)
    sync()
    assert Meter.objects.get().participation == "PARTICIPATE"

    run, _ = request_sync(kind=SyncKind.CHANGES, by="", now=timezone.now())
    later = timezone.now() + timedelta(hours=2)
    syncing.run(start(run, now=later), clock=lambda: later)

    assert Meter.objects.get().participation == "IDLE"


def test_a_full_run_tells_what_is_no_longer_listed_and_what_is_listed_again(leap):
    now = timezone.now()
    gone, *_ = leap.meters.fill(9, now=now)
    sync()
    leap.meters.remove(gone)

    run = sync("--full")
    assert (run.vanished, told(run)) == (1, {gone: ("VANISHED", {})})
    assert sync("--full").vanished == 0
    assert reason_not_dispatchable(meter=Meter.objects.get(meter_id=gone), now=now) == ""

    leap.meters.fill(1, now=now)
    assert told(sync("--full"))[gone][0] == "APPEARED"
    assert MeterAtLeap.objects.filter(gone_at__isnull=False).count() == 0


def test_a_leap_that_lists_nothing_at_all_makes_nobody_vanish(leap):
    ids = leap.meters.fill(3, now=timezone.now())
    sync()
    for meter_id in ids:
        leap.meters.remove(meter_id)

    run = sync("--full")
    assert (run.state, run.meters, run.vanished) == ("DONE", 0, 0)
    assert "listed none" in run.detail


def test_an_odd_meter_costs_no_other_and_then_nothing_is_told_as_gone(leap):
    now = timezone.now()
    odd, other, gone = leap.meters.fill(3, now=now)
    sync()
    leap.meters.change(odd, now=now, partner_reference=["no", "text"])
    leap.meters.change(other, now=now, tags=["a\0b"])
    leap.meters.remove(gone)

    with pytest.raises(CommandError, match="1 meters could not be read"):
        sync("--full")

    run = MeterSync.objects.latest("pk")
    assert (run.state, run.unreadable, run.vanished) == ("DONE", 1, 0)
    assert "could not be read" in run.detail
    assert told(run)[other][1] == {"tags": [[], ["a\N{REPLACEMENT CHARACTER}b"]]}


def test_a_page_costs_the_same_statements_whatever_is_on_it(leap):
    def statements(count: int) -> int:
        for model in (Meter, MarketGroup, Program):
            model.objects.all().delete()
        leap.meters.fill(count, now=timezone.now())
        with CaptureQueriesContext(connection) as captured:
            assert sync("--full").appeared == count
        return len(captured)

    statements(1)  # the very first run asks less
    assert statements(1) == statements(7)


def test_a_run_that_died_is_closed_and_writes_nothing_more(leap):
    leap.meters.fill(1, now=timezone.now())
    asked, _ = request_sync(kind=SyncKind.FULL, by="", now=timezone.now())
    dead = start(asked, now=timezone.now() - LEASE * 2)
    assert waiting(now=timezone.now()) == (SYNC_METERS,)

    assert sync().state == SyncState.DONE

    dead.refresh_from_db()
    assert (dead.state, dead.turn) == (SyncState.LOST, None)
    with pytest.raises(TurnLost):
        syncing.apply_page(dead, [], now=timezone.now())


def test_two_at_once_do_not_double_and_failures_are_told_in_words(leap, settings):
    running, _ = request_sync(kind=SyncKind.FULL, by="", now=timezone.now())
    assert start(running, now=timezone.now()) is not None
    assert start(running, now=timezone.now()) is None
    assert request_sync(kind=SyncKind.FULL, by="", now=timezone.now()) == (running, False)
    assert waiting(now=timezone.now()) == ()
    with pytest.raises(CommandError, match="running already"):
        sync()

    MeterSync.objects.all().delete()
    settings.LEAP_API_KEY = "wrong-key"
    with pytest.raises(CommandError, match="403"):
        sync()
    assert waiting(now=timezone.now()) == ()  # not again at once
    assert waiting(now=timezone.now() + timedelta(minutes=11)) == (SYNC_METERS,)


def test_changes_are_due_hourly_and_everything_at_night_only_with_a_key(leap, settings):
    leap.meters.fill(1, now=timezone.now())
    assert waiting(now=timezone.now()) == (SYNC_METERS,)
    assert syncing.sync_if_due(now=timezone.now()).endswith("done")
    assert waiting(now=timezone.now()) == ()

    run = MeterSync.objects.latest("pk")
    at = run.started_at.replace(hour=10)
    MeterSync.objects.update(started_at=at, finished_at=at)
    assert waiting(now=at + timedelta(minutes=59)) == ()
    assert syncing.sync_if_due(now=at + timedelta(minutes=61)).endswith("done")
    assert MeterSync.objects.latest("pk").kind == SyncKind.CHANGES
    assert syncing.sync_if_due(now=at + timedelta(hours=23, minutes=1)).endswith("done")
    assert MeterSync.objects.latest("pk").kind == SyncKind.FULL

    settings.LEAP_API_KEY = ""
    assert waiting(now=at + timedelta(days=9)) == ()
    with pytest.raises(CommandError, match="LEAP_API_KEY"):
        sync()
