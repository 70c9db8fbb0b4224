"""What unblocks the most power before which deadline: the order of groups, bands, chances, preferences."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from meters.domain.actions import (
    Band,
    Chance,
    Group,
    Key,
    band_of,
    digest_of,
    next_chance,
    preferences_ahead,
    rank,
    reminded_days,
)
from tests.builders import NOW

DAY = timedelta(days=1)


def group(
    name: str, *, days: float | None, total: str = "10", alone: str | None = None, meters: int = 1
) -> Group:
    """A group whose deadline lies so many days ahead."""
    return Group(
        key=Key("PARTNER", name, "", "CCA", "P", None if days is None else NOW + days * DAY),
        meters=meters,
        alone_meters=meters,
        alone_kw=Decimal(total if alone is None else alone),
        total_kw=Decimal(total),
    )


ORDERS = {
    "the nearer band before more power": (
        "near far",
        [group("far", days=9, total="900"), group("near", days=1)],
    ),
    "more power within a band, whose day counts less": (
        "big small",
        [group("small", days=3), group("big", days=6, total="11")],
    ),
    "what leads to more power before what unblocks more alone": (
        "chain alone",
        [group("alone", days=1, total="100"), group("chain", days=1, total="500", alone="0")],
    ),
    "among equals what is unblocked by itself": (
        "alone together",
        [group("together", days=1, alone="0"), group("alone", days=1)],
    ),
    "among those the more meters, then the nearer deadline": (
        "many soon late",
        [group("late", days=6), group("soon", days=5), group("many", days=6.5, meters=2)],
    ),
    "no deadline after every deadline, missed ones last and the latest missed first": (
        "far never missed gone",
        [
            group("gone", days=-30, total="900"),
            group("missed", days=0),
            group("never", days=None, total="99"),
            group("far", days=300),
        ],
    ),
    "the same order, however they come": ("a b", [group("b", days=1), group("a", days=1)]),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("order", "groups"), ORDERS.values(), ids=ORDERS.keys())
def test_groups_stand_by_deadline_and_power(order, groups):
    assert [one.group.key.action_type for one in rank(groups, now=NOW)] == order.split()
    assert rank(reversed(groups), now=NOW) == rank(groups, now=NOW)


@pytest.mark.parametrize(
    ("days", "band", "reminded"),
    [
        (-1, Band.MISSED, None),
        (0, Band.MISSED, None),
        (0.001, Band.TWO_DAYS, 2),
        (2, Band.TWO_DAYS, 2),
        (2.01, Band.WEEK, 7),
        (7, Band.WEEK, 7),
        (14, Band.FORTNIGHT, 14),
        (14.01, Band.LATER, None),
    ],
)
def test_a_deadline_is_met_until_its_moment(days, band, reminded):
    at = NOW + days * DAY
    assert (band_of(at, now=NOW), reminded_days(at, now=NOW)) == (band, reminded)


def test_a_group_keeps_its_name_while_its_meters_change_and_no_two_share_one():
    one = group("a", days=1, meters=3)
    assert digest_of(one.key) == digest_of(group("a", days=1, meters=4).key)
    others = [group("a", days=2).key, group("a", days=None).key, group("b", days=1).key]
    assert len({digest_of(key) for key in [one.key, *others]}) == 4


CHANCES = {
    "the first ahead": (
        [["2026-07-01T00:00:00Z", "2026-07-10T00:00:00Z"], ["2026-08-01T00:00:00Z", "2026-08-15T00:00:00Z"]],
        ("2026-08-01", "2026-08-15"),
    ),
    "in any order": ([["2026-09-01T00:00:00Z", None], ["2026-08-01T00:00:00Z", None]], ("2026-08-01", None)),
    "none ahead": ([["2026-07-01T00:00:00Z", "2026-07-10T00:00:00Z"]], None),
    "words for times": (
        [["soon", "later"], [], None, 7, ["2026-08-01T00:00:00Z", "later"]],
        ("2026-08-01", None),
    ),
    "no list at all": ({"a": 1}, None),
    "an offset, an end of time": (
        [["9000-01-01T00:00:00Z", None], ["2026-08-01T02:00:00+02:00"]],
        ("2026-08-01", None),
    ),
}


@pytest.mark.parametrize(("pairs", "expected"), CHANCES.values(), ids=CHANCES.keys())
def test_the_next_chance_is_the_first_deadline_ahead(pairs, expected):
    found = next_chance(pairs, now=NOW)
    shown = found and (
        f"{found.deadline_at:%Y-%m-%d}",
        found.activates_at and f"{found.activates_at:%Y-%m-%d}",
    )
    assert shown == expected
    assert found is None or isinstance(found, Chance)


def preference(word: str, start: str, end: str | None, **more: str) -> dict:
    return {
        "participation_preference": word,
        "start_time": f"{start}T00:00:00Z",
        "end_time": end and f"{end}T00:00:00Z",
        **more,
    }


PREFERENCES = {
    "one without an end": (
        [preference("PARTICIPATE", "2026-01-01", "9000-01-01")],
        "PARTICIPATE 01-01..open",
    ),
    "what starts later counts, and what it covered comes back": (
        [
            preference("PARTICIPATE", "2026-01-01", "2099-01-01"),
            preference("IDLE", "2026-08-01", "2026-09-01", reason="Season"),
            preference("DISENROLL", "2026-12-01", "2099-01-01"),
        ],
        "PARTICIPATE 01-01..08-01, IDLE 08-01..09-01, PARTICIPATE 09-01..12-01, DISENROLL 12-01..open",
    ),
    "a gap is left out": (
        [
            preference("PARTICIPATE", "2026-01-01", "2026-08-01"),
            preference("IDLE", "2026-09-01", "2026-10-01"),
        ],
        "PARTICIPATE 01-01..08-01, IDLE 09-01..10-01",
    ),
    "what is over": ([preference("IDLE", "2026-01-01", "2026-02-01")], ""),
    "touching ranges of one word are one": (
        [preference("IDLE", "2026-01-01", "2026-08-01"), preference("IDLE", "2026-08-01", "2026-09-01")],
        "IDLE 01-01..09-01",
    ),
    "nonsense": ([None, 7, {"start_time": "x"}, {}], ""),
    "no list": ("IDLE", ""),
}


@pytest.mark.parametrize(("preferences", "expected"), PREFERENCES.values(), ids=PREFERENCES.keys())
def test_preferences_hold_by_their_latest_start(preferences, expected):
    shown = [
        f"{one.preference} {one.starts_at:%m-%d}..{f'{one.ends_at:%m-%d}' if one.ends_at else 'open'}"
        for one in preferences_ahead(preferences, now=NOW)
    ]
    assert ", ".join(shown) == expected
