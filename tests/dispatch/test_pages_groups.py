"""Groups out of step, and who was in a group then, on the pages."""

from __future__ import annotations

import pytest

from dispatch.comparing_groups import compare_waiting
from meters.grouping import request_comparison
from meters.models import MarketGroup, MarketGroupMembership, Meter
from meters.sync_models import MeterChange, MeterSync
from tests.dispatch.rows import NOW, at, device, event, group, meter, recipients


def member(
    of: MarketGroup, each: Meter, *, since: float = -900, until: float | None = None, **fields
) -> None:
    """A membership, by hours from the full hour."""
    MarketGroupMembership.objects.create(
        group=of, meter=each, starts_at=at(since), ends_at=None if until is None else at(until), **fields
    )


def compare(*groups: MarketGroup) -> None:
    request_comparison([each.market_group_id for each in groups], now=NOW)
    compare_waiting(now=NOW)


@pytest.fixture
def differing(now, db):
    """A live event of a group that calls a known meter without a device and leaves a member out."""
    south, ours, both, theirs = group(), meter("Ours"), meter("Both"), meter("Theirs")
    device(both)
    member(south, ours)
    member(south, both)
    called = event(south, to=recipients(both, theirs))
    compare(south)
    return south, called


def test_a_group_out_of_step_needs_someone_and_says_who_differs(page, differing):
    south, called = differing
    room = page("/")
    assert "1 group out of step with Leap" in room
    assert "Leap calls 1 meter that is no member here and leaves out 1 that is." in room
    assert f'href="/groups/{south.market_group_id}/"' in room

    for address in (f"/events/{called.pk}/", f"/groups/{south.market_group_id}/"):
        shown = page(address)
        called_side = shown.index("Called, not in the group here")
        assert shown.index("Theirs", called_side) < shown.index("In the group here, not called")
        assert "no device, <a" in shown
        assert "Group out of step" in shown
    assert "2 meters named by Leap; 2 in the group then" in page(f"/events/{called.pk}/")


def test_the_calendar_and_the_lists_mark_it(page, differing):
    for view in ("month", "week", "day"):
        assert ", group out of step" in page(f"/calendar/?view={view}&tz=America/Los_Angeles")
    assert "South Bay" in page("/groups/?step=out")
    assert "Every group is in step" in page("/groups/?step=unknown")


def test_what_was_settled_or_is_over_needs_nobody_and_is_still_told(page, differing):
    south, called = differing
    MarketGroupMembership.objects.filter(meter__name="Ours").update(ends_at=at(-1))
    member(south, Meter.objects.get(name="Theirs"))
    compare(south)
    assert "out of step" not in page("/")
    shown = page(f"/events/{called.pk}/")
    assert ("Group was out of step" in shown, "settled" in shown) == (True, True)
    assert "step-mark" not in page("/calendar/?view=week&tz=America/Los_Angeles")


def test_a_group_nobody_knows_is_told_quietly_without_names(page, now):
    lone = group("Nowhere")
    called = event(lone, to=recipients(meter("Theirs")))
    compare(lone)
    room = page("/")
    assert "No members are held of 1 group that Leap calls" in room
    assert "out of step" not in room
    shown = page(f"/events/{called.pk}/")
    assert "We hold no members of this group" in shown
    assert "Called, not in the group here" not in shown


@pytest.fixture
def south(now, db):
    """Ann stays over two delivery periods, Ben leaves after the first, Cas and Dan come with the second."""
    made = group("South Bay")
    ann, ben, cas, dan = (meter(name) for name in ("Ann", "Ben", "Cas", "Dan"))
    for each in (ann, ben):
        member(made, each, since=-100, until=48, program="CCA", delivery_period="AUG")
        member(made, each, since=-50, until=48, program="ELRP", delivery_period="AUG")
    for each in (ann, cas, dan):
        member(made, each, since=48, until=900, program="CCA", delivery_period="SEP")
    return made


def test_a_group_shows_who_is_in_it_now_each_meter_once_and_what_comes_next(page, south):
    shown = page(f"/groups/{south.market_group_id}/")
    members = shown[shown.index('id="members"') : shown.index('id="over-time"')]
    assert (members.count("Ann"), members.count("Ben"), "Cas" in members) == (1, 1, False)
    assert "2 now" in members
    assert "+2, −1" in shown
    assert "0 of 2" in shown


@pytest.mark.parametrize(
    ("hours", "names"),
    [(-101, []), (47.5, ["Ann", "Ben"]), (48, ["Ann", "Cas", "Dan"]), (900, [])],
    ids=["before", "to the end of a period", "from the next one on", "after all"],
)
def test_a_group_shows_who_was_or_will_be_in_it(page, south, hours, names):
    asked = at(hours).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = page(f"/groups/{south.market_group_id}/?as_of={asked}")
    members = shown[shown.index('id="members"') : shown.index('id="over-time"')]
    assert [name for name in ("Ann", "Ben", "Cas", "Dan") if name in members] == names
    assert ("Nobody was in it then" in members) == (not names)


def test_a_group_tells_who_joined_and_left_when_and_which_run_brought_it(page, south):
    run = MeterSync.objects.create(kind="CHANGES", state="DONE", turn=None, requested_at=at(-1))
    for name in ("Ann", "Ben"):
        MeterChange.objects.create(
            sync=run,
            meter=Meter.objects.get(name=name),
            kind="CHANGED",
            fields={"market_groups": [[], [south.market_group_id]]},
        )
    shown = page(f"/groups/{south.market_group_id}/")
    history = shown[shown.index('id="over-time"') :]
    first, second = history.index("coming"), history.index("2 meters</span>")
    assert first < history.index("Cas</a>") < history.index("−1") < history.index("3 meters") < second
    assert f"/meters/syncs/{run.pk}/" in history
    assert "2 meters)" in history
    for period in ("AUG", "SEP"):
        assert period in history


@pytest.mark.parametrize("asked", ["yesterday", "2026-13-01", "9999-99-99T00:00", "%27--"])
def test_a_time_that_is_none_shows_the_present_and_says_so(page, south, asked):
    assert "That is no time" in page(f"/groups/{south.market_group_id}/?as_of={asked}")
