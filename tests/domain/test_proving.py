"""Whether a device does what it was told: verdicts and the words for them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from devices.domain.proving import Asked, How, ReadBack, Said, Verdict, judge, next_look_at, settles_at
from devices.domain.schedule import Mode
from tests.builders import at

TOLD_TO_GIVE = {"mode": Mode.DISCHARGE, "target": "4.5"}
TOLD_TO_TAKE_LESS = {"mode": Mode.CURTAIL, "target": "2.5", "before": "4.1"}
A_LITTLE_LESS = {"mode": Mode.CURTAIL, "target": "0.7", "before": "4.8"}
THE_MOST = {"target": None}
NORMAL = {"is_normal": True}


def asked(*, mode, target, before=None, is_normal=False, ramp=None, may_be_empty=False) -> Asked:
    """Told at minute 0; rated 5 kW."""
    return Asked(
        is_normal=is_normal,
        mode=mode,
        target_kw=None if target is None else Decimal(target),
        rated_kw=Decimal(5),
        since=at(0),
        settles_at=settles_at(since=at(0), ramp_seconds=ramp),
        baseline_kw=None if before is None else Decimal(before),
        may_be_empty=may_be_empty,
    )


def said(*readings) -> list[Said]:
    """Readings as (minute, kW) or (minute, kW, mode)."""
    return [Said(at(minute), Decimal(power), *mode) for minute, power, *mode in readings]


def judged(told, *readings, now=10, read_back=None):
    """The judgement at a minute, by default ten after it was told."""
    heard = said(*readings)
    last = heard[-1].at if heard else None
    return judge(asked(**told), said=heard, last_said_at=last, read_back=read_back, now=at(now))


CASES = [
    # storage
    (TOLD_TO_GIVE, [(9, "-4.6")], 10, "PROVEN", "Gives 4.6 of 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "-4.05")], 10, "PROVEN", "Gives 4.0 of 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "-4.04")], 10, "DEVIATES", "Gives 4.0 of 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "-5.0")], 10, "DEVIATES", "Gives 5.0 of 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "0.3")], 10, "DEVIATES", "Takes 0.3 kW; it was to give 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "0")], 10, "DEVIATES", "Takes and gives nothing; it was to give 4.5 kW."),
    (TOLD_TO_GIVE, [(9, "-4.5", "normal")], 10, "DEVIATES", "Says that it works as usual; gives 4.5 kW."),
    (
        TOLD_TO_GIVE | THE_MOST | {"mode": Mode.EXPORT},
        [(9, "-4.1")],
        10,
        "PROVEN",
        "Gives 4.1 kW; the most it can was asked, rated 5.0 kW.",
    ),
    (
        TOLD_TO_GIVE | THE_MOST | {"mode": Mode.EXPORT},
        [(9, "-2.4")],
        10,
        "DEVIATES",
        "Gives 2.4 kW; the most it can was asked, rated 5.0 kW.",
    ),
    (TOLD_TO_GIVE | THE_MOST, [(9, "-0.4")], 10, "PROVEN", "Gives 0.4 kW; it was to follow the site's load."),
    (
        TOLD_TO_GIVE | THE_MOST,
        [(9, "0.0")],
        10,
        "DEVIATES",
        "Takes and gives nothing; it was to follow the site's load.",
    ),
    # loads
    (TOLD_TO_TAKE_LESS, [(9, "1.6")], 10, "PROVEN", "Takes 1.6 kW, 2.5 kW less than before."),
    (
        TOLD_TO_TAKE_LESS,
        [(9, "3.1")],
        10,
        "DEVIATES",
        "Takes 3.1 kW, 1.0 kW less than before; 2.5 kW less was asked.",
    ),
    (
        TOLD_TO_TAKE_LESS,
        [(9, "4.5")],
        10,
        "DEVIATES",
        "Takes 4.5 kW, 0.4 kW more than before; 2.5 kW less was asked.",
    ),
    (A_LITTLE_LESS, [(9, "4.4")], 10, "PROVEN", "Takes 4.4 kW, 0.4 kW less than before."),
    (
        A_LITTLE_LESS,
        [(9, "4.6")],
        10,
        "DEVIATES",
        "Takes 4.6 kW, 0.2 kW less than before; 0.7 kW less was asked.",
    ),
    (
        TOLD_TO_TAKE_LESS | {"before": "0.3"},
        [(9, "0")],
        10,
        "PROVEN",
        "Takes and gives nothing, 0.3 kW less than before; 2.5 kW less was asked.",
    ),
    (
        TOLD_TO_TAKE_LESS | {"before": "0"},
        [(9, "2.4")],
        10,
        "PROVEN",
        "Takes 2.4 kW, 2.4 kW more than before; up to 2.5 kW is left to it.",
    ),
    (
        TOLD_TO_TAKE_LESS | {"before": "0"},
        [(9, "2.8")],
        10,
        "DEVIATES",
        "Takes 2.8 kW, 2.8 kW more than before; 2.5 kW less was asked.",
    ),
    (TOLD_TO_TAKE_LESS | THE_MOST, [(9, "0.2")], 10, "PROVEN", "Takes 0.2 kW, 3.9 kW less than before."),
    (
        TOLD_TO_TAKE_LESS | THE_MOST,
        [(9, "2")],
        10,
        "DEVIATES",
        "Takes 2.0 kW, 2.1 kW less than before; it was to take as little as it can.",
    ),
    (
        TOLD_TO_TAKE_LESS | {"before": None},
        [(9, "3.1")],
        10,
        "UNKNOWN",
        "Takes 3.1 kW; what it took before is not known.",
    ),
    (
        TOLD_TO_TAKE_LESS | {"before": None},
        [(9, "3.1", "curtail")],
        10,
        "PROVEN",
        "Takes 3.1 kW; says that it curtails, and what it took before is not known.",
    ),
    (TOLD_TO_TAKE_LESS | {"before": None}, [(9, "0.05")], 10, "PROVEN", "Takes 0.05 kW."),
    # time: early is good enough, late is not; one odd reading is no alarm; silence
    (TOLD_TO_GIVE, [(0.5, "-4.5")], 1, "PROVEN", "Gives 4.5 of 4.5 kW."),
    (TOLD_TO_GIVE, [(1, "-1")], 1, "AWAITED", "Judged from 20:02 UTC on."),
    (TOLD_TO_GIVE | {"ramp": 600}, [(9, "-3")], 10, "AWAITED", "Judged from 20:12 UTC on."),
    (TOLD_TO_GIVE, [(-1, "-4.5")], 1, "AWAITED", "Judged from 20:02 UTC on."),
    (
        TOLD_TO_GIVE,
        [(8.5, "-4.5"), (9, "-4.5"), (9.5, "-4.5"), (10, "-3.5")],
        10,
        "PROVEN",
        "Gives 4.2 of 4.5 kW.",
    ),
    (TOLD_TO_GIVE, [(2, "-4.5")], 10, "UNKNOWN", "Said nothing since 20:02 UTC."),
    (TOLD_TO_GIVE, [(-900, "0")], 10, "UNKNOWN", "Said nothing since 2026-07-14 05:00 UTC."),
    (TOLD_TO_GIVE, [], 10, "UNKNOWN", "Never said what it takes."),
    (TOLD_TO_GIVE, [(1.5, "-1")], 4, "AWAITED", "No reading of it yet; awaited until 20:07 UTC."),
    (TOLD_TO_GIVE, [], 6, "AWAITED", "No reading of it yet; awaited until 20:07 UTC."),
    # back to normal
    (TOLD_TO_GIVE | NORMAL, [(9, "0.2")], 10, "PROVEN", "Gives no more; takes 0.2 kW."),
    (TOLD_TO_GIVE | NORMAL, [(9, "-4.5")], 10, "DEVIATES", "Still gives 4.5 kW."),
    (TOLD_TO_GIVE | NORMAL, [(1, "-4.5")], 1, "AWAITED", "Judged from 20:02 UTC on."),
    (
        TOLD_TO_GIVE | NORMAL,
        [(9, "-4.5", "normal")],
        10,
        "PROVEN",
        "Says that it works as usual again; gives 4.5 kW.",
    ),
    (TOLD_TO_TAKE_LESS | NORMAL, [(9, "3.9")], 10, "PROVEN", "Takes 3.9 kW again; 4.1 kW before."),
    (TOLD_TO_TAKE_LESS | NORMAL, [(9, "2.9")], 10, "PROVEN", "Takes 2.9 kW again; 4.1 kW before."),
    (TOLD_TO_TAKE_LESS | NORMAL, [(9, "2.8")], 10, "DEVIATES", "Takes 2.8 kW; 4.1 kW before the run."),
    (TOLD_TO_TAKE_LESS | NORMAL, [(9, "0.3")], 10, "DEVIATES", "Takes 0.3 kW; 4.1 kW before the run."),
    (
        TOLD_TO_TAKE_LESS | NORMAL | {"before": None},
        [(9, "3.9")],
        10,
        "UNKNOWN",
        "Takes 3.9 kW; what it took before is not known.",
    ),
    (TOLD_TO_TAKE_LESS | NORMAL, [], 10, "UNKNOWN", "Never said what it takes."),
    (
        TOLD_TO_TAKE_LESS | NORMAL | {"may_be_empty": True},
        [(9, "0")],
        10,
        "AWAITED",
        "Takes and gives nothing, as without a car; proven once it takes something again.",
    ),
]


def test_a_load_that_goes_on_and_off_is_judged_by_its_mean():
    """Without a word on what it does; three minutes off, two on."""
    told = {"mode": Mode.CURTAIL, "target": "2", "before": "3"}
    readings = [(minute, "2.5" if minute % 5 > 2 else "0") for minute in range(1, 25)]
    found = {judged(told, *readings[:last], now=last + 1).verdict for last in range(12, 24)}
    assert found == {Verdict.PROVEN}
    assert judged(told, *((minute, "2.5") for minute in range(1, 25)), now=24).verdict is Verdict.DEVIATES


@pytest.mark.parametrize(("told", "readings", "now", "verdict", "sentence"), CASES)
def test_what_a_device_says_is_judged_against_what_it_was_told(told, readings, now, verdict, sentence):
    found = judged(told, *readings, now=now)
    assert (found.verdict, found.sentence) == (verdict, sentence)


def test_a_read_back_proves_at_once_but_not_one_from_before_it_was_told():
    held = ReadBack(at(0.1), "Holds 4.5 kW.")
    found = judged(TOLD_TO_GIVE, now=0.2, read_back=held)
    assert (found.verdict, found.sentence, found.how) == (Verdict.PROVEN, "Holds 4.5 kW.", How.READ_BACK)
    older = ReadBack(at(-1), "Holds 4.5 kW.")
    assert judged(TOLD_TO_GIVE, now=0.2, read_back=older).verdict is Verdict.AWAITED


def test_measured_power_outweighs_a_read_back_once_it_has_settled():
    held = ReadBack(at(0.1), "Holds 4.5 kW.")
    assert judged(TOLD_TO_GIVE, (1, "0"), now=1, read_back=held).verdict is Verdict.PROVEN
    assert judged(TOLD_TO_GIVE, (9, "0"), now=10, read_back=held).verdict is Verdict.DEVIATES
    assert judged(TOLD_TO_TAKE_LESS, (9, "2.4"), now=10).verdict is Verdict.DEVIATES
    assert judged(TOLD_TO_TAKE_LESS, (9, "2.4"), now=10, read_back=held).verdict is Verdict.PROVEN
    assert judged(TOLD_TO_TAKE_LESS, (9, "2.8"), now=10, read_back=held).verdict is Verdict.DEVIATES
    unknown = TOLD_TO_TAKE_LESS | {"before": None}
    assert judged(unknown, (9, "3"), now=10, read_back=held).verdict is Verdict.PROVEN


def test_normal_is_looked_at_for_a_day_with_growing_pauses_until_it_is_proven():
    told = asked(**TOLD_TO_GIVE | NORMAL)
    looks = [at(2)]
    while following := next_look_at(told, Verdict.DEVIATES, now=looks[-1]):
        looks.append(following)
    pauses = [later - sooner for sooner, later in pairwise(looks)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(seconds=15), timedelta(minutes=15))
    assert looks[-1] >= at(24 * 60)
    assert len(looks) < 150
    assert next_look_at(told, Verdict.PROVEN, now=at(3)) is None
