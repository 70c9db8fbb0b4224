"""What Leap said last is not always what came in last."""

from __future__ import annotations

from itertools import permutations

import pytest

from dispatch import models
from dispatch.domain import belief, revisions
from dispatch.domain.belief import Arrival, Held, Outcome, Source, Verdict, judge
from dispatch.domain.revisions import EventFields, Kind, fields_from_content, kind_of_change
from dispatch.intake.document import read_document
from dispatch.intake.payloads import read_timeslots
from tests.bodies import as_bytes, at, meter_body, text, timeslot


def fields(**changes) -> EventFields:
    document = read_document(as_bytes(meter_body(timeslot(**changes))))
    [slot] = read_timeslots(document, source=Source.WEBHOOK, now=at(0))
    assert slot.fields is not None
    return slot.fields


A = fields()
MORE = fields(energy_kw=11)
CANCELLED = fields(cancelled=True)
CANCELLED_MORE = fields(energy_kw=11, cancelled=True)
EARLY_END = fields(end_time=text(at(270)))


def hear(*said: EventFields, source: Source = Source.WEBHOOK, may_ask: bool = False, start: float = 0):
    """Judge one after the other, a minute apart; return all judgements."""
    held: Held | None = None
    judgements = []
    for minute, one in enumerate(said):
        judgement = judge(held, Arrival(fields=one, source=source, at=at(start + minute)), may_ask=may_ask)
        held = judgement.held
        judgements.append(judgement)
    return judgements


def search(held: Held, said: EventFields, *, minute: float):
    return judge(held, Arrival(fields=said, source=Source.POLL, at=at(minute)), may_ask=True)


KINDS = {
    "more power": (A, MORE, 0, Kind.MODIFIED),
    "a moved window": (A, fields(start_time=text(at(245)), end_time=text(at(305))), 0, Kind.MODIFIED),
    "a later end before the start": (A, fields(end_time=text(at(330))), 0, Kind.EXTENDED),
    "an earlier end before the start": (A, EARLY_END, 0, Kind.MODIFIED),
    "an earlier end while it runs": (A, EARLY_END, 280, Kind.ENDED_EARLY),
    "an earlier end heard of after the end": (A, EARLY_END, 301, Kind.ENDED_EARLY),
    "a later end while it runs": (A, fields(end_time=text(at(330))), 280, Kind.EXTENDED),
    "cancelled": (A, CANCELLED, 0, Kind.CANCELLED),
    "cancelled while it runs": (A, CANCELLED, 280, Kind.CANCELLED),
    "un-cancelled with changes": (CANCELLED, MORE, 0, Kind.REINSTATED),
}


@pytest.mark.parametrize(("old", "new", "minute", "kind"), KINDS.values(), ids=KINDS.keys())
def test_a_change_has_a_name(old, new, minute, kind):
    assert kind_of_change(old, new, at=at(minute)) is kind


def test_content_survives_being_written_down():
    assert fields_from_content(A.as_content()) == A
    assert fields(programs=["B", "A"]).digest == fields(programs=["A", "B"]).digest


def test_a_repeat_changes_nothing():
    assert [one.outcome for one in hear(A, A)] == [Outcome.CREATED, Outcome.REPEATED]


def test_a_new_version_is_a_revision():
    _, last = hear(A, MORE)
    assert (last.outcome, last.kind, last.held.revision) == (Outcome.REVISED, Kind.MODIFIED, 2)


@pytest.mark.parametrize("may_ask", [True, False], ids=["search on", "search off"])
@pytest.mark.parametrize(
    "said",
    [(A, CANCELLED, A), (A, MORE, CANCELLED_MORE, A), (A, CANCELLED_MORE, MORE), (CANCELLED, A)],
    ids=["late original", "late older version", "late version never seen", "original after a tombstone"],
)
def test_a_late_original_does_not_revive_a_cancelled_event(said, may_ask):
    last = hear(*said, may_ask=may_ask)[-1]
    assert last.outcome is Outcome.SUSPECT
    assert last.held.fields.is_cancelled
    assert last.held.doubt.fields == said[-1]


def test_changed_content_reinstates():
    last = hear(A, CANCELLED, MORE)[-1]
    assert (last.outcome, last.kind) == (Outcome.REVISED, Kind.REINSTATED)
    assert last.held.doubt is None


