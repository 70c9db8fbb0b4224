"""What every driver must keep, whatever it speaks: run it against yours with a peer of yours.

Make a subclass in a test module whose name begins with `Test`, with a fixture `peer`:

    class TestMine(DriverConformance):
        @pytest.fixture
        def peer(self):
            with a_real_device() as mine:
                yield MyPeer(mine)

The peer should be the real thing, or as near to it as can be run here; `tests/devices/test_http.py` is an
example. A driver whose devices take set-points keeps `SetPointConformance` instead, with a `SetPointPeer`;
`tests/devices/test_modbus.py` is an example of that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from devices.domain.schedule import Mode, ScheduleMessage, as_message
from devices.drivers.base import Answer, Delivery, Driver, DriverError, SetPoint
from devices.models import Device
from tests.builders import NOW, at, segment

FIFTY_YEARS = 50 * 365 * 24 * 60
"""In minutes: a broker drops what has expired by its own clock."""


class Reached(ABC):
    """A device and the driver that reaches it, seen from the device's side.

    `wrong_settings`: settings with which the driver cannot work; empty if it reads none.
    """

    driver: Driver
    wrong_settings: Sequence[dict[str, Any]] = ()

    @abstractmethod
    def device(self, name: str = "one") -> Device:
        """Return the row of a device that is there; the same name is the same device."""

    @abstractmethod
    def fall_silent(self, name: str = "one") -> None:
        """Have the device answer nothing from now on."""

    @abstractmethod
    def refuse(self, name: str = "one") -> None:
        """Have the device refuse everything that it is told from now on."""


class SettingsConformance:
    """The part of both suites about a device's settings."""

    def tell(self, peer: Any, device: Device) -> Answer:
        """Have the driver carry something to the device."""
        raise NotImplementedError

    def test_wrong_settings_are_found_when_written_and_permanent_when_not(self, peer: Any):
        device = peer.device()
        assert peer.driver.check_settings(device.settings) == []
        for settings in peer.wrong_settings:
            sentences = peer.driver.check_settings(settings)
            assert sentences
            assert all(sentence.endswith(".") for sentence in sentences), sentences
            device.settings = settings
            with pytest.raises(DriverError) as refused:
                self.tell(peer, device)
            assert refused.value.permanent, settings


class Peer(Reached):
    """A device that holds schedules."""

    @abstractmethod
    def held(self, name: str = "one") -> tuple[int, list[Any]] | None:
        """Return the version and the segments that the device follows, None before the first."""

    @abstractmethod
    def changes(self) -> int:
        """Count how often a device took up something it did not have."""


class DriverConformance(SettingsConformance):
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

    def tell(self, peer: Peer, device: Device) -> Answer:
        return peer.driver.deliver(message(device, 1), device)

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


LEASE = 180
"""Seconds for which the suite writes a set-point."""


class SetPointPeer(Reached):
    """A device that takes set-points.

    `mode`: one that the devices can do. `knows_others`: whether the driver can tell that somebody else
    changed what it wrote.
    """

    mode: Mode = Mode.CURTAIL
    knows_others: bool = True

    @abstractmethod
    def held(self, name: str = "one") -> Decimal | None:
        """Return the target in kW that the device follows now, None if it is as usual."""

    @abstractmethod
    def writes(self, name: str = "one") -> int:
        """Count what was ever written to the device."""

    @abstractmethod
    def let_pass(self, seconds: float) -> None:
        """Let so much time pass for the devices: by their own clocks, or by waiting."""

    @abstractmethod
    def change_by_hand(self, name: str = "one") -> None:
        """Have somebody else put another value into the place of what was written."""


