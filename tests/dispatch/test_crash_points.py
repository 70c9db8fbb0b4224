"""A process that dies before any one statement of intake, recording or search: nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from django.db import connection

from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    EventRevision,
    NotificationItem,
    PollState,
    RecipientSet,
    Source,
)
from dispatch.receiving import receive
from dispatch.reconciling import reconcile
from dispatch.recording import record_waiting
from meters.models import MarketGroup
from tests.bodies import EVENT, OTHER_EVENT, as_bytes, at, group_body, meter_body, timeslot
from tests.dispatch.ledger import Ledger, clock_at

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """What a kill looks like from inside: nothing handles it."""


class Killer:
    """Dies instead of running the statement of a given number, once."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, execute, sql, params, many, context):
        self.left -= 1
        if self.left == 0:
            raise Killed(sql)
        return execute(sql, params, many, context)


def push(*slots: dict, minute: float) -> Callable[[], object]:
    return lambda: receive(body=as_bytes(meter_body(*slots)), source=Source.WEBHOOK, received_at=at(minute))


def record(minute: float) -> Callable[[], object]:
    return lambda: record_waiting(now=at(minute))


def search(leap: Ledger, minute: float) -> Callable[[], object]:
    # What the process that died had claimed is asked again with the next turn, a minute later.
    later = count(minute)

    def ask() -> object:
        now = at(next(later))
        return reconcile(now=now, client=leap.client, clock=clock_at(now))

    return ask


def steps() -> list[Callable[[], object]]:
    leap = Ledger(truth={EVENT: timeslot(cancelled=True, energy_kw=12), "found": timeslot("found")})
    group = as_bytes(group_body(timeslot("group-event", level="group")))
    return [
        push(timeslot(), timeslot(OTHER_EVENT), minute=0),
        lambda: receive(body=group, source=Source.WEBHOOK, received_at=at(0.5)),
        record(1),
        push(timeslot(energy_kw=12), timeslot(OTHER_EVENT, energy_kw=-1), minute=2),
        record(3),
        push(timeslot(), timeslot(OTHER_EVENT), minute=4),
        record(5),
        search(leap, 6),
    ]


def run(*, kill_before: int) -> bool:
    """Go through all steps, dying once; whoever comes after repeats the step. Say whether it died."""
    has_died = False
    with connection.execute_wrapper(Killer(kill_before)):
        for step in steps():
            try:
                step()
            except Killed:
                has_died = True
                step()
    return has_died


def outcome() -> dict[str, list]:
    fields = ("level", "leap_event_id", "is_cancelled", "energy_kw", "is_confirmed", "revision")
    return {
        "events": sorted(DispatchEvent.objects.values_list(*fields)),
        "revisions": sorted(EventRevision.objects.values_list("event__leap_event_id", "number", "kind")),
        "doubts": sorted(Doubt.objects.values_list("event__leap_event_id", "verdict")),
        "bodies": sorted(DispatchNotification.objects.values_list("sha256", "status")),
        "items": sorted(NotificationItem.objects.values_list("leap_event_id", "outcome")),
    }


def forget() -> None:
    for model in (DispatchEvent, DispatchNotification, RecipientSet, MarketGroup, PollState):
        model.objects.all().delete()


def test_a_process_that_dies_before_any_statement_changes_nothing_in_the_end(settings):
    settings.LEAP_API_KEY = "a-key"
    expected = None
    for number in count(0):
        has_died = run(kill_before=number)
        found = outcome()
        forget()
        if number == 0:
            expected = found
            assert len(found["events"]) == 4
            assert {status for _, status in found["bodies"]} == {"RECORDED"}
        elif not has_died:
            break
        assert found == expected, f"died before statement {number}"
    assert number > 50
