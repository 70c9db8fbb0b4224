"""Whatever is issued, changed, lost, doubled, late or left half done: after one search the portal agrees."""

from __future__ import annotations

from decimal import Decimal

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dispatch.models import DispatchEvent, DispatchNotification, Doubt, Source
from dispatch.receiving import receive
from dispatch.reconciling import reconcile
from dispatch.recording import record_waiting, replay_notification
from tests.bodies import as_bytes, at, meter_body, text, timeslot
from tests.dispatch.ledger import Ledger, clock_at

EVENTS = [f"event-{number}" for number in range(3)]
CHANGES: dict[str, dict] = {
    "more": {"energy_kw": 12},
    "less": {"energy_kw": 9.5},
    "shorter": {"end_time": text(at(25))},
    "longer": {"end_time": text(at(300))},
    "cancel": {"cancelled": True},
    "reinstate": {"cancelled": False},
}


class Agreement(RuleBasedStateMachine):
    """Leap's ledger on one side, the portal on the other, and a careless network between them."""

    @initialize(is_search_on=st.booleans())
    def begin(self, is_search_on: bool) -> None:
        self.is_search_on = is_search_on
        self.leap = Ledger()
        self.in_flight: list[bytes] = []
        self.minute = 0.0
        self.rows = transaction.atomic()
        self.rows.__enter__()

    def teardown(self) -> None:
        if hasattr(self, "rows"):
            self.search()
            transaction.set_rollback(True)
            self.rows.__exit__(None, None, None)

    def later(self) -> float:
        self.minute += 1
        return self.minute

    def record(self) -> None:
        with override_settings(LEAP_API_KEY="a-key" if self.is_search_on else ""):
            record_waiting(now=at(self.later()))

    @rule(event=st.sampled_from(EVENTS), change=st.sampled_from([*CHANGES]))
    def issue(self, event: str, change: str) -> None:
        """Leap creates or changes an event and sends a body about it."""
        start = {"start_time": text(at(5)), "end_time": text(at(60))}
        slot = self.leap.truth.get(event) or timeslot(event, **start)
        if event in self.leap.truth:
            slot = slot | CHANGES[change]
        self.leap.truth[event] = slot
        self.in_flight.append(as_bytes(meter_body(slot)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), is_last_time=st.booleans(), is_recorded=st.booleans())
    def deliver(self, data: st.DataObject, is_last_time: bool, is_recorded: bool) -> None:
        """Any body arrives, in any order, perhaps again later; the worker may die before it is recorded."""
        number = data.draw(st.integers(0, len(self.in_flight) - 1))
        sent = self.in_flight.pop(number) if is_last_time else self.in_flight[number]
        receive(body=sent, source=Source.WEBHOOK, received_at=at(self.later()))
        if is_recorded:
            self.record()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))

    @rule()
    def replay_everything(self) -> None:
        self.record()
        for pk in DispatchNotification.objects.values_list("id", flat=True):
            replay_notification(notification_id=pk, now=at(self.minute))

    @rule()
    def search_fails(self) -> None:
        self.leap.is_away = True
        self.ask()
        self.leap.is_away = False

    @rule()
    def search(self) -> None:
        """One search, and the portal holds what Leap means."""
        self.record()
        self.ask()
        held = {event.leap_event_id: event for event in DispatchEvent.objects.all()}
        assert set(held) == set(self.leap.truth)
        for event_id, slot in self.leap.truth.items():
            event = held[event_id]
            assert event.is_confirmed
            assert event.is_cancelled == slot["cancelled"]
            assert event.energy_kw == Decimal(str(slot["energy_kw"]))
            assert (text(event.starts_at), text(event.ends_at)) == (slot["start_time"], slot["end_time"])

    def ask(self) -> None:
        now = at(self.later())
        with override_settings(LEAP_API_KEY="a-key"):
            answer = reconcile(now=now, client=self.leap.client, clock=clock_at(now))
        assert answer != "not due"

    @invariant()
    def rows_agree_with_each_other(self) -> None:
        if not hasattr(self, "rows"):
            return
        events = DispatchEvent.objects.all()
        for event in events:
            numbers = list(event.revisions.order_by("number").values_list("number", flat=True))
            assert numbers == list(range(1, event.revision + 1))
            latest = event.revisions.get(number=event.revision)
            assert latest.fields["cancelled"] == event.is_cancelled
            assert latest.fields["end_time"] == text(event.ends_at)
        doubted = Doubt.objects.filter(settled_at__isnull=True).values_list("event_id", flat=True)
        assert sorted(doubted) == sorted(event.pk for event in events if not event.is_confirmed)


@pytest.mark.django_db
def test_after_one_search_the_portal_equals_the_ledger():
    run_state_machine_as_test(
        Agreement,
        settings=settings(
            max_examples=500,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
