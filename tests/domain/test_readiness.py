"""Whether a coming event is ready, device by device and in sum."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dispatch.domain.readiness import DeviceNow, Part, Standing, readiness_of, standing_of
from tests.builders import at

SOUND = {"has_taken": False, "is_failing": False, "is_online": True, "holds_schedule": True}
SET_POINTS = SOUND | {"holds_schedule": False}
CASES = {
    "it took the schedule": (SOUND | {"has_taken": True}, "CONFIRMED"),
    "it took the schedule and is silent now": (SOUND | {"has_taken": True, "is_online": False}, "CONFIRMED"),
    "it has not answered yet": (SOUND, "UNACKNOWLEDGED"),
    "it is offline and took nothing": (SOUND | {"is_online": False}, "OFFLINE"),
    "it refuses": (SOUND | {"is_failing": True}, "FAILING"),
    "it took one before and refuses now": (SOUND | {"has_taken": True, "is_failing": True}, "FAILING"),
    "it fails and is offline": (SOUND | {"is_failing": True, "is_online": False}, "FAILING"),
    "a set-point waits for its time": (SET_POINTS, "REACHABLE"),
    "a set-point waits, and nobody answers": (SET_POINTS | {"is_online": False}, "OFFLINE"),
    "a set-point is held": (SET_POINTS | {"has_taken": True}, "CONFIRMED"),
    "a set-point was refused": (SET_POINTS | {"is_failing": True}, "FAILING"),
}


@pytest.mark.parametrize(("known", "expected"), CASES.values(), ids=CASES.keys())
def test_where_a_device_stands_before_a_run(known, expected):
    assert standing_of(DeviceNow(**known)) == expected


def part(start, end, standing, devices, kw, *, is_heard=True) -> Part:
    return Part(at(start), at(end), Standing(standing), is_heard, devices, Decimal(kw))


def test_the_fullest_stretch_counts_and_its_power_up_to_what_is_asked():
    parts = [
        part(0, 30, "CONFIRMED", 2, 8, is_heard=False),
        part(0, 60, "REACHABLE", 3, 12),
        part(30, 60, "CONFIRMED", 1, 4),
        part(30, 60, "FAILING", 1, 4),
    ]
    found = readiness_of(parts, asked_kw=Decimal(14), meters_without_device=1)
    assert (found.ready, found.devices, found.unheard) == (4, 5, 0)
    assert (found.ready_kw, found.planned_kw) == (14, 20)
    assert not found.is_ready
    assert readiness_of(parts, asked_kw=None).ready_kw == 16


def test_nothing_planned_is_not_ready():
    found = readiness_of([], asked_kw=None)
    assert (found.devices, found.ready_kw, found.is_ready) == (0, 0, False)
