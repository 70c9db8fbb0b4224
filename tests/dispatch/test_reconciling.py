"""The portal agrees with Leap's search, and a Leap that does not answer harms nothing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dispatch.models import DispatchEvent, DispatchNotification, Doubt, EventRevision, PollState, Source
from dispatch.queries import is_search_due, waiting
from dispatch.queue import RECONCILE
from dispatch.receiving import receive
from dispatch.reconciling import reconcile
from dispatch.recording import record_waiting
from dispatch.settling import DoubtOvertaken, keep_held, take_doubted
from tests.bodies import EVENT, OTHER_EVENT, as_bytes, at, group_body, meter_body, text, timeslot
from tests.dispatch.ledger import Ledger, clock_at

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _search_is_on(settings):
    settings.LEAP_API_KEY = "a-key"


@pytest.fixture
def leap() -> Ledger:
    return Ledger()


def ask(leap: Ledger, *, minute: float) -> str:
    return reconcile(now=at(minute), client=leap.client, clock=clock_at(at(minute)))


def push(*slots: dict, minute: float) -> None:
    receive(body=as_bytes(meter_body(*slots)), source=Source.WEBHOOK, received_at=at(minute))
    record_waiting(now=at(minute))


def test_what_no_webhook_brought_is_found_on_every_page(leap):
    leap.truth = {str(number): timeslot(str(number)) for number in range(5)}
    assert ask(leap, minute=0) == "asked, 2 of 2 levels answered"
    assert DispatchEvent.objects.count() == 5
    assert set(EventRevision.objects.values_list("source", flat=True)) == {"POLL"}
    assert not PollState.objects.filter(found_unpushed_at__isnull=False).exists(), (
        "the first search finds all"
    )
    leap.truth["new"] = timeslot("new")
    ask(leap, minute=2)
    assert PollState.objects.get(level="METER").found_unpushed_at == at(2)
    assert PollState.objects.get(level="GROUP").found_unpushed_at is None


def test_it_is_asked_once_a_minute_and_by_one_worker(leap):
    assert is_search_due(now=at(0))
    assert waiting(now=at(0)) == (RECONCILE,)
    ask(leap, minute=0)
    assert not is_search_due(now=at(0.9))
    assert ask(leap, minute=0.9) == "not due"
    assert is_search_due(now=at(1))


def test_a_doubt_is_asked_about_at_once_and_settled(leap):
    leap.truth = {EVENT: timeslot(cancelled=True)}
    ask(leap, minute=0)
    push(timeslot(), minute=0.3)
    assert not DispatchEvent.objects.get().is_confirmed
    assert is_search_due(now=at(0.4))
    leap.asked.clear()
    ask(leap, minute=0.4)
    assert leap.asked == [[EVENT], None], "by id, and first of all"
    event = DispatchEvent.objects.get()
    assert (event.is_cancelled, event.is_confirmed, event.revision) == (True, True, 1)
    assert Doubt.objects.get().verdict == "KEPT"
    assert not is_search_due(now=at(0.9))


def test_what_is_open_and_not_mentioned_is_asked_by_id_and_not_cancelled(leap):
    push(timeslot(), minute=0)
    ask(leap, minute=1)
    assert leap.asked == [None, [EVENT]]
    event = DispatchEvent.objects.get()
    assert (event.is_cancelled, event.is_confirmed) == (False, True)


def test_a_doubt_that_leap_never_mentions_is_left_to_the_operator_after_a_week(leap):
    doubted()
    over = 300 + 7 * 24 * 60
    ask(leap, minute=over - 1)
    assert leap.asked == [[EVENT], None]
    ask(leap, minute=over + 1)
    assert leap.asked[2:] == [None]
    assert Doubt.objects.filter(settled_at__isnull=True).exists()


def test_an_integration_test_is_not_asked_for(leap):
    push(timeslot(integration_test_notification=True), minute=0)
    ask(leap, minute=1)
    assert leap.asked == [None]


def test_the_same_answer_again_is_stored_once(leap):
    leap.truth = {EVENT: timeslot()}
    for minute in range(3):
        ask(leap, minute=minute)
    stored = DispatchNotification.objects.get()
    assert (stored.source, stored.repeat_count, stored.repeated_at) == ("POLL", 2, None)
    assert DispatchEvent.objects.get().revision == 1


def test_an_answer_that_was_true_before_and_is_again_wins_again(leap):
    for minute, changes in enumerate(({}, {"energy_kw": 12}, {})):
        leap.truth = {EVENT: timeslot(**changes)}
        ask(leap, minute=minute)
    event = DispatchEvent.objects.get()
    assert (event.energy_kw, event.revision, event.is_confirmed) == (10, 3, True)


def test_a_leap_that_is_away_harms_nothing_and_is_asked_again(leap):
    push(timeslot(), minute=0)
    leap.is_away = True
    assert ask(leap, minute=1) == "asked, 0 of 2 levels answered"
    state = PollState.objects.get(level="METER")
    assert (state.tried_at, state.answered_at, state.error) == (at(1), None, "nobody answers")
    push(timeslot(energy_kw=12), timeslot(OTHER_EVENT), minute=1.1)
    push(timeslot(), minute=1.2)
    assert not is_search_due(now=at(1.4)), "a failing Leap is not asked at once about a doubt"
    assert is_search_due(now=at(1.5)), "but soon enough that its return is noticed within a minute"
    leap.is_away = False
    leap.truth = {EVENT: timeslot(energy_kw=12), OTHER_EVENT: timeslot(OTHER_EVENT)}
    ask(leap, minute=2)
    assert (PollState.objects.get(level="METER").error, Doubt.objects.get().verdict) == ("", "KEPT")


def test_a_slow_leap_is_given_up_for_this_turn(leap):
    leap.truth = {str(number): timeslot(str(number)) for number in range(5)}
    moments = iter([at(0), at(0.1), at(0.6), *[at(1)] * 9])
    reconcile(now=at(0), client=leap.client, clock=lambda: next(moments))
    assert "longer than 25 s" in PollState.objects.get(level="METER").error
    assert DispatchEvent.objects.count() == 2, "what was answered in time is kept"


def test_out_of_time_no_level_is_asked_any_more(leap):
    reconcile(now=at(0), client=leap.client, clock=clock_at(at(1)))
    assert leap.asked == []
    assert ["longer than 25 s" in state.error for state in PollState.objects.all()] == [True, True]


def test_a_key_that_cannot_be_sent_is_told_and_not_tried_every_second(settings):
    settings.LEAP_API_KEY = "a key\nwith a second line"
    reconcile(now=at(0), clock=clock_at(at(0)))
    assert all(PollState.objects.values_list("error", flat=True))
    assert not is_search_due(now=at(0.4))


def test_without_a_key_nobody_is_asked(leap, settings):
    settings.LEAP_API_KEY = ""
    with CaptureQueriesContext(connection) as queries:
        assert ask(leap, minute=0) == "not due"
    assert len(queries) == 0


def doubted(minute: float = 0) -> Doubt:
    push(timeslot(), minute=minute)
    push(timeslot(energy_kw=12), minute=minute + 1)
    push(timeslot(), minute=minute + 2)
    return Doubt.objects.get(settled_at__isnull=True)


def test_an_operator_keeps_what_is_held():
    event = keep_held(doubt_id=doubted().pk, by="maya", now=at(5))
    event.refresh_from_db()
    assert (event.energy_kw, event.is_confirmed, event.revision) == (12, True, 2)
    doubt = Doubt.objects.get()
    assert (doubt.verdict, doubt.settled_by, doubt.settled_at) == ("KEPT", "maya", at(5))


def test_an_operator_takes_what_is_doubted():
    event = take_doubted(doubt_id=doubted().pk, by="maya", now=at(5))
    assert (event.energy_kw, event.is_confirmed, event.plan_requested_at) == (10, True, at(5))
    revision = EventRevision.objects.get(number=3)
    assert (revision.source, revision.kind) == ("OPERATOR", "MODIFIED")
    doubt = Doubt.objects.get()
    assert (doubt.verdict, doubt.settled_by) == ("TAKEN", "maya")


def test_a_groups_meters_stay_when_an_operator_takes_what_is_doubted():
    group_said = [timeslot(level="group", **changes) for changes in ({}, {"energy_kw": 12}, {})]
    for minute, slot in enumerate(group_said):
        receive(body=as_bytes(group_body(slot)), source=Source.WEBHOOK, received_at=at(minute))
        record_waiting(now=at(minute))
    event = take_doubted(doubt_id=Doubt.objects.get().pk, by="maya", now=at(5))
    assert (event.recipients.size, event.energy_kw) == (2, 10)


@pytest.mark.parametrize("settle", [keep_held, take_doubted])
def test_an_operator_cannot_settle_what_newer_news_overtook(settle):
    seen = doubted()
    push(timeslot(end_time=text(at(310))), minute=4)
    with pytest.raises(DoubtOvertaken):
        settle(doubt_id=seen.pk, by="maya", now=at(5))
    event = DispatchEvent.objects.get()
    assert (event.ends_at, event.is_confirmed) == (at(310), True)
    assert Doubt.objects.get().verdict == "OVERTAKEN"
