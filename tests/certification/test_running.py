"""A run's rows: who may begin, who plays next, what is left when its process dies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devices.models import Device
from dispatch.models import DispatchEvent, DispatchNotification, RecipientMember, RecipientSet
from leapvpp.certification import running
from leapvpp.certification.playing import IN_TIME
from leapvpp.certification.portfolio import build_portfolio, is_anything_left, remove_everything
from leapvpp.certification.queries import TASK, waiting
from leapvpp.leap.simulator.scenario import find_scenario, scenario_paths
from leapvpp.models import CertificationResult, CertificationRun, ResultState, RunState
from meters.models import MarketGroup, Meter

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def begin(*names, in_worker=True, now=NOW):
    return running.start_run(
        url="http://127.0.0.1:1/", started_by="maya", names=names, is_in_worker=in_worker, now=now
    )


def event_for(meter_ids, *, leap_event_id):
    """An event for these meters and the notification that named it."""
    recipients = RecipientSet.objects.create(digest=leap_event_id, meter_ids=list(meter_ids), size=1)
    RecipientMember.objects.bulk_create(
        RecipientMember(recipients=recipients, meter_id=meter_id) for meter_id in meter_ids
    )
    event = DispatchEvent.objects.create(
        level="METER",
        leap_event_id=leap_event_id,
        recipients=recipients,
        starts_at=NOW,
        ends_at=NOW + MINUTE,
        priority_rank=1,
        is_voluntary=False,
        first_received_at=NOW,
        changed_at=NOW,
    )
    notification = DispatchNotification.objects.create(
        received_at=NOW, body=leap_event_id.encode(), sha256=leap_event_id, status="RECORDED"
    )
    notification.items.create(position=0, event=event, outcome="CREATED")
    return event


def test_a_run_holds_every_scenario_in_order():
    results = begin().results.order_by("position")
    assert [result.scenario for result in results] == list(scenario_paths())
    assert {result.state for result in results} == {ResultState.WAITING}


def test_a_second_run_is_refused_while_one_is_under_way():
    begin("repeated")
    with pytest.raises(running.RunRefused, match="under way"):
        begin("repeated", now=NOW + MINUTE)
    assert CertificationRun.objects.count() == 1


def test_the_dispatcher_wakes_a_worker_for_a_run_until_one_plays():
    assert waiting(now=NOW) == []
    run = begin("repeated")
    assert waiting(now=NOW) == [TASK]
    run.results.update(state=ResultState.PLAYING)
    assert waiting(now=NOW) == []


def test_the_dispatcher_leaves_a_run_of_the_command_alone():
    begin("repeated", in_worker=False)
    assert waiting(now=NOW) == []


def test_a_run_whose_process_died_is_ended_and_cleaned_up_after():
    dead = begin("repeated", "rough-day")
    dead.results.filter(position=1).update(state=ResultState.PLAYING)
    build_portfolio(find_scenario("repeated"), label="1-1", now=NOW)
    later = NOW + running.DEAD_AFTER + MINUTE
    assert waiting(now=later) == [TASK]
    assert running.play_waiting(now=later) == "nothing to play"
    dead.refresh_from_db()
    assert (dead.state, dead.reason) == (RunState.ABORTED, "Its process stopped before the end.")
    assert set(dead.results.values_list("state", flat=True)) == {ResultState.SKIPPED}
    assert not is_anything_left()
    assert begin("repeated", now=later).state == RunState.RUNNING


def test_only_one_scenario_plays_at_a_time():
    first = begin("repeated", "rough-day")
    first.results.filter(position=1).update(state=ResultState.PLAYING)
    assert running.play_next(run_id=first.pk, now=NOW) is None
    assert first.results.get(position=2).state == ResultState.WAITING


def test_three_scenarios_out_of_time_end_a_run():
    run = begin("repeated", "rough-day", "late-original", "lost-update")
    late = [{"name": IN_TIME, "passed": False, "sentence": ""}]
    run.results.filter(position__lt=3).update(state=ResultState.FAILED, checks=late)
    result = CertificationResult.objects.get(run=run, position=3)
    outcome = running.Outcome(
        findings=(running.Finding(IN_TIME, "", is_passed=False),),
        timings=running.Timings(),
        notifications=0,
        events=0,
        is_searched=False,
    )
    running._store(result, outcome, now=NOW)
    run.refresh_from_db()
    assert (run.state, run.reason) == (RunState.ABORTED, running.HOPELESS)


def test_removal_takes_what_a_run_made_and_nothing_else():
    meter = Meter.objects.create(meter_id="11111111-1111-1111-1111-111111111111", name="Real")
    device = Device.objects.create(external_id="real", rated_power_kw=1)
    group = MarketGroup.objects.create(market_group_id="real")
    kept = event_for([meter.meter_id], leap_event_id="kept")
    portfolio = build_portfolio(find_scenario("both-levels"), label="1-1", now=NOW)
    event_for([portfolio.recipients["oakland-home"]], leap_event_id="made")
    unread = portfolio.recipients["berkeley-home"].encode()
    later = Meter.objects.latest("created_at").created_at
    DispatchNotification.objects.create(received_at=later, body=unread, sha256="unread")
    assert (Meter.objects.count(), Device.objects.count()) == (3, 3)
    assert remove_everything() == 2
    assert list(Meter.objects.all()) == [meter]
    assert list(Device.objects.all()) == [device]
    assert list(MarketGroup.objects.all()) == [group]
    assert list(DispatchEvent.objects.all()) == [kept]
    assert [row.sha256 for row in DispatchNotification.objects.all()] == ["kept"]
    assert [row.digest for row in RecipientSet.objects.all()] == ["kept"]
