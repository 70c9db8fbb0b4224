"""Past days once more: each moment is planned under what was known then, and what ran stays and counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dispatch.domain import sentences
from dispatch.domain.events import Window
from dispatch.domain.fleet import Fleet
from dispatch.domain.overruling import Action
from dispatch.domain.plans import Traits, UnservedSlice
from dispatch.domain.replaying import (
    Heard,
    Known,
    Past,
    Spoken,
    Track,
    Tracks,
    advance,
    as_if_in_time,
    finish,
    moments,
)
from dispatch.domain.roster import MeterFacts
from dispatch.domain.tallying import Fate, compare
from dispatch.domain.terms import Battery, Limits, Storage, Terms, WhenShort
from tests.domain.asks import ask, at, hours, ruling

DAY = Window(at(0), at(24))
EVER = datetime.max.replace(tzinfo=UTC)


def heard(hour: float, *args, first: float | None = None, **fields) -> Heard:
    """A revision received at an hour of the day; `first`: when the event was first heard of."""
    return Heard(at(hour), ask(*args, heard_at=at(hour if first is None else first), **fields))


def under(**limits) -> Terms:
    return Terms(limits=Limits("Pack v1", **limits), zone="UTC")


def past(*told: Heard, spoken: tuple[Spoken, ...] = (), devices: int = 1, window: Window = DAY) -> Past:
    """Batteries of 10 kW, each behind a meter of its own, all named by every event."""
    numbers = range(1, devices + 1)
    fleet = Fleet(
        events=(),
        recipients={1: [f"m{number}" for number in numbers]},
        meters={f"m{number}": MeterFacts(f"m{number}", (number,)) for number in numbers},
        devices={number: Traits(10_000, is_storage=True) for number in numbers},
    )
    return Past(window, sorted(told, key=lambda each: each.at), fleet, {1: spoken} if spoken else {})


def replay(of: Past, *terms: dict[int, Terms]) -> list[Tracks]:
    tracks: list[Tracks] = [{} for _ in terms]
    known = Known(of)
    for moment in moments(of):
        advance(tracks, past=of, known=known, terms=terms, moment=moment)
    return [finish(each, at=of.window.end) for each in tracks]


def lanes(of: Past, terms: Terms | None = None) -> list[str]:
    """What the first device did: hours and kW."""
    (tracks,) = replay(of, {1: terms} if terms else {})
    return [f"{hours(each.start)}-{hours(each.end)} {each.target_kw or 0:.0f}" for each in tracks[1].done]


AWARD = heard(9, "a", 17, 19, "8")
CASES = {
    "an award as it came": ([AWARD], None, ["17-19 8"]),
    "raised at 17:15": ([AWARD, heard(17.25, "a", 17, 19, "10")], None, ["17-17.25 8", "17.25-19 10"]),
    "ended early, told late": ([AWARD, heard(18.25, "a", 17, 18, "8")], None, ["17-18.25 8"]),
    "cancelled while it ran": ([AWARD, heard(18, "a", 17, 19, "8", is_cancelled=True)], None, ["17-18 8"]),
    "cancelled and called again": (
        [AWARD, heard(10, "a", 17, 19, "8", is_cancelled=True), heard(17.5, "a", 17, 19, "8")],
        None,
        ["17.5-19 8"],
    ),
    "heard while it ran": ([heard(17.5, "a", 17, 19, "8")], None, ["17.5-19 8"]),
    "heard once it was over": ([heard(20, "a", 17, 19, "8")], None, []),
    "what ran for a cancelled event counts": (
        [
            AWARD,
            heard(18, "a", 17, 19, "8", is_cancelled=True),
            heard(18.5, "b", 19, 22, "8"),
        ],
        under(a_day=timedelta(hours=2)),
        ["17-18 8", "19-20 8"],
    ),
    "what a real plan would have kept free is not known yet": (
        [heard(9, "a", 10, 12, "8", rank=3), heard(11, "b", 17, 19, "8")],
        under(a_day=timedelta(hours=2)),
        ["10-11 8", "17-18 8"],
    ),
    "notice counts from the first receipt": (
        [heard(16.5, "a", 17, 19, "8"), heard(17.25, "a", 17, 19, "10", first=16.5)],
        under(notice=timedelta(hours=1)),
        ["17.5-19 10"],
    ),
    "what is received within a minute is planned at once": (
        [AWARD, heard(9 + 30 / 3600, "a", 17, 19, "6")],
        None,
        ["17-19 6"],
    ),
}


@pytest.mark.parametrize(("told", "terms", "expected"), CASES.values(), ids=CASES.keys())
def test_each_moment_is_planned_under_what_was_known_then(told, terms, expected):
    assert lanes(past(*told), terms) == expected


def test_a_hold_counts_from_when_it_was_said_and_until_it_was_ended():
    held = ruling(Action.HOLD, 18, 20)
    ended = replace(held, window=Window(at(18), at(18.5)))
    spoken = (
        Spoken(Window(at(17.5), at(18.5)), held),
        Spoken(Window(at(18.5), EVER), ended),
    )
    assert lanes(past(heard(9, "a", 17, 20, "8"), spoken=spoken)) == ["17-18 8", "18.5-20 8"]


def test_what_was_forced_before_the_window_runs_in_it():
    forced = Spoken(Window(at(-5), EVER), ruling(Action.FORCE, -1, 2, watts=5_000))
    assert lanes(past(spoken=(forced,))) == ["0-2 5"]


def test_the_window_begins_with_what_was_known_before_it():
    known = replace(AWARD, at=at(-30))
    later = past(known, window=Window(at(18), at(24)))
    assert [moment.at for moment in moments(later)] == [at(18)]
    assert lanes(later) == ["18-19 8"]


def test_what_came_once_it_was_over_may_be_taken_as_told_a_day_ahead():
    late = heard(20, "a", 17, 19, "8")
    assert as_if_in_time([AWARD, late])[0] == AWARD  # one event, heard in time
    (told,) = as_if_in_time([late])
    assert (told.at, told.event.heard_at) == (at(-7), at(-7))
    assert lanes(past(told)) == ["17-19 8"]


def test_devices_that_fare_alike_share_a_track_and_equal_replays_are_planned_once():
    limits = {1: under(a_day=timedelta(hours=1))}
    before, after = replay(past(AWARD, devices=4), {}, limits)
    assert len({id(track) for track in before.values()}) == 1
    # The limited one; and three stand in for it, of whom one gives a watt less.
    assert len({id(track) for track in after.values()}) == 3
    of, twice = past(AWARD, devices=4), [{}, {}]
    advance(twice, past=of, known=Known(of), terms=(limits, dict(limits)), moment=moments(of)[0])
    assert all(twice[0][each] is twice[1][each] for each in of.fleet.devices)


def test_what_is_received_within_a_minute_is_one_moment():
    second = 1 / 3600
    of = past(*(heard(9 + number * 25 * second, "a", 17, 19, "8") for number in range(4)))
    assert [moment.at for moment in moments(of)] == [at(9 + 50 * second), at(9 + 75 * second)]


def test_what_a_twin_does_or_nobody_asks_is_not_missed():
    of = past(AWARD)
    event = AWARD.event
    for undone, fates in (("twin", 0), (sentences.no_share(), 0), ("Held by ana.", 1)):
        slice_ = UnservedSlice(event.event_id, event.window, undone, is_shaded=undone == "twin")
        tracks = {1: Track(of.window.end, undone=(slice_,))}
        found = compare({}, tracks, past=of, device_ids={1}, zones={1: "UTC"})
        assert found.totals.after.fates[Fate.BROKEN] == fates
        assert len(found.reasons.lasted) == fates


def test_two_replays_are_compared_in_whole_sums_by_day_program_event_and_device():
    told = [
        heard(1, "award", 17, 21, "20", programs=("CCA",)),
        heard(1, "peak", 22, 30, None, programs=("ELRP",), is_voluntary=True),
        heard(23, "peak", 22, 30, None, first=1, programs=("ELRP",), is_voluntary=True, is_cancelled=True),
        heard(1, "calm", 40, 41, "4", programs=("ELRP",), is_voluntary=True),
        heard(40.5, "calm", 40, 41, "6", first=1, programs=("ELRP",), is_voluntary=True),
    ]
    of = past(*told, devices=2, window=Window(at(0), at(48)))
    tracks = replay(of, {}, {1: under(longest_run=timedelta(hours=2), rest=timedelta(hours=3))})
    found = compare(*tracks, past=of, device_ids={1}, zones={1: "UTC", 2: "UTC"})

    assert [tally.kwh for tally in found.totals] == [Decimal("52.5"), Decimal("32.5")]
    assert [tally.hours for tally in found.totals] == [Decimal("6.0"), Decimal("4.0")]
    assert [tally.runs for tally in found.totals] == [3, 3]
    assert [tally.kwh for tally in found.others] == [Decimal("52.5"), Decimal("52.5")]
    assert [tally.fates[Fate.BROKEN] for tally in found.totals] == [0, 1]
    assert [tally.fates[Fate.SERVED] for tally in found.totals] == [1, 1]
    assert {label: [tally.kwh for tally in pair] for label, pair in found.programs.items()} == {
        "CCA": [Decimal("40.0"), Decimal("20.0")],
        "ELRP": [Decimal("12.5"), Decimal("12.5")],
    }
    assert [day.day for day in found.days] == [21, 22]
    assert found.asked == {
        of.heard[0].event.event_id: 80_000 * 3_600_000_000,
        told[1].event.event_id: 0,
        told[3].event.event_id: 5_000 * 3_600_000_000,
    }
    (changed,) = found.devices
    reason, is_new = changed.reasons.strongest()
    assert (changed.device_id, is_new) == (1, True)
    assert reason == "Dropped: 2 h in a run are used by CCA (rank 1) and ELRP (rank 1). Policy Pack v1."


def test_a_commitment_that_gets_less_than_it_asks_is_broken():
    spread = Terms(
        "UTC",
        storage=Storage("Pack v1", when_short=WhenShort.SPREAD),
        battery=Battery(capacity_watt_hours=4_000),
    )
    (tracks,) = replay(past(AWARD), {1: spread})
    (left,) = tracks[1].undone
    assert (hours(left.window.start), hours(left.window.end)) == ("17", "19")
    assert left.reason == "Given 2 kW of 8 kW."
