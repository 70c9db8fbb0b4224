"""Which meters a dispatch may move."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meters.models import Meter
from meters.readiness import reason_not_dispatchable
from tests.builders import NOW

CASES = {
    "taking part": ({}, ""),
    "merely eligible": ({"enrollment_status": "ELIGIBLE"}, ""),
    "a word unknown to us": ({"participation": "SLEEPY"}, ""),
    "idle": ({"participation": "IDLE"}, "The meter is idle at Leap."),
    "in lower case": ({"participation": "idle"}, "The meter is idle at Leap."),
    "disenrolled": ({"participation": "DISENROLL"}, "The meter is disenrolled at Leap."),
    "archived": ({"archived_at": NOW}, "The meter is archived."),
    "archived tomorrow": ({"archived_at": NOW + timedelta(days=1)}, ""),
}


@pytest.mark.parametrize(("fields", "reason"), CASES.values(), ids=CASES.keys())
def test_a_meter_moves_devices_unless_it_sits_out(fields, reason):
    assert reason_not_dispatchable(meter=Meter(**fields), now=NOW) == reason
