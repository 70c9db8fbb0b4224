"""Rule 6: which voluntary events are skipped or reduced, as tables; and what never happens, as a property."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.domain.envelope import Request
from dispatch.domain.events import Window
from dispatch.domain.flexing import flex
from dispatch.domain.overruling import Action
from dispatch.domain.terms import Flexibility, Hours, Limits, Terms, Voluntary
from tests.domain.asks import MIDNIGHT, ask, at, hours, lanes, plan_one, ruling

VOLUNTARY: dict[str, Any] = {"is_voluntary": True, "programs": ("ELRP",), "rank": 3}
PEAK = (Hours(time(17), time(21)),)
LABEL = "Home v2"
SKIP = {"action": Voluntary.SKIP}
HALF = {"action": Voluntary.REDUCE, "keep_percent": 50}
PAYS = (("CCA", 20), ("ELRP", 50), ("CEC-DSGS", 200))


def terms(
    flexibility: dict[str, Any] | None = None,
    *,
    zone: str = "UTC",
    charge: str | None = None,
    wish: bool = False,
    prices: tuple[tuple[str, int], ...] = PAYS,
) -> Terms:
    return Terms(
        zone,
        flexibility=Flexibility(LABEL, **flexibility) if flexibility else None,
        charge_percent=None if charge is None else Decimal(charge),
        commitments_only=wish,
        prices=prices,
    )


def told(plan) -> list[str]:
    return [
        f"{hours(each.window.start)}-{hours(each.window.end)} {each.reason.removesuffix(f' Policy {LABEL}.')}"
        for each in plan.unserved
    ]


ELRP = ask("e", 17, 21, **VOLUNTARY)
BOTH = ask("e", 17, 21, **VOLUNTARY | {"programs": ("ELRP", "CEC-DSGS")})
CCA = ask("c", 18, 19, "5", rank=2, programs=("CCA",))
SERVED, HALVED = "17-21 discharge 8 e", "17-21 discharge 4 e"

CASES = {
    "no policy": (terms(), [ELRP], [SERVED], []),
    "skipped always": (terms(SKIP), [ELRP], [], ["17-21 Skipped: voluntary events always are."]),
    "reduced always": (terms(HALF), [ELRP], [HALVED], []),
    "a commitment": (terms(SKIP, wish=True), [CCA], ["18-19 discharge 5 c"], []),
    "the customer's wish": (
        terms(wish=True),
        [ELRP],
        [],
        ["17-21 Skipped: the customer answers commitments only."],
    ),
    "the wish before the policy": (
        terms(HALF, wish=True),
        [ELRP],
        [],
        ["17-21 Skipped: the customer answers commitments only."],
    ),
    "below the charge": (
        terms(SKIP | {"below_percent": 40}, charge="39.50"),
        [ELRP],
        [],
        ["17-21 Skipped: 39.5 % of charge is below 40 %."],
    ),
    "at the charge": (terms(SKIP | {"below_percent": 40}, charge="40"), [ELRP], [SERVED], []),
    "an unknown charge": (terms(SKIP | {"below_percent": 40}), [ELRP], [SERVED], []),
    "pays less than comfort": (
        terms(SKIP | {"comfort_price": 51}),
        [ELRP],
        [],
        ["17-21 Skipped: it pays 0.50 $/kWh, less than the 0.51 $/kWh of comfort."],
    ),
    "pays as much as comfort": (terms(SKIP | {"comfort_price": 50}), [ELRP], [SERVED], []),
    "pays nobody knows what": (terms(SKIP | {"comfort_price": 51}, prices=()), [ELRP], [SERVED], []),
    "the better price of two programs": (terms(SKIP | {"comfort_price": 51}), [BOTH], [SERVED], []),
    "any condition that holds": (
        terms(HALF | {"below_percent": 40, "comfort_price": 51}, charge="80"),
        [ELRP],
        [HALVED],
        [],
    ),
    "hours within an event": (
        terms(SKIP | {"hours": (Hours(time(18), time(19)),)}),
        [ELRP],
        ["17-18 discharge 8 e", "19-21 discharge 8 e"],
        ["18-19 Skipped: voluntary events are at this time of its day."],
    ),
    "hours of another weekday": (
        terms(SKIP | {"hours": (Hours(time(17), time(21), frozenset({0})),)}),  # the tests' day is a Tuesday
        [ELRP],
        [SERVED],
        [],
    ),
    "hours of the site's clock": (
        terms(HALF | {"hours": PEAK}, zone="America/Los_Angeles"),  # 17:00 there is 24:00 UTC
        [ask("e", 23, 26, **VOLUNTARY)],
        ["23-24 discharge 8 e", "24-26 discharge 4 e"],
        [],
    ),
    "a maximum is reduced to a part of the rated power": (
        terms(HALF),
        [ask("e", 17, 21, None, **VOLUNTARY)],
        ["17-21 discharge 50 e"],
        [],
    ),
    "what would be less than a watt": (
        terms(HALF),
        [ask("e", 17, 21, "0.001", **VOLUNTARY)],
        [],
        ["17-21 Skipped: voluntary events always are."],
    ),
    "a commitment beside a skipped event": (
        terms(SKIP),
        [ELRP, CCA],
        ["18-19 discharge 5 c"],
        ["17-21 Skipped: voluntary events always are."],
    ),
    "a commitment beside a reduced event": (
        terms(HALF),
        [ELRP, CCA],
        ["17-18 discharge 4 e", "18-19 discharge 5 c+e", "19-21 discharge 4 e"],
        [],
    ),
}


@pytest.mark.parametrize(("under", "events", "served", "left"), CASES.values(), ids=CASES.keys())
def test_voluntary_events_are_skipped_or_reduced_and_say_why(under, events, served, left):
    plan = plan_one(events, terms=under)
    assert (lanes(plan), told(plan)) == (served, left)


@pytest.mark.parametrize(
    ("day", "of", "expected"),
    [
        pytest.param("2026-11-01", (1, 2), "8-10", id="an hour that comes twice"),
        pytest.param("2027-03-14", (1, 4), "9-11", id="a night without an hour"),
        pytest.param("2027-03-14", (2, 3), None, id="the hour that is not"),
    ],
)
def test_hours_follow_the_local_clock_on_nights_of_change(day, of, expected):
    midnight = (datetime.fromisoformat(day).replace(tzinfo=UTC) - MIDNIGHT).total_seconds() / 3600
    start, end = of
    under = terms(SKIP | {"hours": (Hours(time(start), time(end)),)}, zone="America/Los_Angeles")
    plan = plan_one([ask("e", midnight + 6, midnight + 14, **VOLUNTARY)], terms=under)
    skipped = [
        "-".join(f"{float(hours(each)) - midnight:g}" for each in (row.window.start, row.window.end))
        for row in plan.unserved
    ]
    assert skipped == ([expected] if expected else [])


def test_a_persons_force_stands_above_policy_and_wish():
    forced = ruling(Action.FORCE, 17, 21, watts=9_000)
    plan = plan_one([ELRP], rulings=(forced,), terms=terms(SKIP, wish=True))
    assert lanes(plan) == ["17-21 discharge 9 e"]
    assert not plan.unserved


def test_limits_weigh_what_is_left_of_a_reduced_event():
    under = Terms("UTC", Limits(LABEL, ignore_below_watts=5_000), flexibility=Flexibility(LABEL, **HALF))
    assert told(plan_one([ELRP], terms=under)) == [
        "17-21 Dropped: 4 kW is below the 5 kW from which it moves."
    ]


def test_reasons_name_what_was_reduced_and_overlaps_what_was_skipped():
    under = terms(HALF | {"below_percent": 40}, charge="30")
    hourly = [ask(name, 17 + place, 18 + place, **VOLUNTARY) for place, name in enumerate("ef")]
    (segment,) = plan_one(hourly, terms=under).segments
    assert segment.reason == (
        "Serves ELRP, rank 3, voluntary: its share of 8 kW. "
        "ELRP reduced to 50 %: 30 % of charge is below 40 %. Policy Home v2."
    )
    (overlap,) = plan_one([ELRP, CCA], terms=terms(SKIP)).overlaps
    assert (overlap.served, overlap.not_served) == (
        ("c",),
        (("e", "Skipped: voluntary events always are. Policy Home v2."),),
    )
    assert [event.leap_event_id for event in overlap.events] == ["c", "e"]


def test_what_comes_first_is_decided_by_what_is_left():
    later = ask("m", 18, 19, None, **VOLUNTARY)  # first while it asks for the maximum
    earlier = ask("n", 17, 19, "100", **VOLUNTARY | {"programs": ("CEC-DSGS",)})
    (segment,) = plan_one([later, earlier], terms=terms(HALF)).segments
    assert "DSGS comes first: the earlier start." in segment.reason
    assert "ELRP and DSGS reduced to 50 %" in segment.reason


@st.composite
def slices(draw):
    window = Window(at(17), at(18))
    asks = st.tuples(st.booleans(), st.one_of(st.none(), st.integers(1, 100_000)), st.integers(1, 3))
    return [
        Request(ask(name, 17, 18, rank=rank, is_voluntary=is_voluntary, programs=("ELRP",)), watts, window)
        for name, (is_voluntary, watts, rank) in zip("abcd", draw(st.lists(asks, max_size=4)), strict=False)
    ]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    slices(),
    st.sampled_from([SKIP, *({**HALF, "keep_percent": keep} for keep in (1, 33, 99))]),
    st.booleans(),
)
def test_no_commitment_is_refused_and_no_event_gets_more_than_it_asks(requests, policy, wish):
    flexed = flex(requests, terms=terms(policy, wish=wish), is_hour=False, rated_watts=100_000)
    kept = {each.event.event_id: each for each in flexed.kept}
    refused = {each.request.event.event_id: each.request for each in flexed.refused}
    for request in requests:
        number = request.event.event_id
        assert (number in kept) != (number in refused)
        if not request.event.is_voluntary:
            assert kept[number] == request
        elif number in kept:
            assert 1 <= (kept[number].watts or 0) <= (request.watts or 100_000)
