"""Readings to energy: as tables, and in whatever order they come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.domain.delivered import Measured, baseline_kw, delivered_kw
from devices.domain.intervals import MINUTE, QUARTER, WATT_HOUR, Between, Energy, Sample, changes, minutes_of
from devices.domain.schedule import Mode

S = 1000


def covered(minutes):
    return sum(energy.covered_milliseconds for energy in minutes.values())


def total(minutes):
    return sum(energy.watt_milliseconds for energy in minutes.values())


CASES = {
    "one reading is no energy yet": ([Sample(0, 5000)], {}),
    "power holds until the next reading": (
        [Sample(30 * S, 1000), Sample(90 * S, -2000), Sample(120 * S, 0)],
        {0: Energy(30_000_000, 30_000), 1: Energy(30_000_000 - 60_000_000, 60_000)},
    ),
    "but for no more than five minutes": (
        [Sample(0, 1000), Sample(60 * MINUTE, 0)],
        {minute: Energy(60_000_000, 60_000) for minute in range(5)},
    ),
    "a counter counts in place of the power, evenly": (
        [Sample(0, 1000, 7), Sample(3 * MINUTE, 1000, 67)],
        {minute: Energy(20 * WATT_HOUR, 60_000) for minute in range(3)},
    ),
    "what does not divide is not lost": (
        [Sample(0, 0, 0), Sample(7 * S, 0, 1)],
        {0: Energy(WATT_HOUR, 7000)},
    ),
    "a counter that only one carries does not": (
        [Sample(0, 1000, 7), Sample(MINUTE, 1000)],
        {0: Energy(60_000_000, 60_000)},
    ),
    "a counter that begins anew does not": (
        [Sample(0, 1000, 30_001), Sample(MINUTE, 1000, 0)],
        {0: Energy(60_000_000, 60_000)},
    ),
    "a counter of whole kWh does not": (
        [Sample(0, 6000, 7000), Sample(MINUTE, 6000, 7000)],
        {0: Energy(360_000_000, 60_000)},
    ),
    "a counter may step by a tenth of a kWh": (
        [Sample(0, 0, 700), Sample(10 * S, 0, 800)],
        {0: Energy(100 * WATT_HOUR, 10_000)},
    ),
    "a counter that turns back a little gave": (
        [Sample(0, -1000, 500), Sample(MINUTE, -1000, 480)],
        {0: Energy(-20 * WATT_HOUR, 60_000)},
    ),
    "nothing taken is measured, not a gap": ([Sample(0, 0), Sample(MINUTE, 9)], {0: Energy(0, 60_000)}),
    "a doubled reading counts once, the first": (
        [Sample(0, 1000), Sample(0, 9000), Sample(MINUTE, 0)],
        {0: Energy(60_000_000, 60_000)},
    ),
}


@pytest.mark.parametrize(("samples", "expected"), CASES.values(), ids=CASES)
def test_minutes(samples, expected):
    assert minutes_of(samples) == expected


def test_a_counter_bridges_an_hour_and_no_more():
    within = minutes_of([Sample(0, 0, 0), Sample(60 * MINUTE, 0, 1001)])
    assert (total(within), covered(within)) == (1001 * WATT_HOUR, 60 * MINUTE)
    beyond = minutes_of([Sample(0, 0, 0), Sample(61 * MINUTE, 0, 1001)])
    assert (total(beyond), covered(beyond)) == (0, 5 * MINUTE)


samples = st.lists(
    st.builds(
        Sample,
        at=st.integers(0, 200 * MINUTE),
        watts=st.integers(-20_000, 20_000),
        watt_hours=st.none() | st.integers(-3000, 3000),
    ),
    unique_by=lambda sample: sample.at,
    max_size=20,
)


@given(samples, st.randoms(use_true_random=False), st.integers(1, 5))
def test_late_doubled_and_disordered_readings_give_the_same_rows(given_samples, random, size):
    """As rows would be changed: each batch knows only the neighbours of what it brings."""
    arriving = given_samples + random.sample(given_samples, len(given_samples) // 2)
    random.shuffle(arriving)
    stored: list[Sample] = []
    minutes: Counter[tuple[int, str]] = Counter()
    quarters: Counter[tuple[int, str]] = Counter()
    for start in range(0, len(arriving), size):
        gaps: dict[int, Between] = {}
        times = [sample.at for sample in stored]
        for sample in sorted(set(arriving[start : start + size]) - set(stored), key=lambda sample: sample.at):
            place = bisect_left(times, sample.at)
            before = stored[place - 1] if place else None
            after = stored[bisect_right(times, sample.at)] if place < len(times) else None
            known = gaps.get(place, Between(before, [], after))
            gaps[place] = Between(before, [*known.new, sample], after)
        found = changes(gaps.values())
        for rows, changed in ((minutes, found.minutes), (quarters, found.quarters)):
            for key, energy in changed.items():
                rows[key, "energy"] += energy.watt_milliseconds
                rows[key, "covered"] += energy.covered_milliseconds
        stored = sorted({*stored, *(one for gap in gaps.values() for one in gap.new)}, key=lambda one: one.at)
    whole = minutes_of(given_samples)
    kept = {key for key, _ in minutes if minutes[key, "energy"] or minutes[key, "covered"]}
    assert {key: Energy(minutes[key, "energy"], minutes[key, "covered"]) for key in kept} == whole
    assert all(0 < energy.covered_milliseconds <= MINUTE for energy in whole.values())
    for quarter in {key for key, _ in quarters}:
        of_it = {key: energy for key, energy in whole.items() if key // QUARTER == quarter}
        assert (quarters[quarter, "energy"], quarters[quarter, "covered"]) == (total(of_it), covered(of_it))


@given(st.lists(st.tuples(st.integers(1, 20 * MINUTE), st.integers(-9, 9)), min_size=1, max_size=20))
def test_the_sum_is_the_difference_of_the_counter(steps):
    chain = [Sample(0, 20_000, 1)]
    for milliseconds, watt_hours in steps:
        chain.append(
            Sample(
                chain[-1].at + max(milliseconds, 1000), 20_000, (chain[-1].watt_hours or 0) + 2 * watt_hours
            )
        )
    minutes = minutes_of(chain)
    assert total(minutes) == ((chain[-1].watt_hours or 0) - 1) * WATT_HOUR
    assert covered(minutes) == chain[-1].at


BEGIN = datetime(2026, 7, 14, 20, tzinfo=UTC)


def measured(*kws, minutes=1, until=BEGIN):
    length = timedelta(minutes=minutes)
    starts = [until - length * (len(kws) - place) for place in range(len(kws))]
    ms = minutes * MINUTE
    return [
        Measured(
            start, start + length, Energy(0, 0) if kw is None else Energy(int(Decimal(kw) * 1000) * ms, ms)
        )
        for start, kw in zip(starts, kws, strict=True)
    ]


USUAL = {
    "the mean of the quarter before": (measured(*[9] * 5, *[1] * 10, *[3] * 5), "1.667"),
    "one quarter of an hour as well": (measured(9, 2, minutes=15), "2.000"),
    "gaps do not count as nothing": (measured(*[None] * 10, *[4] * 5), "4.000"),
    "too little is unknown": (measured(*[None] * 11, *[4] * 4), None),
    "nothing of the run itself": (measured(*[4] * 15, until=BEGIN + timedelta(minutes=15)), None),
}


@pytest.mark.parametrize(("minutes", "kw"), USUAL.values(), ids=USUAL)
def test_the_usual_power(minutes, kw):
    assert baseline_kw(minutes, begins_at=BEGIN) == (None if kw is None else Decimal(kw))


@pytest.mark.parametrize(
    ("mode", "power", "usual", "expected"),
    [
        (Mode.DISCHARGE, -5, None, 5),
        (Mode.EXPORT, 2, 3, -2),
        (Mode.CURTAIL, 1, 3, 2),
        (Mode.CURTAIL, 4, 3, -1),
        (Mode.CURTAIL, 1, None, None),
        (Mode.IDLE, -5, 3, 0),
        (Mode.DISCHARGE, None, None, None),
    ],
)
def test_what_is_delivered(mode, power, usual, expected):
    kw = [None if value is None else Decimal(value) for value in (power, usual, expected)]
    assert delivered_kw(kw[0], mode=mode, baseline_kw=kw[1]) == kw[2]