@pytest.mark.parametrize("may_ask", [True, False], ids=["search on", "search off"])
def test_a_late_original_does_not_prolong_what_ended_early(may_ask):
    last = hear(A, EARLY_END, A, may_ask=may_ask, start=270)[-1]
    assert (last.outcome, last.held.fields, last.held.is_ended_early) == (Outcome.SUSPECT, EARLY_END, True)


def test_what_ended_early_and_is_extended_again_no_longer_ended_early():
    extended = hear(A, EARLY_END, fields(end_time=text(at(330))), start=270)[-1]
    assert (extended.kind, extended.held.is_ended_early) == (Kind.EXTENDED, False)
    more_power = hear(A, EARLY_END, fields(end_time=text(at(270)), energy_kw=9), start=270)[-1]
    assert (more_power.kind, more_power.held.is_ended_early) == (Kind.MODIFIED, True)


def test_an_older_version_waits_for_the_search():
    last = hear(A, MORE, A, may_ask=True)[-1]
    assert (last.outcome, last.held.fields, last.held.doubt.fields) == (Outcome.SUSPECT, MORE, A)
    assert last.held.doubt.why == "It says what revision 1 said, which was superseded."


def test_without_a_search_the_last_arrival_wins_and_what_it_displaced_is_kept():
    last = hear(A, MORE, A)[-1]
    assert (last.outcome, last.held.fields, last.held.doubt.fields) == (Outcome.REVISED, A, MORE)


def test_the_search_settles_a_doubt_either_way():
    held = hear(A, CANCELLED, A, may_ask=True)[-1].held
    kept = search(held, CANCELLED, minute=5)
    assert (kept.outcome, kept.verdict, kept.held.doubt) == (Outcome.CONFIRMED, Verdict.KEPT, None)
    taken = search(held, A, minute=5)
    assert (taken.outcome, taken.verdict, taken.kind) == (Outcome.REVISED, Verdict.TAKEN, Kind.REINSTATED)
    overtaken = search(held, MORE, minute=5)
    assert (overtaken.verdict, overtaken.held.fields) == (Verdict.OVERTAKEN, MORE)


def test_a_search_asked_before_newer_news_decides_nothing():
    held = hear(A, MORE)[-1].held
    answer = search(held, A, minute=0.5)
    assert (answer.outcome, answer.held) == (Outcome.REPEATED, held)


def test_new_news_overtakes_a_doubt():
    last = hear(A, CANCELLED, A, MORE, may_ask=True)[-1]
    assert (last.verdict, last.held.doubt, last.held.fields) == (Verdict.OVERTAKEN, None, MORE)


def test_an_integration_test_cannot_take_over_a_real_event():
    held = hear(A)[-1].held
    test = fields(integration_test_notification=True)
    judgement = judge(held, Arrival(fields=test, source=Source.WEBHOOK, at=at(1)), may_ask=False)
    assert (judgement.outcome, judgement.held) == (Outcome.QUARANTINED, held)


def test_a_replay_of_something_older_never_wins():
    held = hear(A, start=10)[-1].held
    arrival = Arrival(fields=MORE, source=Source.WEBHOOK, at=at(5), is_replay=True)
    judgement = judge(held, arrival, may_ask=False)
    assert (judgement.outcome, judgement.held.fields) == (Outcome.SUSPECT, A)


def test_in_whatever_order_three_versions_arrive_one_search_makes_them_true():
    for order in permutations((A, MORE, CANCELLED_MORE, A)):
        for may_ask in (True, False):
            held = hear(*order, may_ask=may_ask)[-1].held
            for truth in (A, MORE, CANCELLED_MORE):
                answer = search(held, truth, minute=60)
                assert (answer.held.fields, answer.held.doubt) == (truth, None)


def test_the_codes_are_those_of_the_rows():
    for words, rows in (
        (revisions.Kind, models.RevisionKind),
        (belief.Source, models.Source),
        (belief.Outcome, models.ItemOutcome),
    ):
        assert {word.value for word in words} == {row.value for row in rows}
    assert {word.value for word in revisions.Test} == {"", *models.TestKind.values}
