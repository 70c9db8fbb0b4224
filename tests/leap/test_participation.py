"""Whether meters take part, over a real socket: what Leap does without a word, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from leapvpp.leap.errors import LeapRefused
from leapvpp.leap.participation import Disenrollment, IdlePeriod, LeapParticipation
from leapvpp.leap.simulator.meters import MeterQuery
from leapvpp.leap.simulator.server import LeapSimulator

KEY = "key-of-the-simulator"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"
TODAY = datetime.now(UTC).date()
REST = IdlePeriod(start_date=TODAY + timedelta(days=5), end_date=TODAY + timedelta(days=9))
LATER = IdlePeriod(start_date=TODAY + timedelta(days=30), end_date=TODAY + timedelta(days=30))
BACKWARDS = IdlePeriod(start_date=REST.end_date, end_date=REST.start_date)


@pytest.fixture
def leap() -> Iterator[LeapSimulator]:
    with LeapSimulator(api_key=KEY) as simulator:
        yield simulator


@pytest.fixture
def client(leap) -> Iterator[LeapParticipation]:
    with LeapParticipation(base_url=leap.url, api_key=KEY) as connected:
        yield connected


def held(leap: LeapSimulator, meter_id: str) -> list[tuple[str, str]]:
    """What Leap says the meter does, and from when."""
    (found,) = [
        meter
        for meter in leap.meters.search(MeterQuery(), is_enrollment=True)
        if meter["meter_id"] == meter_id
    ]
    return [
        (each["participation_preference"], each["start_time"]) for each in found["participation_preferences"]
    ]


def test_periods_of_many_are_all_taken_or_none_and_who_is_unknown_is_left_out(leap, client):
    one, two = leap.meters.fill(2, now=datetime.now(UTC))

    client.add_idle_periods({one: [REST], UNKNOWN: [REST]})
    assert client.list_idle_periods() == {one: (REST,)}

    with pytest.raises(LeapRefused, match="ends before it begins") as refused:
        client.add_idle_periods({one: [LATER], two: [BACKWARDS]})
    assert (refused.value.status, refused.value.is_permanent) == (400, True)
    assert client.list_idle_periods() == {one: (REST,)}
    with pytest.raises(LeapRefused) as refused:
        client.add_idle_periods({UNKNOWN: [REST]})
    assert refused.value.status == 404


def test_a_period_goes_by_its_exact_days_alone_and_one_that_differs_keeps_all(leap, client):
    one, two = leap.meters.fill(2, now=datetime.now(UTC))
    client.add_idle_periods({one: [REST], two: [REST]})
    off_by_a_day = IdlePeriod(start_date=REST.start_date, end_date=REST.end_date + timedelta(days=1))

    with pytest.raises(LeapRefused) as refused:
        client.delete_idle_periods({one: [REST], two: [off_by_a_day]})
    assert refused.value.status == 404
    assert client.list_idle_periods() == {one: (REST,), two: (REST,)}

    client.delete_idle_periods({one: [REST], two: [REST]})
    assert client.list_idle_periods() == {}
    assert [kind for kind, _ in held(leap, one)] == ["PARTICIPATE"]


def test_leaving_begins_after_today_and_taking_part_again_overrides_all(leap, client):
    one, two = leap.meters.fill(2, now=datetime.now(UTC))
    # Behind UTC, tomorrow there is never today here: the fixture's meters are on Pacific time.
    with pytest.raises(LeapRefused, match="future"):
        client.disenroll(
            [
                Disenrollment(meter_id=one, disenrollment_date=LATER.start_date, reason="Moved."),
                Disenrollment(meter_id=two, disenrollment_date=TODAY - timedelta(days=1), reason="Moved."),
            ]
        )
    assert [kind for kind, _ in held(leap, one)] == ["PARTICIPATE"]

    client.disenroll([Disenrollment(meter_id=one, disenrollment_date=LATER.start_date, reason="Moved.")])
    client.add_idle_periods({one: [REST]})
    assert [kind for kind, _ in held(leap, one)] == ["PARTICIPATE", "IDLE", "DISENROLL"]

    client.participate(one, start_date=REST.start_date + timedelta(days=2))
    assert [kind for kind, _ in held(leap, one)] == ["PARTICIPATE", "IDLE", "PARTICIPATE"]
    assert client.list_idle_periods(one)[one][0].end_date == REST.start_date + timedelta(days=1)


def test_a_list_is_read_however_odd_some_of_it_is(scripted):
    odd = {"start_date": "2026-13-01", "end_date": "2026-12-02"}
    good = {"start_date": "2026-12-01T00:00:00Z", "end_date": "2026-12-02", "note": "new"}
    scripted.answers = [
        (200, {"meter_idle_periods": [{"meter_id": "A1", "idle_periods": [odd, good]}, {"id": 7}, 3]}),
    ]
    with LeapParticipation(base_url=scripted.url, api_key=KEY) as client:
        found = client.list_idle_periods()
    assert found == {"a1": (IdlePeriod(start_date=date(2026, 12, 1), end_date=date(2026, 12, 2)),)}
