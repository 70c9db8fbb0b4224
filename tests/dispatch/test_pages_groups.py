"""Groups out of step, and who was in a group then, on the pages."""

from __future__ import annotations

import pytest

from dispatch.comparing_groups import compare_waiting
from meters.grouping import request_comparison
from meters.models import MarketGroup, MarketGroupMembership, Meter
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
    assert "Leap calls 1 meter that is no member here and does not call 1 member here." in room
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