class SetPointConformance(SettingsConformance):
    """The suite for devices that hold no schedule."""

    def test_a_set_point_is_taken_and_another_takes_its_place(self, peer: SetPointPeer):
        for target in (Decimal(3), Decimal("1.5")):
            answer = put(peer, target)
            assert answer.is_accepted
            assert peer.held() == target
            assert bool(answer.proof) is peer.driver.capabilities.reads_back
            assert answer.found_changed == ""

    def test_it_lapses_by_itself(self, peer: SetPointPeer):
        put(peer, Decimal(3), seconds=30)
        assert peer.held() == 3
        peer.let_pass(31)
        assert peer.held() is None

    def test_a_renewal_keeps_it_for_a_lease_more_and_no_longer(self, peer: SetPointPeer):
        put(peer, Decimal(3))
        peer.let_pass(120)
        renewed = put(peer, Decimal(3), is_renewal=True)
        assert renewed.is_accepted
        assert renewed.found_changed == ""
        peer.let_pass(120)
        assert peer.held() == 3
        peer.let_pass(LEASE - 119)
        assert peer.held() is None

    def test_what_somebody_else_changed_is_noticed_and_written_again(self, peer: SetPointPeer):
        put(peer, Decimal(3))
        peer.change_by_hand()
        answer = put(peer, Decimal(3), is_renewal=True)
        assert answer.is_accepted
        assert bool(answer.found_changed) is peer.knows_others
        assert peer.held() == 3

    def test_back_to_normal_at_once_also_when_it_is_there_already(self, peer: SetPointPeer):
        put(peer, Decimal(3))
        for _ in range(2):
            answer = restore(peer)
            assert answer.is_accepted
            assert bool(answer.proof) is peer.driver.capabilities.reads_back
            assert peer.held() is None

    def test_nothing_is_written_from_not_after_on(self, peer: SetPointPeer):
        put(peer, Decimal(3))
        before = peer.writes()
        for late in (partial(put, peer, Decimal(1)), partial(restore, peer)):
            with pytest.raises(DriverError) as error:
                late(within=0)
            assert not error.value.permanent
        assert peer.writes() == before
        assert peer.held() == 3

    def test_what_is_over_is_not_written(self, peer: SetPointPeer):
        with pytest.raises(DriverError):
            put(peer, Decimal(3), seconds=-1)
        assert peer.held() is None

    def test_silence_is_an_error_that_may_pass(self, peer: SetPointPeer):
        peer.driver.timeout_seconds = 0.3
        peer.fall_silent()
        with pytest.raises(DriverError) as silence:
            put(peer, Decimal(3))
        assert not silence.value.permanent
        assert str(silence.value).endswith(".")

    def test_a_refusal_is_an_answer_that_says_why(self, peer: SetPointPeer):
        peer.refuse()
        answer = put(peer, Decimal(3))
        assert not answer.is_accepted
        assert answer.detail
        assert peer.held() is None

    def tell(self, peer: SetPointPeer, device: Device) -> Answer:
        return peer.driver.apply(set_point(peer.mode, Decimal(3)), device, not_after=soon(10))

    def test_each_device_of_a_batch_has_its_own_result(self, peer: SetPointPeer):
        names = ["one", "silent", "two", "refusing"]
        rows = [peer.device(name) for name in names]
        peer.driver.timeout_seconds = 3  # in which even a busy machine has the others answered
        peer.fall_silent("silent")
        peer.refuse("refusing")
        told = set_point(peer.mode, Decimal(3))
        deliveries = [Delivery(message(row, 1), row, told, not_after=soon(30)) for row in rows]
        results = [one for group in peer.driver.deliver_all(deliveries) for one in group]
        by_name = {names[position]: result for position, result in results}
        assert len(results) == len(by_name) == len(names)
        said = {name: isinstance(each, Answer) and each.is_accepted for name, each in by_name.items()}
        assert said == {"one": True, "silent": False, "two": True, "refusing": False}
        assert isinstance(by_name["silent"], DriverError)
        assert isinstance(by_name["refusing"], Answer)
        assert peer.held("one") == peer.held("two") == 3


def set_point(
    mode: Mode | None, target_kw: Decimal | None, *, seconds: float = LEASE, is_renewal: bool = False
) -> SetPoint:
    """Return one that lapses so many seconds from now."""
    return SetPoint(version=1, mode=mode, target_kw=target_kw, lapses_at=soon(seconds), is_renewal=is_renewal)


def soon(seconds: float) -> datetime:
    """Return so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def put(
    peer: SetPointPeer,
    target_kw: Decimal,
    *,
    seconds: float = LEASE,
    within: float = 30,
    is_renewal: bool = False,
) -> Answer:
    """Write a set-point to the peer's first device."""
    told = set_point(peer.mode, target_kw, seconds=seconds, is_renewal=is_renewal)
    return peer.driver.apply(told, peer.device(), not_after=soon(within))


def restore(peer: SetPointPeer, *, within: float = 30) -> Answer:
    """Have the peer's first device go back to normal."""
    return peer.driver.apply(set_point(None, None), peer.device(), not_after=soon(within))
