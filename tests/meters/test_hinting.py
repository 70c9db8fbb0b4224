"""Platform events followed: what they name is read again from Leap, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from leapvpp.leap.simulator.server import LeapSimulator
from meters import hinting, platform_events, syncing
from meters.models import MarketGroup, MarketGroupMembership, Meter, PlatformEvent
from meters.onboarding_models import Connection, ConnectionStep
from meters.queries import FOLLOW_HINTS, SYNC_METERS, waiting
from meters.rereading import read_again
from meters.sync_models import MeterSync, MeterToRead, SyncKind, SyncState
from meters.sync_turns import request_sync, start
from tests.builders import meter
from tests.leap.contracts.checking import checked

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"
NOBODY = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    """A Leap with six meters, which the portal has read."""
    with LeapSimulator(api_key=KEY, page_size=4) as simulator, checked(simulator):
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        simulator.meters.fill(6, now=timezone.now() - timedelta(days=1))
        call_command("sync_meters", stdout=StringIO())
        yield simulator


def ids() -> list[str]:
    return list(Meter.objects.order_by("partner_reference").values_list("meter_id", flat=True))


def arrives(event_type: str, **payload: object) -> PlatformEvent:
    event_id = str(uuid4())
    body = {"webhook_event_id": event_id, "payload": {"webhook_event_type": event_type, **payload}}
    pk, _ = platform_events.keep(
        body=json.dumps(body).encode(),
        received_at=timezone.now(),
        headers={},
        webhook_event_id=event_id,
        event_type=event_type,
    )
    return PlatformEvent.objects.get(pk=pk)


def follow() -> None:
    hinting.follow_waiting(now=timezone.now())


def read(*, at: datetime | None = None) -> MeterSync:
    """Do what a worker does that is woken, which reads named meters."""
    now = at or timezone.now()
    begun = start(request_sync(kind=SyncKind.NAMED, by="", now=now)[0], now=now)
    assert begun is not None
    return syncing.run(begun, clock=lambda: at or timezone.now())


def test_what_an_event_names_is_read_again_within_two_wake_ups(leap):
    one, *_ = ids()
    leap.meters.idle(one, since=timezone.now() - timedelta(minutes=1), now=timezone.now())
    event = arrives("meter.enrollment.participation-status.updated", meter_id=one.upper())
    assert waiting(now=timezone.now()) == (FOLLOW_HINTS,)

    follow()

    event.refresh_from_db()
    assert (event.status, event.outcome) == ("FOLLOWED", "1 meter is read again.")
    assert waiting(now=timezone.now()) == (SYNC_METERS,)
    assert [task.func() for task in OrmQ.objects.order_by("pk")] == [FOLLOW_HINTS, SYNC_METERS]
    assert syncing.sync_if_due(now=timezone.now()).endswith("done")
    run = MeterSync.objects.latest("pk")
    assert (run.kind, run.state, run.meters, run.changed) == ("NAMED", "DONE", 1, 1)
    assert Meter.objects.get(meter_id=one).participation == "IDLE"
    assert not MeterToRead.objects.exists()
    assert waiting(now=timezone.now()) == ()


def test_who_left_a_group_is_read_too_and_the_group_is_compared(leap):
    left, *stayed = ids()
    group = MarketGroup.objects.get()
    MarketGroup.objects.update(compare_requested_at=None)
    held = MarketGroupMembership.objects.filter(meter__meter_id=left).get()
    new = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"
    leap.meters.edit(
        [left],
        lambda meter: {
            "program_enrollment": [{**each, "market_group_id": new} for each in meter["program_enrollment"]]
        },
        now=timezone.now(),
    )
    window = {"start_date_time": held.starts_at.isoformat(), "end_date_time": "9000-01-01T00:00:00Z"}
    arrives(
        "meter.enrollment.group.updated",
        market_group_id=group.market_group_id,
        meter_ids=[*stayed, "x"],
        **window,
    )
    follow()

    event = PlatformEvent.objects.get()
    assert event.outcome == "6 meters are read again. 1 of the meter_ids is no UUID."
    group.refresh_from_db()
    assert group.compare_requested_at is not None
    read()
    held.refresh_from_db()
    assert held.ends_at is not None and held.ends_at <= timezone.now()
    assert MarketGroupMembership.objects.filter(meter__meter_id=left, group__market_group_id=new).exists()


def test_odd_events_are_put_aside_and_block_no_other(leap, settings):
    settings.LEAP_API_KEY = ""
    arrives("meter.created", meter_id="x")
    arrives("meter.painted")
    arrives("connect_session.updated", partner_reference="home-1", status="CREATED")
    arrives("connect_session.updated", partner_reference="x" * 300, status="CREATED")
    arrives("meter.created", meter_id=NOBODY)
    PlatformEvent.objects.create(received_at=timezone.now(), body=b"{", sha256="1", status="RECEIVED")

    follow()

    told = list(PlatformEvent.objects.order_by("pk").values_list("status", "reason", "outcome"))
    assert [status for status, *_ in told] == [
        "QUARANTINED",
        "FOLLOWED",
        "FOLLOWED",
        "QUARANTINED",
        "FOLLOWED",
        "QUARANTINED",
    ]
    assert told[0][1] == "The payload's meter_id is no UUID."
    assert told[1][2] == "Type unknown to the portal; kept."
    assert Connection.objects.get().partner_reference == "home-1"
    assert told[4][2] == "1 meter is to be read again, but cannot be until LEAP_API_KEY is set."
    assert MeterToRead.objects.get().meter_id == NOBODY
    assert waiting(now=timezone.now()) == ()


def test_a_batch_costs_the_same_statements_whatever_is_in_it(leap):
    def statements(count: int) -> int:
        for _ in range(count):
            arrives("meter.created", meter_id=str(uuid4()))
            arrives("connect_session.updated", partner_reference=str(uuid4()), status="CREATED")
            arrives("meter.enrollment.group.updated", market_group_id=str(uuid4()), meter_ids=[str(uuid4())])
        with CaptureQueriesContext(connection) as captured:
            follow()
        return len(captured)

    assert statements(1) == statements(5)


def test_a_meter_that_leap_does_not_tell_of_is_asked_for_four_times_and_then_left(leap, caplog):
    now = timezone.now()
    for odd in (NOBODY, "no-uuid"):
        read_again([odd], why="a hint", now=now)
    for minutes in (1, 5, 30):
        run = read(at=now)
        assert (run.kind, run.state, run.meters) == ("NAMED", "DONE", 0)
        assert set(MeterToRead.objects.values_list("attempt_at", flat=True)) == {
            now + timedelta(minutes=minutes)
        }
        now += timedelta(minutes=minutes)
    read(at=now)
    assert not MeterToRead.objects.exists()
    assert "told nothing of 2 meters" in caplog.text


def test_who_is_asked_for_again_while_leap_answers_is_read_once_more(leap):
    one, *_ = ids()
    asked = timezone.now()
    read_again([one], why="first", now=asked)
    (named,) = MeterToRead.objects.all()
    sync = start(request_sync(kind=SyncKind.NAMED, by="", now=asked)[0], now=asked)
    with syncing.open_client() as client:
        pairs = syncing._by_id(client, [one])
    read_again([one], why="second", now=asked + timedelta(seconds=1))
    syncing.apply_page(sync, pairs, named=[named], now=asked)
    assert MeterToRead.objects.get().why == "second"


def test_while_leap_is_away_they_wait_ever_longer_and_nothing_is_lost(leap, settings):
    one, *_ = ids()
    read_again([one], why="a hint", now=timezone.now())
    settings.LEAP_API_KEY = "wrong"
    good = MeterSync.objects.latest("pk")
    waits = []
    for _ in range(3):
        run = read()
        assert (run.kind, run.state) == ("NAMED", "FAILED")
        for seconds in (29, 31, 61, 121):
            if waiting(now=run.finished_at + timedelta(seconds=seconds)):
                waits.append(seconds)
                break
        MeterSync.objects.filter(pk=run.pk).update(finished_at=run.finished_at - timedelta(seconds=121))
    assert waits == [31, 61, 121]
    assert MeterToRead.objects.get().tries == 0
    settings.LEAP_API_KEY = KEY
    assert read().state == "DONE"
    assert not MeterToRead.objects.exists()
    request, _ = request_sync(kind=SyncKind.CHANGES, by="", now=timezone.now())
    # Runs of named meters do not count for what changed since.
    assert start(request, now=timezone.now()).since < good.started_at


def test_a_long_run_reads_named_meters_between_its_pages(leap):
    read_again([NOBODY, ids()[0]], why="a hint", now=timezone.now())
    sync = start(request_sync(kind=SyncKind.FULL, by="", now=timezone.now())[0], now=timezone.now())
    with syncing.open_client() as client:
        pages = syncing._pages(client, sync, now=timezone.now())
        syncing.apply_page(sync, next(pages), now=timezone.now())
        assert syncing._read_named(client, sync, clock=timezone.now)
    assert MeterToRead.objects.get().meter_id == NOBODY


def test_a_run_of_named_meters_grows_into_what_is_asked_for_meanwhile(leap):
    sync = start(request_sync(kind=SyncKind.NAMED, by="", now=timezone.now())[0], now=timezone.now())
    grown, is_new = request_sync(kind=SyncKind.FULL, by="anna", now=timezone.now())
    assert (grown.pk, grown.kind, is_new, grown.requested_by) == (sync.pk, "FULL", True, "anna")
    leap.meters.remove(ids()[0])

    run = syncing.run(sync)

    assert (run.state, run.kind, run.meters, run.vanished) == (SyncState.DONE, "FULL", 5, 1)


def test_runs_of_named_meters_are_forgotten_after_a_week_unless_they_changed_something(leap):
    long_ago = timezone.now() - timedelta(days=8)
    over = {"state": "DONE", "turn": None, "requested_at": long_ago, "finished_at": long_ago}
    for changed in (0, 3):
        MeterSync.objects.create(kind="NAMED", changed=changed, **over)
    call_command("sync_meters", stdout=StringIO())
    assert MeterSync.objects.filter(kind="NAMED").get().changed == 3


def test_an_event_with_a_null_character_holds_up_no_other():
    """PostgreSQL stores it nowhere: the batch with it would fail for ever, and every event behind it."""
    one = meter()
    odd = {"partner_reference": "home-1", "status": "FAI\0LED", "utility_name": "P\0GE"}
    arrives("connect_session.authorization_updated", **odd)
    arrives("meter.created", meter_id=one.meter_id)

    follow()

    assert set(PlatformEvent.objects.values_list("status", flat=True)) == {"FOLLOWED"}
    step = ConnectionStep.objects.get()
    assert (step.status, step.utility_name) == (
        "FAI\N{REPLACEMENT CHARACTER}LED",
        "P\N{REPLACEMENT CHARACTER}GE",
    )
