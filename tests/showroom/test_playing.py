"""Every scenario of the showroom, from the body at the door to the stored plan: all of it comes true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from devices.models import Device
from dispatch.models import DispatchEvent
from leapvpp.demo.showroom import running
from leapvpp.demo.showroom.rooms import BY_KEY, seed_showroom
from leapvpp.demo.showroom.scenarios import SCENARIOS
from leapvpp.models import ResultState, ScenarioPlay
from tests.people import person
from tests.showroom.stage import Bench

pytestmark = pytest.mark.django_db

MORNING = datetime(2026, 11, 1, 14, tzinfo=UTC)  # 06:00 in California, the day the clocks changed
AFTERNOON = MORNING + timedelta(hours=8, minutes=1)  # too late for most of what was played in the morning


@pytest.fixture
def clock():
    """The present stands still in the morning until it is moved."""
    with time_machine.travel(MORNING, tick=False) as traveller:
        seed_showroom(now=MORNING)
        yield traveller


def play(key, stage):
    assert running.ask_for_play(key=key, asked_by="maya", now=timezone.now())
    return running.play_next(stage=stage)


def test_every_scenario_comes_true_again_and_again_and_disturbs_no_other(clock, client):
    stage = Bench(client)
    for moment in (MORNING, AFTERNOON):
        clock.move_to(moment)
        for key in SCENARIOS:
            row = play(key, stage)
            assert [check for check in row.checks if not check["passed"]] == []
            assert row.state == ResultState.PASSED
            assert len(row.checks) == sum(len(step.expected) for step in SCENARIOS[key].steps)

    latest = ScenarioPlay.objects.filter(asked_at=AFTERNOON)
    told = {event_id for row in latest for event_id in row.event_ids.values()}
    standing = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=AFTERNOON)
    cancelled = {
        row.event_ids[name]
        for row in latest
        for step in SCENARIOS[row.scenario].steps
        for name in step.cancel
    }
    assert set(standing.values_list("leap_event_id", flat=True)) == told - cancelled


def test_a_visitor_changes_the_charge_and_the_emergency_is_served(clock, client):
    stage = Bench(client)
    play("voluntary", stage)
    battery = Device.objects.get(external_id=BY_KEY["home-battery"].external_id)
    client.force_login(person("operator"))

    for said, runs in (("200", 1), ("39.5", 1), ("80", 2), ("12", 1)):
        client.post(f"/devices/{battery.pk}/charge/", {"percent": said})
        stage.settle(SCENARIOS["voluntary"])
        assert battery.segments.filter(schedule__superseded_at__isnull=True).count() == runs, said


def test_what_breaks_off_is_told_and_the_next_can_be_played(clock, client):
    class Deaf(Bench):
        def tell(self, events):
            raise OSError("nobody answers")

    row = play("spread", Deaf(client))
    assert row.state == ResultState.FAILED
    assert row.checks[-1]["sentence"] == "It broke off. OSError: nobody answers"
    assert play("spread", Bench(client)).state == ResultState.PASSED


def test_what_a_dead_process_was_playing_can_be_played_again(clock):
    running.ask_for_play(key="spread", asked_by="maya", now=MORNING)
    ScenarioPlay.objects.update(state=ResultState.PLAYING)
    assert not running.ask_for_play(key="spread", asked_by="maya", now=MORNING)
    running.end_interrupted()
    assert ScenarioPlay.objects.get().state == ResultState.SKIPPED
    assert running.ask_for_play(key="spread", asked_by="maya", now=MORNING)
