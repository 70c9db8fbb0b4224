"""What every driver must keep, whatever it speaks: run it against yours with a peer of yours.

Make a subclass in a test module whose name begins with `Test`, with a fixture `peer`:

    class TestMine(DriverConformance):
        @pytest.fixture
        def peer(self):
            with a_real_device() as mine:
                yield MyPeer(mine)

The peer should be the real thing, or as near to it as can be run here; `tests/devices/test_http.py` is an
example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest

from devices.domain.schedule import ScheduleMessage, as_message
from devices.drivers.base import Answer, Delivery, Driver, DriverError
from devices.models import Device
from tests.builders import NOW, at, segment

FIFTY_YEARS = 50 * 365 * 24 * 60
"""In minutes: a broker drops what has expired by its own clock."""


class Peer(ABC):
    """A device and the driver that reaches it, seen from the device's side.

    `wrong_settings`: settings with which the driver cannot work; empty if it reads none.
    """

    driver: Driver
    wrong_settings: Sequence[dict[str, Any]] = ()

    @abstractmethod
    def device(self, name: str = "one") -> Device:
        """Return the row of a device that is there; the same name is the same device."""

    @abstractmethod
    def held(self, name: str = "one") -> tuple[int, list[Any]] | None:
        """Return the version and the segments that the device follows, None before the first."""

    @abstractmethod
    def changes(self) -> int:
        """Count how often a device took up something it did not have."""

    @abstractmethod
    def fall_silent(self, name: str = "one") -> None:
        """Have the device answer nothing from now on."""

    @abstractmethod
    def refuse(self, name: str = "one") -> None:
        """Have the device refuse everything from now on."""


class DriverConformance:
    """The suite."""

    def test_a_newer_version_is_taken_and_the_whole_schedule_held(self, peer: Peer):
        assert send(peer, 1, segments=2) == Answer(is_accepted=True)
        assert send(peer, 7) == Answer(is_accepted=True)
        assert peer.held() == (7, message(peer.device(), 7)["segments"])
        assert peer.changes() == 2

    def test_an_older_version_changes_nothing(self, peer: Peer):
        send(peer, 2)
        older = send(peer, 1, segments=2)
        assert not older.is_accepted
        assert older.detail
        assert peer.held() == (2, message(peer.device(), 2)["segments"])

    def test_the_same_version_twice_is_accepted_twice_and_changes_nothing(self, peer: Peer):
        assert [send(peer, 1).is_accepted, send(peer, 1).is_accepted] == [True, True]
        assert peer.changes() == 1

    def test_no_segments_mean_back_to_normal(self, peer: Peer):
        send(peer, 1)
        assert send(peer, 2, segments=0).is_accepted
        assert peer.held() == (2, [])

    def test_silence_is_an_error_that_may_pass(self, peer: Peer):
        peer.driver.timeout_seconds = 0.3
        peer.fall_silent()
        with pytest.raises(DriverError) as silence:
            send(peer, 1)
        assert not silence.value.permanent
        assert str(silence.value).endswith(".")

    def test_a_refusal_is_an_answer_with_the_devices_words(self, peer: Peer):
        peer.refuse()
        answer = send(peer, 1)
        assert not answer.is_accepted
        assert answer.detail

    def test_wrong_settings_are_found_when_written_and_permanent_when_not(self, peer: Peer):
        device = peer.device()
        assert peer.driver.check_settings(device.settings) == []
        for settings in peer.wrong_settings:
            sentences = peer.driver.check_settings(settings)
            assert sentences
            assert all(sentence.endswith(".") for sentence in sentences), sentences
            device.settings = settings
            with pytest.raises(DriverError) as refused:
                peer.driver.deliver(message(device, 1), device)
            assert refused.value.permanent, settings

    def test_each_device_of_a_batch_has_its_own_result(self, peer: Peer):
        names = ["one", "silent", "two", "refusing"]
        rows = [peer.device(name) for name in names]
        peer.driver.timeout_seconds = 1.5  # in which even a busy machine has the others answered
        peer.fall_silent("silent")
        peer.refuse("refusing")
        groups = peer.driver.deliver_all([Delivery(message(row, 1), row) for row in rows])
        results = [one for group in groups for one in group]
        assert sorted(position for position, _ in results) == [0, 1, 2, 3]
        by_name = {names[position]: result for position, result in results}
        assert by_name["one"] == by_name["two"] == Answer(is_accepted=True)
        assert isinstance(by_name["silent"], DriverError)
        assert isinstance(by_name["refusing"], Answer)
        assert peer.held("one") == peer.held("two") == (1, message(rows[0], 1)["segments"])


def message(device: Device, version: int, *, segments: int = 1) -> ScheduleMessage:
    """Return a message of so many segments."""
    return as_message(
        device=device.external_id,
        version=version,
        issued_at=NOW,
        expires_at=at(FIFTY_YEARS),
        segments=[segment(60 * number, 60 * number + 30) for number in range(segments)],
    )


def send(peer: Peer, version: int, *, segments: int = 1) -> Answer:
    """Send a version to the peer's first device."""
    device = peer.device()
    return peer.driver.deliver(message(device, version, segments=segments), device)
