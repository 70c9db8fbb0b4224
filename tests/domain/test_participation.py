"""Who may rest, take part or leave from which day on, by the meter's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from leapvpp.leap.meters import Preference
from meters.domain.participation import (
    Asked,
    Days,
    Kind,
    Standing,
    check_asked,
    check_meter,
    last_chance,
    named_twice,
    preferences_after,
    stretches,
    window_of,
)

PACIFIC, SYDNEY = "America/Los_Angeles", "Australia/Sydney"
METER = "abae2779-e392-4f00-b0cf-32e716204f78"
NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)  # 07:00 of the 28th in California, 02:00 of the 29th in Sydney
A, B = date(2026, 12, 1), date(2026, 12, 10)


def said(kind: str, start: str, end: str | None = None) -> Preference:
    return Preference(
        participation_preference=kind, start_time=f"{start}T08:00:00Z", end_time=end and f"{end}T08:00:00Z"
    )


ALWAYS = said("PARTICIPATE", "2025-01-01", "9000-01-01")
LEAVES = said("DISENROLL", "2026-12-05", "2099-01-01")
RESTS = said("IDLE", "2026-12-01", "2026-12-11")
IDLE, END, JOIN, LEAVE = (
    Asked(Kind.IDLE, Days(A, B)),
    Asked(Kind.END_IDLE, Days(A, B)),
    Asked(Kind.PARTICIPATE, Days(A)),
    Asked(Kind.DISENROLL, Days(A), reason="Moved."),
)


def standing(**fields) -> Standing:
    return Standing(**{"meter_id": METER, "timezone": PACIFIC, "preferences": (ALWAYS,)} | fields)


def on(kind: Kind, first: date, last: date | None = None) -> Asked:
    return Asked(kind, Days(first, last), reason="Moved.")


TODAY_HERE, TODAY_THERE = date(2026, 11, 28), date(2026, 11, 29)
CHECKS = {
    "an idle period to come": (IDLE, standing(), ""),
    "idle from today on": (on(Kind.IDLE, TODAY_HERE, B), standing(), ""),
    "today here is over in Sydney": (
        on(Kind.IDLE, TODAY_HERE, B),
        standing(timezone=SYDNEY),
        "first day is over",
    ),
    "leaving today": (on(Kind.DISENROLL, TODAY_HERE), standing(), "must begin after today"),
    "leaving tomorrow": (on(Kind.DISENROLL, TODAY_THERE), standing(), ""),
    "tomorrow here is today in Sydney": (
        on(Kind.DISENROLL, TODAY_THERE),
        standing(timezone=SYDNEY),
        "must begin after today",
    ),
    "archived": (IDLE, standing(is_archived=True), "archived"),
    "no longer listed": (IDLE, standing(is_listed=False), "no longer lists"),
    "an id that is none of Leap's": (IDLE, standing(meter_id="meter-1"), "no UUID"),
    "a zone that is none": (IDLE, standing(timezone="Mars/Olympus"), "none, so its days are not known"),
    "idle over a disenrollment": (IDLE, standing(preferences=(ALWAYS, LEAVES)), "disenrolled then"),
    "idle before a disenrollment": (
        on(Kind.IDLE, A, date(2026, 12, 4)),
        standing(preferences=(ALWAYS, LEAVES)),
        "",
    ),
    "idle as it is listed": (IDLE, standing(idle=frozenset({Days(A, B)})), "this very idle period"),
    "the end of a listed period": (END, standing(idle=frozenset({Days(A, B)})), ""),
    "the end of a running one": (
        on(Kind.END_IDLE, date(2026, 11, 20), B),
        standing(idle=frozenset({Days(date(2026, 11, 20), B)})),
        "",
    ),
    "the end of one that is a day off": (
        END,
        standing(idle=frozenset({Days(A, date(2026, 12, 11))})),
        "exactly these days; it lists 1 Dec 2026 – 11 Dec 2026",
    ),
    "the end of one that is over": (
        on(Kind.END_IDLE, date(2026, 11, 1), date(2026, 11, 27)),
        standing(idle=frozenset({Days(date(2026, 11, 1), date(2026, 11, 27))})),
        "is over",
    ),
    "the end, while no list was read": (END, standing(idle=None), ""),
    "taking part as ever": (JOIN, standing(), ""),
    "taking part again": (JOIN, standing(preferences=(ALWAYS, RESTS)), ""),
    "leaving twice": (on(Kind.DISENROLL, B), standing(preferences=(ALWAYS, LEAVES)), "already"),
}


@pytest.mark.parametrize(("asked", "meter", "problem"), CHECKS.values(), ids=CHECKS.keys())
def test_a_meter_is_checked_by_its_own_clock(asked, meter, problem):
    found = check_meter(asked, meter, now=NOW).problem
    assert (problem in found) if problem else (found == "")


WRONG = {
    "no end": (Asked(Kind.IDLE, Days(A)), {"ends_on"}),
    "an end before the start": (Asked(Kind.IDLE, Days(B, A)), {"ends_on"}),
    "an end where there is none": (Asked(Kind.DISENROLL, Days(A, B), reason="x"), {"ends_on"}),
    "no reason to leave": (Asked(Kind.DISENROLL, Days(A), reason=" "), {"reason"}),
    "the end of time": (Asked(Kind.IDLE, Days(date.max, date.max)), {"starts_on"}),
    "before all zones": (Asked(Kind.PARTICIPATE, Days(date.min)), {"starts_on"}),
    "an endless rest": (Asked(Kind.IDLE, Days(A, date.max)), {"ends_on"}),
    "one day": (Asked(Kind.IDLE, Days(A, A)), set()),
}


@pytest.mark.parametrize(("asked", "fields"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_for_everybody_is_said_by_its_field(asked, fields):
    assert check_asked(asked, today=NOW.date()).keys() == fields


def test_what_is_worth_knowing_is_said_and_stops_nothing():
    meter = standing(
        timezone="UTC", is_listed=None, idle=frozenset({Days(date(2026, 12, 9), date(2026, 12, 20))})
    )
    found = check_meter(IDLE, meter, now=NOW)
    assert found.problem == ""
    assert [
        word for warning in found.warnings for word in ("No sync", "UTC", "replaces") if word in warning
    ] == [
        "No sync",
        "UTC",
        "replaces",
    ]
    assert "anyway" in check_meter(JOIN, standing(), now=NOW).warnings[0]
    assert named_twice(["a", "b", "a"]) == ("a",)


WINDOWS = {
    # zone, first, last, begins and ends in UTC, hours
    "an ordinary day": (PACIFIC, A, A, "2026-12-01 08:00", 24),
    "the night that is an hour longer": (
        PACIFIC,
        date(2026, 11, 1),
        date(2026, 11, 1),
        "2026-11-01 07:00",
        25,
    ),
    "the night that is an hour shorter": (
        PACIFIC,
        date(2026, 3, 8),
        date(2026, 3, 8),
        "2026-03-08 08:00",
        23,
    ),
    "the south": (SYDNEY, A, A, "2026-11-30 13:00", 24),
    "the longer night of the south": (SYDNEY, date(2026, 4, 5), date(2026, 4, 5), "2026-04-04 13:00", 25),
    "a day without a midnight": (
        "America/Santiago",
        date(2026, 9, 6),
        date(2026, 9, 6),
        "2026-09-06 04:00",
        23,
    ),
}


@pytest.mark.parametrize(("zone", "first", "last", "begins", "hours"), WINDOWS.values(), ids=WINDOWS.keys())
def test_local_days_are_a_window_of_utc(zone, first, last, begins, hours):
    window = window_of(Days(first, last), ZoneInfo(zone))
    assert f"{window.starts_at:%Y-%m-%d %H:%M}" == begins
    assert window.ends_at - window.starts_at == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("asked", "until"),
    [
        (IDLE, "2026-12-02 08:00"),
        (JOIN, "2026-12-02 08:00"),
        (LEAVE, "2026-12-01 08:00"),
        (END, "2026-12-11 08:00"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_leap_is_asked_while_that_makes_sense(asked, until):
    assert f"{last_chance(asked.kind, asked.days, ZoneInfo(PACIFIC)):%Y-%m-%d %H:%M}" == until


HOLDS = {
    "rest, then as before": (IDLE, (ALWAYS,), ["PARTICIPATE", "IDLE 12-01", "PARTICIPATE 12-11"]),
    "the rest taken back": (END, (ALWAYS, RESTS), ["PARTICIPATE"]),
    "another rest stays": (
        END,
        (ALWAYS, RESTS, said("IDLE", "2027-01-05", "2027-01-06")),
        ["PARTICIPATE", "IDLE 01-05", "PARTICIPATE 01-06"],
    ),
    "taking part overrides what is to come": (
        Asked(Kind.PARTICIPATE, Days(date(2026, 12, 4))),
        (ALWAYS, RESTS, LEAVES),
        ["PARTICIPATE", "IDLE 12-01", "PARTICIPATE 12-04"],
    ),
    "leaving": (LEAVE, (ALWAYS,), ["PARTICIPATE", "DISENROLL 12-01"]),
    "of overlapping ones the latest": (
        on(Kind.DISENROLL, date(2026, 12, 5)),
        (ALWAYS, RESTS),
        ["PARTICIPATE", "IDLE 12-01", "DISENROLL 12-05"],
    ),
}


@pytest.mark.parametrize(("asked", "preferences", "expected"), HOLDS.values(), ids=HOLDS.keys())
def test_what_will_hold_when(asked, preferences, expected):
    after = preferences_after(asked, standing(preferences=preferences))
    first, *rest = stretches(after, since=NOW)
    assert [first.kind, *(f"{each.kind} {each.starts_at:%m-%d}" for each in rest)] == expected
