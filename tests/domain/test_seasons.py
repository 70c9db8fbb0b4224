"""What meters lack for a delivery period, and how ready it is as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dispatch.domain.seasons import LACKS, Kind, Lack, State, is_ready, judge, lacks_of, needs_somebody

COMING, RUNNING = False, True
CASES = {
    "active": (Kind("ACTIVE"), COMING, (), True),
    "eligible is enough before it begins": (Kind("ELIGIBLE"), COMING, (), True),
    "and too little once it runs": (Kind("ELIGIBLE"), RUNNING, (Lack.PENDING,), False),
    "pending": (Kind("PENDING", has_action=True), COMING, (Lack.PENDING, Lack.OPEN_ACTION), False),
    "ineligible": (Kind("INELIGIBLE"), COMING, (Lack.INELIGIBLE,), False),
    "a word unknown to us": (Kind("WAITLISTED"), COMING, (Lack.INELIGIBLE,), False),
    "Leap says it takes no part": (
        Kind("NOT_PARTICIPATING", sits_out=True),
        COMING,
        (Lack.NOT_PARTICIPATING,),
        False,
    ),
    "idle when it begins": (Kind("ACTIVE", sits_out=True), COMING, (Lack.NOT_PARTICIPATING,), False),
    "no device is not silent": (
        Kind("ACTIVE", has_device=False, is_silent=True),
        COMING,
        (Lack.NO_DEVICE,),
        False,
    ),
    "silent": (Kind("ACTIVE", is_silent=True), COMING, (Lack.SILENT,), False),
    "no group before it begins": (Kind("ACTIVE", has_group=False), COMING, (), True),
    "no group once it runs": (Kind("ACTIVE", has_group=False), RUNNING, (Lack.NO_GROUP,), False),
    "merely noted": (
        Kind("ACTIVE", has_nomination=False, has_action=True),
        RUNNING,
        (Lack.NO_NOMINATION, Lack.OPEN_ACTION),
        True,
    ),
}


@pytest.mark.parametrize(("kind", "is_running", "lacks", "ready"), CASES.values(), ids=CASES.keys())
def test_a_meter_lacks_what_keeps_it_from_delivering(kind, is_running, lacks, ready):
    assert lacks_of(kind, is_running=is_running) == lacks
    assert is_ready(lacks) is ready


def test_every_lack_is_told():
    assert list(LACKS) == list(Lack)


def test_a_period_sums_up_its_meters_and_counts_one_that_lacks_two_things_twice():
    verdict = judge(
        [
            Kind("ACTIVE", 1000, Decimal(4000)),
            Kind("ELIGIBLE", 88, Decimal(100)),
            Kind("PENDING", 40, Decimal(200), has_device=False),
            Kind("ACTIVE", 12, Decimal(100), has_device=False),
        ],
        is_running=False,
    )
    assert (verdict.ready, verdict.meters) == (1088, 1140)
    assert (verdict.ready_kw, verdict.kw) == (4100, 4400)
    assert [(each.lack, each.meters, each.kw) for each in verdict.missing] == [
        (Lack.PENDING, 40, 200),
        (Lack.NO_DEVICE, 52, 300),
    ]
    assert verdict.statuses == (("ACTIVE", 1012), ("ELIGIBLE", 88), ("PENDING", 40))
    assert verdict.state is State.PARTLY


NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "days", "needs"),
    [("PENDING", 14, True), ("PENDING", 15, False), ("PENDING", 0, False), ("ACTIVE", 3, False)],
    ids=["in two weeks", "later", "it runs", "ready"],
)
def test_a_period_that_is_not_ready_needs_somebody_two_weeks_ahead(status, days, needs):
    verdict = judge([Kind(status)], is_running=False)
    assert needs_somebody(verdict, starts_at=NOW + timedelta(days=days), now=NOW) is needs
