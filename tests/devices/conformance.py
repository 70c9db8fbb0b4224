"""What every driver promises. Subclass `DriverConformance` with a fixture `bench` that has a real peer.

A test file does: `class TestAcme(DriverConformance)` with `@pytest.fixture def bench(self) -> Bench`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devices.domain.schedule import ScheduleMessage, as_message
from devices.drivers.base import Answer, Driver, DriverError
from devices.models import Device
from tests.builders import segment


@dataclass(frozen=True)
class Bench:
    """A driver, a device, and what the device's own side says.

    `held`: the message it follows. `effects`: how often what it follows changed. `refuse`: have it refuse
    everything from now on. `unreachable`: a device of the driver that cannot answer.
    `wrong`: a device that no try can reach as it is set up. `bad_settings`: settings with a fault.
    """

    driver: Driver
    device: Device
    held: Callable[[], Mapping[str, Any]]
    effects: Callable[[], int]
    refuse: Callable[[], None]
    unreachable: Device
    wrong: Device


def message(device: Device, version: int, *segments: Any) -> ScheduleMessage:
    """A schedule of this version; it ends in an hour."""
    now = datetime.now(UTC)
    return as_message(
        device=device.external_id,
        version=version,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        segments=segments,
    )


class DriverConformance:
    """One test a promise."""

    def send(self, bench: Bench, version: int, *segments: Any) -> Answer:
        return bench.driver.deliver(message(bench.device, version, *segments), bench.device)

    def test_a_newer_version_takes_the_place_of_an_older(self, bench):
        assert self.send(bench, 1, segment(0, 60, "5")).is_accepted
        assert self.send(bench, 2, segment(0, 60, "3")).is_accepted
        assert bench.held()["segments"][0]["target_kw"] == 3

    def test_an_older_version_never_wins(self, bench):
        self.send(bench, 2, segment(0, 60, "3"))
        older = self.send(bench, 1, segment(0, 60, "5"))
        assert not older.is_accepted
        assert older.detail
        assert bench.held()["version"] == 2

    def test_the_same_version_twice_has_one_effect(self, bench):
        assert self.send(bench, 1, segment(0, 60)).is_accepted
        assert self.send(bench, 1, segment(0, 60)).is_accepted
        assert bench.effects() == 1

    def test_no_segments_mean_back_to_normal(self, bench):
        self.send(bench, 1, segment(0, 60))
        assert self.send(bench, 2).is_accepted
        assert bench.held()["segments"] == []

    def test_a_refusal_is_an_answer_with_the_devices_words(self, bench):
        bench.refuse()
        answer = self.send(bench, 1, segment(0, 60))
        assert not answer.is_accepted
        assert answer.detail

    @pytest.mark.parametrize("which", ["unreachable", "wrong"])
    def test_what_cannot_be_reached_is_an_error_that_says_whether_to_try_again(self, bench, which):
        device = getattr(bench, which)
        with pytest.raises(DriverError) as caught:
            bench.driver.deliver(message(device, 1, segment(0, 60)), device)
        assert caught.value.permanent is (which == "wrong")
        assert str(caught.value).endswith(".")
