"""What a charger is told of a schedule, and whether what it says agrees."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devices.domain.charging import CannotCharge, Composite, Window, disagreement, proof_of, windows_of
from devices.domain.schedule import Mode, as_message
from tests.builders import NOW, at, segment


def windows(*segments, least_kw=0.0, now=NOW):
    message = as_message(device="one", version=1, issued_at=NOW, expires_at=at(600), segments=segments)
    return windows_of(message, rated_kw=11.0, least_kw=least_kw, now=now)


TOLD = {
    "a number": ([segment(0, 60, "4")], {}, [(0, 60, 7.0)]),
    "the maximum": ([segment(0, 60, None)], {}, [(0, 60, 0.0)]),
    "the maximum of one that must not stop": ([segment(0, 60, None)], {"least_kw": 1.4}, [(0, 60, 1.4)]),
    "more than it has": ([segment(0, 60, "20")], {}, [(0, 60, 0.0)]),
    "nothing": ([segment(0, 60, "0")], {}, [(0, 60, 11.0)]),
    "a least above its rating": ([segment(0, 60, "4")], {"least_kw": 50.0}, [(0, 60, 11.0)]),
    "idle is as usual": ([segment(0, 60, None, mode=Mode.IDLE)], {}, []),
    "no segments": ([], {}, []),
    "past and to come": ([segment(0, 30), segment(60, 90)], {"now": at(40)}, [(60, 90, 6.0)]),
    "all past": ([segment(0, 30)], {"now": at(40)}, [(0, 30, 6.0)]),
    "discharged in the past": (
        [segment(0, 30, mode=Mode.DISCHARGE), segment(60, 90)],
        {"now": at(40)},
        [(60, 90, 6.0)],
    ),
}


@pytest.mark.parametrize(("segments", "given", "expected"), TOLD.values(), ids=TOLD)
def test_a_schedule_becomes_limits(segments, given, expected):
    found = windows(*segments, **given)
    assert found == tuple(Window(at(start), at(end), limit) for start, end, limit in expected)


@pytest.mark.parametrize("mode", [Mode.DISCHARGE, Mode.EXPORT])
def test_to_give_back_is_refused_with_a_sentence(mode):
    with pytest.raises(CannotCharge, match=f"asks the charger to {mode.lower()}; .*only\\.$"):
        windows(segment(0, 60), segment(60, 90, mode=mode))


def said(*periods, start=0.0, minutes=120):
    return Composite(at(start), minutes * 60, tuple((60.0 * offset, limit) for offset, limit in periods))


ONE = (Window(at(-10), at(60), 7.0),)
TWO = (*ONE, Window(at(90), at(100), 0.0))
ANSWERS = {
    "exact": (ONE, said((0, 7.0), (60, 11.0)), ""),
    "rounded to amperes": (ONE, said((0, 6.9), (60, 11.0)), ""),
    "a second late": (ONE, Composite(at(0), 7200, ((1, 7.0), (3601, 11.0))), ""),
    "two windows": (TWO, said((0, 7.0), (60, 11.0), (90, 0.0), (100, 11.0)), ""),
    "one window forgotten": (
        TWO,
        said((0, 7.0), (60, 11.0)),
        "it was told 0 kW from 21:30 to 21:40 UTC and says 11 kW",
    ),
    "another limit": (ONE, said((0, 9.0)), "it was told 7 kW from 20:00 to 21:00 UTC and says 9 kW"),
    "ends too early": (
        ONE,
        said((0, 7.0), (30, 11.0)),
        "it was told 7 kW from 20:00 to 21:00 UTC and says 11 kW",
    ),
    "begins too late": (ONE, said((10, 7.0)), ""),
    "stricter": (ONE, said((0, 3.0)), "it was told 7 kW from 20:00 to 21:00 UTC and says 3 kW"),
    "silent about it": (ONE, said((70, 11.0)), "it names no limit from 20:00 to 21:00 UTC"),
    "beyond what it was asked": (TWO, said((0, 7.0), minutes=30), ""),
    "normal": ((), said((0, 11.0)), ""),
    "normal, with a weaker fuse": ((), said((0, 10.5)), ""),
    "still held back": ((), said((0, 7.0), (60, 11.0)), "it still keeps to 7 kW"),
}


@pytest.mark.parametrize(("told", "answer", "wrong"), ANSWERS.values(), ids=ANSWERS)
def test_what_a_charger_says_is_compared(told, answer, wrong):
    assert disagreement(told, answer, rated_kw=11.0, now=NOW) == wrong


def test_a_proof_says_what_was_found_and_only_of_the_time_that_was_asked_about():
    assert proof_of(TWO, said((0, 7.0)), now=NOW) == (
        "Asked, the charger said: at most 7 kW 19:50–21:00, 0 kW 21:30–21:40 UTC."
    )
    assert proof_of(TWO, said((0, 7.0), minutes=30), now=NOW) == (
        "Asked, the charger said: at most 7 kW 19:50–21:00 UTC."
    )
    assert proof_of(TWO, said((0, 7.0), start=200), now=NOW + timedelta(minutes=200)) == ""
    assert proof_of((), said((0, 11.0)), now=NOW) == (
        "Asked, the charger named no limit until 2026-07-14 22:00 UTC."
    )
