"""Notifications become events and numbered revisions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid5

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from dispatch import lookups, recording
from dispatch.history import recall
from dispatch.intake.payloads import level_of
from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    EventRevision,
    NotificationItem,
    PollState,
    RecipientMember,
    RecipientSet,
    Source,
)
from dispatch.receiving import receive
from dispatch.recording import UnknownNotification, record_waiting, replay_notification
from meters.models import MarketGroup, MarketGroupMembership, Meter
from tests.bodies import (
    EVENT,
    GROUP,
    METER,
    NOW,
    OTHER_EVENT,
    OTHER_METER,
    PAYLOADS,
    as_bytes,
    at,
    group_body,
    meter_body,
    payload,
    text,
    timeslot,
)

pytestmark = pytest.mark.django_db


def hear(*documents: dict | bytes, source: Source = Source.WEBHOOK, start: float = 0) -> None:
    """Receive and record one after the other, a minute apart."""
    for minute, document in enumerate(documents):
        moment = at(start + minute)
        store(document, moment=moment, source=source)
        record_waiting(now=moment)


def store(document: dict | bytes, *, moment: datetime = NOW, source: Source = Source.WEBHOOK) -> int:
    sent = document if isinstance(document, bytes) else as_bytes(document)
    level = "" if isinstance(document, bytes) else level_of(document)
    return receive(body=sent, source=source, received_at=moment, level=level).notification_id


def said(**changes) -> dict:
    return meter_body(timeslot(**changes))


def kinds() -> list[str]:
    return list(EventRevision.objects.order_by("event_id", "number").values_list("kind", flat=True))


def outcomes() -> list[str]:
    items = NotificationItem.objects.order_by("notification_id", "position")
    return list(items.values_list("outcome", flat=True))


def test_the_guides_notification_becomes_an_event():
    hear(payload("guide-group-notification"))
    event = DispatchEvent.objects.get()
    assert (event.level, event.leap_event_id) == ("GROUP", "114751e8-c0df-4d69-8a4f-9e7cebef1f84")
    assert (event.energy_kw, event.nomination_kw, event.revision) == (Decimal("8.5"), Decimal(11), 1)
    assert event.is_confirmed and event.plan_requested_at == NOW
    assert event.recipients.size == 2
    notification = DispatchNotification.objects.get()
    assert (notification.status, notification.recorded_at) == ("RECORDED", NOW)
    assert (outcomes(), kinds()) == (["CREATED"], ["CREATED"])
    assert MarketGroup.objects.get().is_from_calls


def test_every_published_example_is_recorded_whole():
    for path in PAYLOADS.glob("*.json"):
        store(path.read_bytes(), source=Source.POLL if path.stem.endswith("search") else Source.WEBHOOK)
    record_waiting(now=NOW)
    assert set(outcomes()) == {"CREATED"}
    assert DispatchEvent.objects.count() == NotificationItem.objects.count() == 35


def test_a_change_is_a_revision_with_the_fields_that_changed():
    hear(said(), said(energy_kw=12.5, dispatch_event_types=["day-ahead", "hour-ahead"]))
    revision = EventRevision.objects.get(number=2)
    assert (revision.kind, revision.source, revision.received_at) == ("MODIFIED", "WEBHOOK", at(1))
    assert revision.changes == {
        "energy_kw": [10.0, 12.5],
        "dispatch_event_types": [["day-ahead"], ["day-ahead", "hour-ahead"]],
    }
    event = DispatchEvent.objects.get()
    assert (event.energy_kw, event.revision, event.changed_at) == (Decimal("12.5"), 2, at(1))
    assert event.first_received_at == NOW


def test_a_change_of_meters_is_told_by_their_ids():
    hear(group_body(), group_body(meters=[METER]))
    assert EventRevision.objects.get(number=2).changes == {"meter_ids": [[METER, OTHER_METER], [METER]]}


def test_a_repeat_in_other_words_changes_nothing_and_asks_for_no_plan():
    hear(said())
    DispatchEvent.objects.update(plan_requested_at=None)
    hear(said() | {"sent": "again"}, start=5)
    assert (outcomes(), kinds()) == (["CREATED", "REPEATED"], ["CREATED"])
    assert DispatchEvent.objects.get().plan_requested_at is None


def test_many_timeslots_share_one_set_of_meters():
    slots = [timeslot(event, level="group") for event in (EVENT, OTHER_EVENT)]
    hear(group_body(*slots), group_body(timeslot("third", level="group"), group=str(UUID(int=5))))
    assert (RecipientSet.objects.count(), RecipientMember.objects.count()) == (1, 2)
    assert {event.recipients_id for event in DispatchEvent.objects.all()} == {RecipientSet.objects.get().pk}
    assert MarketGroup.objects.filter(market_group_id=GROUP).count() == 1


def test_a_group_that_names_no_meters_means_those_in_it_when_it_begins():
    group = MarketGroup.objects.create(market_group_id=GROUP)
    for meter_id, ends_at in ((METER, None), (OTHER_METER, at(10))):
        meter = Meter.objects.create(meter_id=meter_id)
        MarketGroupMembership.objects.create(group=group, meter=meter, starts_at=at(-60), ends_at=ends_at)
    hear(group_body(meters=None), group_body(timeslot(level="group", energy_kw=12), meters=None))
    event = DispatchEvent.objects.get()
    assert (event.recipients.meter_ids, event.revision) == ([METER], 2)
    assert event.flags == ["names no meters"]


def test_the_good_timeslots_of_a_body_are_recorded_beside_the_bad():
    hear(meter_body(timeslot(energy_kw=-5), timeslot(OTHER_EVENT)))
    assert outcomes() == ["QUARANTINED", "CREATED"]
    assert DispatchEvent.objects.get().leap_event_id == OTHER_EVENT
    assert NotificationItem.objects.first().reason == "energy_kw is out of range."


def test_a_cancellation_of_an_event_never_seen_is_kept_and_its_late_original_does_not_revive_it():
    hear(said(cancelled=True), said())
    event = DispatchEvent.objects.get()
    assert (event.is_cancelled, event.is_confirmed, event.revision) == (True, False, 1)
    assert (kinds(), outcomes()) == (["CANCELLED"], ["CREATED", "SUSPECT"])


def test_an_early_end_takes_effect_and_its_late_original_does_not_undo_it():
    hear(said(), start=0)
    hear(said(end_time=text(at(280))), said() | {"sent": "late"}, start=285)
    event = DispatchEvent.objects.get()
    assert (event.ends_at, event.is_ended_early, event.is_confirmed) == (at(280), True, False)
    assert kinds() == ["CREATED", "ENDED_EARLY"]


def test_what_ended_early_is_recalled_so_after_a_later_change_of_its_power():
    hear(said(), start=0)
    hear(said(end_time=text(at(280))), said(end_time=text(at(280)), energy_kw=12), start=285)
    recalled = {}
    for minute in (250, 285, 286):
        event = DispatchEvent.objects.get()
        assert recall(event, at=at(minute))
        recalled[minute] = (event.is_ended_early, event.energy_kw)
    assert recalled == {250: (False, 10), 285: (True, 10), 286: (True, 12)}


def test_the_very_same_bytes_are_looked_at_again_when_they_are_no_longer_current():
    """A, B, A byte for byte: nothing tells a late retry from a new wish."""
    hear(said(), said(cancelled=True), said())
    event = DispatchEvent.objects.get()
    assert (event.is_cancelled, event.is_confirmed) == (True, False)
    first = DispatchNotification.objects.order_by("id").first()
    assert (first.repeat_count, first.repeated_at) == (1, None)
    assert Doubt.objects.get().notification_id == first.pk


def test_without_a_search_the_last_arrival_wins_and_both_are_kept():
    hear(said(), said(energy_kw=12), said())
    event = DispatchEvent.objects.get()
    assert (event.energy_kw, event.is_confirmed, event.revision) == (Decimal(10), False, 3)
    assert Doubt.objects.get().fields["energy_kw"] == 12.0


def test_with_a_search_the_current_state_stays_until_it_is_asked(settings):
    settings.LEAP_API_KEY = "a-key"
    hear(said(), said(energy_kw=12), said())
    event = DispatchEvent.objects.get()
    assert (event.energy_kw, event.is_confirmed, event.revision) == (Decimal(12), False, 2)
    hear({"results": said(energy_kw=12)["meter_dispatches"]}, source=Source.POLL, start=10)
    event.refresh_from_db()
    assert (event.is_confirmed, event.revision) == (True, 2)
    doubt = Doubt.objects.get()
    assert (doubt.verdict, doubt.settled_at, doubt.settled_by) == ("KEPT", at(10), "")


def test_no_search_is_waited_for_about_an_integration_test(settings):
    """Leap stores none, so it would wait for ever."""
    settings.LEAP_API_KEY = "a-key"
    test = {"integration_test_notification": True}
    hear(said() | test, said(energy_kw=12) | test, said() | test)
    event = DispatchEvent.objects.get()
    assert (event.energy_kw, event.revision) == (Decimal(10), 3)


def test_what_no_webhook_brought_is_taken_from_the_search_and_noted():
    PollState.objects.create(level="METER", answered_at=NOW)
    hear(said())
    hear({"results": meter_body(timeslot(OTHER_EVENT))["meter_dispatches"]}, source=Source.POLL, start=10)
    assert DispatchEvent.objects.count() == 2
    assert PollState.objects.get().found_unpushed_at == at(10)


@pytest.mark.parametrize(("minute", "is_news"), [(11, False), (15, True)])
def test_a_webhook_just_behind_the_search_is_no_sign_of_a_broken_push(minute, is_news):
    PollState.objects.create(level="METER", answered_at=NOW)
    hear({"results": said()["meter_dispatches"]}, source=Source.POLL, start=10)
    hear(said(), start=minute)
    assert (PollState.objects.get().found_unpushed_at is not None) == is_news


def find(document: dict, *, minute: float) -> list[str]:
    """Hear what a search found; return the levels at which the push path looks broken."""
    [found] = document.values()
    hear({"results": found}, source=Source.POLL, start=minute)
    return levels_noted()


def levels_noted() -> list[str]:
    return list(PollState.objects.exclude(found_unpushed_at=None).values_list("level", flat=True))


@pytest.mark.parametrize("is_search_first", [False, True], ids=["webhook first", "search first"])
def test_the_twin_of_what_came_by_webhook_at_the_other_level_was_not_missed(is_search_first):
    PollState.objects.create(level="GROUP", answered_at=NOW)
    if not is_search_first:
        hear(said())
    assert find(group_body(), minute=10) == (["GROUP"] if is_search_first else [])
    hear(said(), start=11)
    assert levels_noted() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"start_time": text(at(300)), "end_time": text(at(360))},
        {"programs": ["ELRP"]},
    ],
    ids=["another time", "another program"],
)
def test_what_has_no_twin_was_missed(changes):
    PollState.objects.create(level="GROUP", answered_at=NOW)
    hear(said())
    assert find(group_body(timeslot(level="group", **changes)), minute=10) == ["GROUP"]


def test_where_webhooks_come_at_both_levels_each_must_bring_its_own():
    PollState.objects.create(level="GROUP", answered_at=NOW)
    hear(said(), group_body(timeslot(OTHER_EVENT, level="group")))
    assert find(group_body(), minute=10) == ["GROUP"]


def test_what_was_found_and_changed_before_it_was_recorded_is_noted_all_the_same():
    PollState.objects.create(level="METER", answered_at=NOW)
    store({"results": said()["meter_dispatches"]}, source=Source.POLL, moment=at(10))
    store(said(energy_kw=12), moment=at(11))
    record_waiting(now=at(11))
    assert (DispatchEvent.objects.get().revision, PollState.objects.get().found_unpushed_at) == (2, at(11))


def test_a_search_and_the_webhook_just_behind_it_recorded_together_are_no_sign_either():
    PollState.objects.create(level="METER", answered_at=NOW)
    store({"results": said()["meter_dispatches"]}, source=Source.POLL, moment=at(10))
    store(said(), moment=at(10.1))
    record_waiting(now=at(11))
    assert PollState.objects.get().found_unpushed_at is None


def test_a_search_that_says_less_changes_nothing():
    hear(said() | {"integration_test_notification": True})
    slot = timeslot(without="nomination_kw")
    hear({"results": meter_body(slot)["meter_dispatches"]}, source=Source.POLL, start=1)
    event = DispatchEvent.objects.get()
    assert (event.revision, event.nomination_kw, event.test) == (1, Decimal(11), "INTEGRATION")


def test_a_body_that_contradicts_itself_keeps_the_cancellation_and_doubts_it():
    hear(meter_body(timeslot(), timeslot(cancelled=True)))
    event = DispatchEvent.objects.get()
    assert (event.is_cancelled, event.is_confirmed) == (True, False)
    assert outcomes() == ["SUSPECT", "CREATED"]


def test_several_waiting_notifications_are_recorded_in_the_order_they_came():
    for minute, document in enumerate((said(), said(energy_kw=12), said(cancelled=True, energy_kw=12))):
        store(document, moment=at(minute))
    assert record_waiting(now=at(5)) == 3
    assert kinds() == ["CREATED", "MODIFIED", "CANCELLED"]
    assert record_waiting(now=at(6)) == 0


def test_a_change_asks_for_a_plan_at_another_time_than_the_one_before_it(monkeypatch):
    """Or planning, which reads the first and lets go after the second, would take both for answered."""
    monkeypatch.setattr(recording, "_BATCH_NOTIFICATIONS", 1)
    for power in (10, 11, 12):
        store(said(energy_kw=power))
    asked = []
    original = recording._next_batch

    def look_in_between(**options):
        asked.extend(DispatchEvent.objects.values_list("plan_requested_at", flat=True))
        return original(**options)

    monkeypatch.setattr(recording, "_next_batch", look_in_between)
    assert record_waiting(now=NOW) == 3
    assert len(set(asked)) == 3


def test_lateness_is_told_in_words():
    hear(said(), start=250)
    assert DispatchEvent.objects.get().flags == ["received 10 min after its start"]


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), OperationalError("too many SQL variables")])
def test_a_notification_that_cannot_be_recorded_stops_nobody_and_is_put_aside(failure, monkeypatch):
    poison, good = store(said()), store(meter_body(timeslot(OTHER_EVENT)))
    apply_said = recording.apply_said

    def fail_on_poison(all_said, **options):
        if any(one.notification_id == poison for one in all_said):
            raise failure
        return apply_said(all_said, **options)

    monkeypatch.setattr(recording, "apply_said", fail_on_poison)
    for _ in range(recording.MOST_ATTEMPTS):
        record_waiting(now=NOW)
    assert DispatchNotification.objects.get(id=good).status == "RECORDED"
    put_aside = DispatchNotification.objects.get(id=poison)
    assert (put_aside.status, put_aside.attempt_count) == ("QUARANTINED", recording.MOST_ATTEMPTS)

    monkeypatch.setattr(recording, "apply_said", apply_said)
    assert "1 events changed" in replay_notification(notification_id=poison, now=NOW)
    put_aside.refresh_from_db()
    assert (put_aside.status, DispatchEvent.objects.count()) == ("RECORDED", 2)


def test_a_database_that_does_not_answer_is_no_notifications_fault(monkeypatch):
    store(said())

    def be_away(*_, **__):
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as away:
        away.setattr(recording, "apply_said", be_away)
        away.setattr(recording, "_count_failure", be_away)
        with pytest.raises(OperationalError):
            record_waiting(now=NOW)
    assert DispatchNotification.objects.get().attempt_count == 0
    assert record_waiting(now=at(1)) == 1


def test_more_events_than_one_statement_may_name_are_recorded(monkeypatch):
    monkeypatch.setattr(lookups, "BATCH", 2)
    slots = [timeslot(str(number), level="group") for number in range(5)]
    bodies = [[slot | changes for slot in slots] for changes in ({}, {"cancelled": True}, {})]
    hear(*(group_body(*one) for one in bodies))
    assert (outcomes()[5:10], outcomes()[10:]) == (["REVISED"] * 5, [])
    assert Doubt.objects.filter(settled_at__isnull=True).count() == 5
    hear({"results": group_body(*bodies[1])["group_dispatches"]}, source=Source.POLL, start=10)
    assert Doubt.objects.filter(verdict="KEPT").count() == 5


def test_a_heavy_notification_is_recorded_in_pieces_and_overrules_nothing_newer(monkeypatch):
    monkeypatch.setattr(recording, "_HEAVY_BYTES", 1_000)
    monkeypatch.setattr(recording, "_PIECE", 2)
    store(meter_body(*(timeslot(f"event-{number}") for number in range(5))))
    store(meter_body(timeslot("event-4", cancelled=True)), moment=at(1))
    apply_said = recording.apply_said
    pieces = []

    def die_after_two_pieces(all_said, **options):
        pieces.append(len(all_said))
        if len(pieces) == 3:
            raise SystemExit("the worker's time is over")
        return apply_said(all_said, **options)

    monkeypatch.setattr(recording, "apply_said", die_after_two_pieces)
    with pytest.raises(SystemExit):
        record_waiting(now=at(2))
    assert pieces == [1, 2, 2], "the light one first"
    record_waiting(now=at(3))
    assert pieces == [1, 2, 2, 2, 1]
    event = DispatchEvent.objects.get(leap_event_id="event-4")
    assert (event.is_cancelled, event.is_confirmed) == (True, False)
    assert outcomes() == ["CREATED"] * 4 + ["SUSPECT", "CREATED"]
    assert set(DispatchNotification.objects.values_list("status", flat=True)) == {"RECORDED"}


def test_a_replay_tries_only_what_was_not_used_and_twice_is_like_once(monkeypatch):
    far = {"start_time": "2030-01-01T00:00:00Z", "end_time": "2030-01-01T01:00:00Z"}
    pk = store(meter_body(timeslot(), timeslot(OTHER_EVENT, **far)))
    record_waiting(now=NOW)
    assert outcomes() == ["CREATED", "QUARANTINED"]
    in_its_year = datetime.fromisoformat("2029-12-01T00:00:00+00:00")
    assert "1 events changed" in replay_notification(notification_id=pk, now=in_its_year)
    assert "0 events changed" in replay_notification(notification_id=pk, now=in_its_year)
    assert (outcomes(), kinds()) == (["CREATED", "CREATED"], ["CREATED", "CREATED"])


def test_a_replay_of_what_cannot_be_read_or_is_unknown_says_so():
    pk = store(b'{"a": 1}')
    record_waiting(now=NOW)
    assert DispatchNotification.objects.get().status == "QUARANTINED"
    assert replay_notification(notification_id=pk, now=NOW).startswith("Still not usable.")
    with pytest.raises(UnknownNotification):
        replay_notification(notification_id=pk + 1, now=NOW)


def test_a_body_of_any_size_takes_the_same_number_of_statements():
    def statements(slots: int, meters: int) -> int:
        ids = [str(uuid5(UUID(METER), f"{slots}/{number}")) for number in range(slots)]
        named = [str(uuid5(UUID(METER), f"{meters}/{number}")) for number in range(meters)]
        store(group_body(*[timeslot(id_, level="group") for id_ in ids], meters=named, group=ids[0]))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            record_waiting(now=NOW)
        return len(queries)

    statements(1, 1)  # the first event of a program also decides its level
    few, many = statements(2, 3), statements(24, 100)
    assert few == many <= 30
