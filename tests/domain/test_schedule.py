import json
from datetime import timedelta

import pytest

from devices.domain.commands import Held, instruction_for
from devices.domain.retry import next_attempt_at
from devices.domain.schedule import (
    InvalidSchedule,
    Mode,
    as_message,
    check_schedule,
    content_digest,
    remaining,
)
from tests.builders import NOW, at, segment


def test_the_message_is_what_the_contract_promises_to_devices():
    message = as_message(
        device="bat-1",
        version=3,
        issued_at=NOW,
        expires_at=at(60),
        segments=[segment(0, 30, "12.5", mode=Mode.DISCHARGE), segment(30, 60, None, cap="")],
    )
    assert json.loads(json.dumps(message)) == {
        "device": "bat-1",
        "version": 3,
        "issued_at": "2026-07-14T20:00:00Z",
        "expires_at": "2026-07-14T21:00:00Z",
        "segments": [
            {
                "start": "2026-07-14T20:00:00Z",
                "end": "2026-07-14T20:30:00Z",
                "mode": "discharge",
                "target_kw": 12.5,
                "cap": "up-to-nomination",
            },
            {
                "start": "2026-07-14T20:30:00Z",
                "end": "2026-07-14T21:00:00Z",
                "mode": "curtail",
                "target_kw": None,
                "cap": "",
            },
        ],
    }


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        pytest.param([segment(0, 30), segment(20, 40)], "begins before", id="overlapping"),
        pytest.param([segment(30, 60), segment(0, 30)], "begins before", id="out of order"),
        pytest.param([segment(30, 30)], "not after its start", id="zero length"),
        pytest.param([segment(0, 30, "-1")], "asks for -1 kW", id="negative power"),
        pytest.param([segment(0, 30, "NaN")], "asks for NaN kW", id="not a number"),
        pytest.param([segment(0, 30, precondition_from=at(0))], "prepares from", id="prepares too late"),
        pytest.param([segment(0, 30, recover_until=at(30))], "recovers until", id="recovers no time"),
        pytest.param([segment(0, 30, ramp_seconds=0)], "ramp of 0 s", id="ramp of nothing"),
        pytest.param([segment(0, 30, ramp_seconds=1801)], "longer than the run", id="ramp beyond the run"),
        pytest.param(
            [segment(0, 30), segment(60, 90, precondition_from=at(29))],
            "begins before",
            id="prepares in a run",
        ),
        pytest.param(
            [segment(0, 30, recover_until=at(50)), segment(60, 90, precondition_from=at(49))],
            "begins before",
            id="prepares while it recovers",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_the_reason(segments, says):
    with pytest.raises(InvalidSchedule, match=says):
        check_schedule(segments)


def test_touching_segments_are_a_schedule():
    check_schedule([segment(0, 30), segment(30, 60)])


def test_what_remains_leaves_out_the_past_and_cuts_what_runs():
    day = [segment(0, 10), segment(10, 30), segment(30, 60)]
    assert remaining(day, now=at(20)) == (segment(20, 30), segment(30, 60))
    assert remaining(day, now=at(60)) == ()


SHAPED = segment(20, 40, precondition_from=at(0), ramp_seconds=300, recover_until=at(60))
LEFT = {
    "to come": (-10, SHAPED),
    "prepares": (10, segment(20, 40, precondition_from=at(10), ramp_seconds=300, recover_until=at(60))),
    "begins": (20, segment(20, 40, ramp_seconds=300, recover_until=at(60))),
    "in its ramp": (22, segment(22, 40, ramp_seconds=180, recover_until=at(60))),
    "at its power": (30, segment(30, 40, recover_until=at(60))),
}


@pytest.mark.parametrize(("minute", "left"), LEFT.values(), ids=LEFT.keys())
def test_what_remains_of_a_segment_with_what_is_around_it(minute, left):
    assert remaining([SHAPED], now=at(minute)) == (left,)


def test_recovery_remains_whatever_it_is_from_and_until_it_is_over():
    other = segment(10, 40, "7", reason="Another.", recover_until=at(60))
    (rest,) = remaining([SHAPED], now=at(45))
    assert (rest,) == remaining([other], now=at(45))
    assert (rest.start, rest.end) == (at(45), at(60))
    assert remaining([SHAPED], now=at(60)) == ()
    held = Held(remaining=(rest,), unanswered_until=None)
    assert instruction_for(desired=(), held=held, now=at(45)).expires_at == at(60)


def test_the_message_has_what_is_around_a_segment_only_where_it_is():
    message = as_message(device="d", version=1, issued_at=NOW, expires_at=at(60), segments=[SHAPED])
    assert message["segments"][0] == {
        "start": "2026-07-14T20:20:00Z",
        "end": "2026-07-14T20:40:00Z",
        "mode": "curtail",
        "target_kw": 5.0,
        "cap": "up-to-nomination",
        "precondition_from": "2026-07-14T20:00:00Z",
        "ramp_seconds": 300,
        "recover_until": "2026-07-14T21:00:00Z",
    }


def test_the_digest_of_a_segment_alone_is_what_it_always_was():
    assert content_digest([segment(0, 30, "5")])[:16] == "0619edc4f4bbc39f"
    parts = {"precondition_from": at(-5), "ramp_seconds": 60, "recover_until": at(35)}
    digests = {content_digest([segment(0, 30, **{name: parts[name]})]) for name in parts}
    assert len(digests | {content_digest([segment(0, 30)])}) == 4


def test_the_digest_knows_content_and_not_how_a_number_is_written():
    assert content_digest([segment(0, 30, "5")]) == content_digest([segment(0, 30, "5.000")])
    assert content_digest([segment(0, 30)]) != content_digest([segment(0, 30, reason="Another.")])


@pytest.mark.parametrize(
    ("desired", "held", "is_clear", "expires"),
    [
        pytest.param([(0, 60)], Held((), None), False, 60, id="first schedule: until its end"),
        pytest.param([], Held([segment(0, 60)], None), True, 1440, id="clear what runs: for a day"),
        pytest.param([], Held([segment(5, 60)], None), True, 60, id="clear what comes: until its end"),
        pytest.param([(0, 30)], Held([segment(0, 60)], None), False, 60, id="shortened: until the old end"),
        pytest.param(
            [(0, 30)], Held([segment(0, 40)], at(90)), False, 90, id="never accepted: older may run"
        ),
    ],
)
def test_a_command_is_worth_sending_while_the_device_may_follow_anything(desired, held, is_clear, expires):
    instruction = instruction_for(desired=[segment(*window) for window in desired], held=held, now=NOW)
    assert (instruction.is_clear, instruction.expires_at) == (is_clear, at(expires))


IDLE = segment(0, 60, mode=Mode.IDLE)


@pytest.mark.parametrize(
    ("desired", "held", "is_restoring"),
    [
        pytest.param([], Held([segment(0, 60)], None), True, id="runs and is cleared"),
        pytest.param([segment(5, 60)], Held([segment(0, 60)], None), True, id="runs and is to run later"),
        pytest.param([IDLE], Held([segment(0, 60)], None), True, id="runs and is to idle"),
        pytest.param([segment(0, 9)], Held([segment(0, 60)], None), False, id="goes on for a while"),
        pytest.param([segment(0, 60, "1")], Held([segment(0, 60)], None), False, id="gives less"),
        pytest.param([], Held([segment(5, 60)], None), False, id="was to run later"),
        pytest.param([], Held([IDLE], None), False, id="idles"),
        pytest.param([segment(5, 9)], Held([], at(60)), True, id="may follow what nobody confirmed"),
        pytest.param([segment(5, 9)], Held([], at(0)), False, id="what nobody confirmed is past its end"),
        pytest.param([segment(0, 9)], Held([], at(60)), False, id="runs on after all"),
        pytest.param([segment(0, 9)], Held([], None), False, id="starts"),
    ],
)
def test_a_command_is_restoring_if_the_device_may_run_and_is_to_stop(desired, held, is_restoring):
    assert instruction_for(desired=desired, held=held, now=NOW).is_restoring is is_restoring


def test_a_silent_device_is_tried_quickly_then_after_a_minute_then_every_half_minute():
    delays = []
    for made in range(1, 8):
        again = next_attempt_at(key="1:1:SCHEDULE", attempts_made=made, now=NOW, expires_at=at(60))
        delays.append((again - NOW).total_seconds())
    for delay, base in zip(delays, [2, 4, 8, 60, 30, 30, 30], strict=True):
        assert base <= delay <= base * 1.2


@pytest.mark.parametrize(("pause", "least"), [(0, 2), (1, 2), (120, 120), (86_400, 300)])
def test_a_device_may_ask_for_a_pause_of_five_minutes_at_most(pause, least):
    again = next_attempt_at(
        key="1:1:SCHEDULE", attempts_made=1, now=NOW, expires_at=at(60), pause_seconds=pause
    )
    assert least <= (again - NOW).total_seconds() <= least * 1.2


def test_jitter_is_the_same_each_time_and_differs_between_commands():
    times = {
        next_attempt_at(key=f"{n}:1:SCHEDULE", attempts_made=4, now=NOW, expires_at=at(60)) for n in range(9)
    }
    assert len(times) == 9
    assert times == {
        next_attempt_at(key=f"{n}:1:SCHEDULE", attempts_made=4, now=NOW, expires_at=at(60)) for n in range(9)
    }


def test_no_try_is_planned_past_the_end():
    end = NOW + timedelta(seconds=1)
    assert next_attempt_at(key="1:1:SCHEDULE", attempts_made=9, now=NOW, expires_at=end) == end
