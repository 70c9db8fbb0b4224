"""Groups out of step: found as calls and members change, settled as they agree, safe to be cut off."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dispatch import comparing_groups
from dispatch.comparing_groups import compare_waiting
from dispatch.domain.groups_in_step import difference_of
from dispatch.models import DispatchEvent, RecipientMember, Source
from dispatch.queries import waiting
from dispatch.queue import COMPARE_GROUPS
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from dispatch.step_models import GroupDifference, OutOfStep
from meters.grouping import request_comparison
from meters.models import MarketGroup, MarketGroupMembership, Meter
from meters.sync_models import MeterSync, MeterToRead
from tests.bodies import as_bytes, group_body, text, timeslot
from tests.builders import at, group, meter
from tests.dispatch.test_crash_points import Killed, Killer

pytestmark = pytest.mark.django_db

UUIDS = {letter: f"{place:08x}-0000-4000-8000-000000000000" for place, letter in enumerate("abcdh")}
LETTERS = {meter_id: letter for letter, meter_id in UUIDS.items()}


@pytest.fixture(autouse=True)
def _with_leap(settings):
    settings.LEAP_API_KEY = "a-key"


def call(named: MarketGroup, *letters: str, minute: float = 0, compare: bool = True, **slot) -> None:
    """Hear of an event of a group that names meters, and compare."""
    slots = [timeslot(slot.pop("event", "e"), level="group", **slot)]
    body = group_body(*slots, group=named.market_group_id, meters=[UUIDS[each] for each in letters])
    receive(body=as_bytes(body), source=Source.WEBHOOK, received_at=at(minute))
    record_waiting(now=at(minute))
    if compare:
        compare_waiting(now=at(minute))


def known(letters: str) -> list[Meter]:
    """Meters that the portal knows."""
    return [meter(meter_id=UUIDS[letter]) for letter in letters]


def member(of: MarketGroup, letter: str, start: float = -600, end: float | None = None, **fields) -> None:
    MarketGroupMembership.objects.create(
        group=of,
        meter=Meter.objects.get_or_create(meter_id=UUIDS[letter])[0],
        starts_at=at(start),
        ends_at=None if end is None else at(end),
        **fields,
    )


def regroup(of: MarketGroup, *, minute: float) -> None:
    """Compare as after a change of members."""
    request_comparison([of.market_group_id], now=at(minute))
    compare_waiting(now=at(minute))


def standing() -> dict[str, tuple[str, str]]:
    rows = OutOfStep.objects.filter(settled_at__isnull=True).select_related("event", "difference")
    return {
        row.event.leap_event_id: (
            "".join(LETTERS[each] for each in row.difference.called_not_ours),
            "".join(LETTERS[each] for each in row.difference.ours_not_called),
        )
        for row in rows
    }


def to_be_read() -> dict[str, datetime]:
    return {LETTERS[pk]: asked for pk, asked in MeterToRead.objects.values_list("meter_id", "asked_at")}


def test_what_leap_calls_and_we_do_not_hold_is_found_asked_about_and_settled():
    south = group(*known("ab"))
    known("c")

    call(south, "b", "c", "d")

    assert standing() == {"e": ("cd", "a")}
    assert to_be_read() == dict.fromkeys("acd", at(0))
    assert not MarketGroup.objects.filter(compare_requested_at__isnull=False).exists()

    MarketGroupMembership.objects.filter(meter__meter_id=UUIDS["a"]).update(ends_at=at(200))
    for each in "cd":
        member(south, each, start=0)
    regroup(south, minute=1)

    assert standing() == {}
    assert OutOfStep.objects.get().settled_at == at(1)


def test_whom_a_call_names_is_called_whoever_is_in_the_group():
    south = group(*known("a"))

    call(south, "b", "c")

    named = RecipientMember.objects.filter(recipients__events__leap_event_id="e")
    assert set(named.values_list("meter_id", flat=True)) == {UUIDS["b"], UUIDS["c"]}


def test_members_count_at_the_start_for_its_programs_each_meter_once():
    south = group()
    member(south, "a", end=100, program="CCA")
    member(south, "b", end=240, program="CCA", delivery_period="AUG")
    member(south, "b", start=240, program="CCA", delivery_period="SEP")
    member(south, "b", start=-60, program="ELRP")
    member(south, "d", program="ELRP")
    member(south, "h")  # by hand

    call(south, "b", "h")  # begins at 240, for CCA
    call(south, "b", "h", event="other", programs=["ELRP"])

    assert standing() == {"other": ("", "d")}


def test_a_group_of_which_no_member_is_held_is_named_without_a_thousand_names():
    call(MarketGroup(market_group_id="9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"), "a", "b")

    found = GroupDifference.objects.get()
    assert (found.is_group_unknown, found.called, found.called_not_ours) == (True, 2, [])
    assert set(to_be_read()) == {"a", "b"}


LEFT_ALONE = {
    "an integration test": ({}, {"integration_test_notification": True}),
    "cancelled": ({"cancelled": True}, {}),
    "over": ({"start_time": text(at(-120)), "end_time": text(at(-60))}, {}),
}


@pytest.mark.parametrize(("slot", "top"), LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_what_moves_nothing_is_not_compared(slot, top):
    south = group(*known("a"))
    body = group_body(
        timeslot("e", level="group", **slot), group=south.market_group_id, meters=[UUIDS["b"]], **top
    )
    receive(body=as_bytes(body), source=Source.WEBHOOK, received_at=at(0))
    record_waiting(now=at(0))

    assert compare_waiting(now=at(0)) == 1
    assert not OutOfStep.objects.exists()


ASKS = {
    "a later start": ({"start_time": text(at(270))}, True),
    "another program": ({"programs": ["ELRP"]}, True),
    "other meters": ({}, True),
    "more power": ({"energy_kw": 12}, False),
}


@pytest.mark.parametrize(("slot", "asks"), ASKS.values(), ids=ASKS.keys())
def test_a_change_asks_only_where_it_bears_on_who_is_meant(slot, asks):
    south = group(*known("a"))
    call(south, "a")
    call(south, *(["a"] if slot else ["a", "b"]), minute=1, compare=False, **slot)

    assert (COMPARE_GROUPS in waiting(now=at(2))) is asks


def test_leap_is_asked_once_for_a_difference_that_many_calls_share_and_again_once_it_is_another():
    south = group(*known("a"))
    for hour in range(3):
        call(south, "a", "b", minute=hour, event=f"e{hour}")
    assert to_be_read() == {"b": at(0)}
    assert (OutOfStep.objects.count(), GroupDifference.objects.count()) == (3, 1)

    regroup(south, minute=10)
    assert to_be_read() == {"b": at(0)}

    call(south, "a", "b", "c", minute=20, event="e0")
    assert to_be_read() == {"b": at(20), "c": at(20)}

    MeterToRead.objects.all().delete()
    call(south, "a", minute=30, event="e0")
    call(south, "a", "b", "c", minute=40, event="e0", energy_kw=9)  # once more, after it was settled
    assert to_be_read() == {"b": at(40), "c": at(40)}
    assert OutOfStep.objects.get(event__leap_event_id="e0").settled_at is None


def test_a_request_made_while_comparing_is_answered_by_another_look(monkeypatch):
    south = group(*known("a"))
    call(south, "a", compare=False)

    def compare_meanwhile(called, members, **options):
        request_comparison([south.market_group_id], now=at(1))
        return difference_of(called, members, **options)

    monkeypatch.setattr(comparing_groups, "difference_of", compare_meanwhile)
    compare_waiting(now=at(0))

    assert MarketGroup.objects.get(pk=south.pk).compare_requested_at == at(1)
    assert COMPARE_GROUPS in waiting(now=at(2))


def test_nothing_is_compared_while_a_sync_reads_what_may_settle_it():
    south = group(*known("a"))
    call(south, "b", compare=False)
    run = MeterSync.objects.create(kind="CHANGES", state="RUNNING", requested_at=at(0), claimed_until=at(5))
    assert (compare_waiting(now=at(1)), COMPARE_GROUPS in waiting(now=at(1))) == (0, False)

    MeterSync.objects.filter(pk=run.pk).update(kind="NAMED")
    assert COMPARE_GROUPS in waiting(now=at(1))

    MeterSync.objects.filter(pk=run.pk).update(kind="FULL")
    assert compare_waiting(now=at(6)) == 1  # whoever read it is gone


def test_statements_grow_neither_with_groups_nor_members_nor_calls():
    counts = {}
    for size, minute in ((2, 0), (30, 60)):
        groups = [group(*(meter() for _ in range(size))) for _ in range(size)]
        for number, named in enumerate(groups):
            slots = [
                timeslot(f"{size}-{number}-{slot}", level="group", programs=["CCA"]) for slot in range(3)
            ]
            body = group_body(
                *slots, group=named.market_group_id, meters=[f"{number:08x}-1111-4000-8000-000000000000"]
            )
            receive(body=as_bytes(body), source=Source.WEBHOOK, received_at=at(minute))
        record_waiting(now=at(minute))
        with CaptureQueriesContext(connection) as captured:
            assert compare_waiting(now=at(minute)) == size
        counts[size] = sum(not query["sql"].startswith("INSERT") for query in captured)
    assert OutOfStep.objects.count() == 3 * 32
    assert counts[2] == counts[30] <= 14


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_before_any_statement_leaves_all_to_the_next():
    south = group(*known("ab"))
    call(south, "a", "c", compare=False)
    asked_at = MarketGroup.objects.get().compare_requested_at
    deaths = 0
    for number in range(1, 100):
        OutOfStep.objects.all().delete()
        MeterToRead.objects.all().delete()
        MarketGroup.objects.update(compare_requested_at=asked_at)
        try:
            with connection.execute_wrapper(Killer(number)):
                compare_waiting(now=at(1))
        except Killed:
            deaths += 1
            assert MarketGroup.objects.get().compare_requested_at == asked_at
            assert not OutOfStep.objects.exists()
            compare_waiting(now=at(2))
        assert standing() == {"e": ("c", "b")}
        assert MarketGroup.objects.get().compare_requested_at is None
        assert set(to_be_read()) == {"b", "c"}
        if not deaths or number > deaths:
            break
    assert deaths > 5
    assert DispatchEvent.objects.count() == 1
