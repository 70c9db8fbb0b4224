from datetime import timedelta
from itertools import pairwise

import pytest

from devices.domain import breaker
from devices.domain.commands import Held
from devices.domain.retry import next_attempt_at
from devices.domain.schedule import Mode
from devices.domain.setpoints import errands_for, has_lapsed, lapses_at, lasts_until, renewed_at
from tests.builders import NOW, at, segment

DAY = 24 * 60
NOTHING = Held(remaining=(), unanswered_until=None)
RUNS = Held(remaining=[segment(0, 60)], unanswered_until=None)
UNSURE = Held(remaining=(), unanswered_until=at(90))


def told(desired, held, now=0):
    """Each errand as (what, due, until) in minutes, stops marked."""
    return [
        (
            ("value" if each.starts_at else "stop" if each.is_restoring else "normal"),
            (each.due_at - NOW) / timedelta(minutes=1),
            (each.expires_at - NOW) / timedelta(minutes=1),
        )
        for each in errands_for(desired=desired, held=held, now=at(now))
    ]


@pytest.mark.parametrize(
    ("desired", "held", "expected"),
    [
        pytest.param(
            [segment(10, 40)],
            NOTHING,
            [("value", 10, 40), ("stop", 40, 40 + DAY)],
            id="a value at the beginning, normal at the end and for a day",
        ),
        pytest.param(
            [segment(-10, 40)],
            NOTHING,
            [("value", 0, 40), ("stop", 40, 40 + DAY)],
            id="late: at once, for the remainder",
        ),
        pytest.param(
            [segment(0, 20), segment(20, 40), segment(60, 90)],
            NOTHING,
            [
                ("value", 0, 20),
                ("value", 20, 40),
                ("stop", 40, 60),
                ("value", 60, 90),
                ("stop", 90, 90 + DAY),
            ],
            id="touching segments are one run, and normal is told until the next begins",
        ),
        pytest.param([], RUNS, [("stop", 0, DAY)], id="runs and is to do nothing"),
        pytest.param([], UNSURE, [("stop", 0, DAY)], id="nobody knows whether it is normal"),
        pytest.param([], NOTHING, [("normal", 0, DAY)], id="nothing left to do"),
        pytest.param(
            [segment(30, 60)],
            RUNS,
            [("stop", 0, 30), ("value", 30, 60), ("stop", 60, 60 + DAY)],
            id="runs and is to run later",
        ),
        pytest.param(
            [segment(0, 60, "1")],
            RUNS,
            [("value", 0, 60), ("stop", 60, 60 + DAY)],
            id="runs and is to run on",
        ),
        pytest.param(
            [segment(0, 60, mode=Mode.IDLE)],
            RUNS,
            [("value", 0, 60), ("stop", 60, 60 + DAY)],
            id="to idle is a value",
        ),
        pytest.param(
            [segment(20, 40, precondition_from=at(0), ramp_seconds=60, recover_until=at(50))],
            NOTHING,
            [("value", 20, 40), ("stop", 40, 40 + DAY)],
            id="it neither prepares nor recovers",
        ),
        pytest.param(
            [segment(-40, -10, recover_until=at(10))], NOTHING, [("normal", 0, DAY)], id="recovers: normal"
        ),
    ],
)
def test_what_a_device_without_a_schedule_is_told(desired, held, expected):
    assert told(desired, held) == expected


def test_errands_of_a_schedule_have_names_of_their_own_and_one_is_worth_telling_at_a_time():
    desired = [segment(30, 40), segment(40, 50), segment(60, 90)]
    errands = errands_for(desired=desired, held=RUNS, now=NOW)
    assert [each.name for each in errands][:3] == [
        "CLEAR",
        "SETPOINT:2026-07-14T20:30:00Z",
        "SETPOINT:2026-07-14T20:40:00Z",
    ]
    assert len({each.name for each in errands}) == len(errands)
    ordered = sorted(errands, key=lambda each: each.due_at)
    assert all(one.expires_at <= other.due_at for one, other in pairwise(ordered))


@pytest.mark.parametrize(
    ("lease", "minutes_left", "run_left", "lapses", "renewed"),
    [
        pytest.param(180, 60, 60, 3, 1, id="a third of the lease before it lapses twice over"),
        pytest.param(180, 2, 2, 2, 1, id="never beyond the end of the run"),
        pytest.param(180, 1, 2, 2, None, id="beyond its end where another touches it; that is told then"),
        pytest.param(180, 1, 60, 3, None, id="never longer than the lease"),
        pytest.param(None, 30, 60, 30, None, id="lasts as long as it says"),
    ],
)
def test_a_value_lapses_and_is_renewed(lease, minutes_left, run_left, lapses, renewed):
    told_now = {"lease_seconds": lease, "ends_at": at(minutes_left), "now": NOW}
    assert lapses_at(**told_now, run_ends_at=at(run_left)) == at(lapses)
    assert renewed_at(**told_now) == (at(renewed) if renewed else None)


def test_a_value_lasts_through_what_touches_it_but_not_through_rest():
    run = [segment(0, 10), segment(10, 20), segment(20, 30, mode=Mode.IDLE), segment(30, 40)]
    assert lasts_until(run, ends_at=at(10)) == at(20)
    assert lasts_until(run, ends_at=at(20)) == at(20)


def test_a_value_has_lapsed_after_its_lease_and_not_before():
    assert not has_lapsed(told_at=NOW, lease_seconds=180, now=at(2.9))
    assert has_lapsed(told_at=NOW, lease_seconds=180, now=at(3))
    assert not has_lapsed(told_at=NOW, lease_seconds=None, now=at(300))


@pytest.mark.parametrize(("tries", "rests"), [(0, None), (4, None), (5, 30), (500, 30)])
def test_a_device_rests_between_tries_after_five_in_a_row_without_an_answer(tries, rests):
    until = breaker.rests_until(silent_tries=tries, now=NOW)
    assert until == (NOW + timedelta(seconds=rests) if rests else None)


def test_normal_is_tried_for_a_day_at_least_each_five_minutes():
    now, tries = NOW, 0
    while (
        again := next_attempt_at(
            key="x", attempts_made=tries + 1, now=now, expires_at=at(DAY), is_patient=True
        )
    ) < at(DAY):
        assert again - now <= timedelta(minutes=5)
        now, tries = again, tries + 1
    assert 250 < tries < 400
