"""The Modbus driver against real servers of pymodbus on this machine, whose devices speak SunSpec."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from devices.commanding import run_due_commands
from devices.domain.schedule import Mode
from devices.drivers.base import DriverError, Measured
from devices.drivers.modbus import ModbusDriver
from devices.models import Device
from devices.scheduling import replace_schedules
from devices.telemetry_models import Reading
from tests.builders import NOW, at, device, segment
from tests.devices.conformance import SetPointConformance, SetPointPeer, set_point, soon
from tests.devices.sunspec_device import (
    NEW_STORAGE,
    OLD_INVERTER,
    OLD_STORAGE,
    SERIAL,
    sunspec_map,
    sunspec_server,
)


@pytest.fixture
def server(settings):
    """Serve devices, at a port that is opened."""
    with sunspec_server() as one:
        settings.DEVICE_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)
        settings.DEVICE_MODBUS_PORTS = (one.port,)
        yield one


@pytest.fixture
def driver():
    return ModbusDriver()


def row(server, unit, **settings):
    where = {"host": "127.0.0.1", "port": server.port, "unit_id": unit.unit, "timeout_seconds": 2, **settings}
    return Device(pk=unit.unit, external_id=f"pack-{unit.unit}", rated_power_kw=Decimal(10), settings=where)


@pytest.fixture
def apply(server, driver):
    """Write a set-point to a unit."""

    def write(unit, mode, target_kw=None, *, is_renewal=False, **settings):
        told = set_point(mode, target_kw and Decimal(target_kw), is_renewal=is_renewal)
        return driver.apply(told, row(server, unit, **settings), not_after=soon(30))

    return write


class SunSpecPeer(SetPointPeer):
    wrong_settings = (
        {},
        {"host": "192.168.7.7"},
        {"host": "127.0.0.1", "port": 22},
        {"host": "10.0.0.1", "port": "502"},
        {"host": "127.0.0.1", "unit_id": 256},
        {"host": "127.0.0.1", "base_address": -1},
        {"host": "127.0.0.1", "timeout_seconds": 60},
        {"host": "127.0.0.1", "adress": 1},
    )

    def __init__(self, server, driver, *, models, mode, hand):
        self.server, self.driver, self.models, self.mode, self.hand = server, driver, models, mode, hand
        self.units = {}

    def unit(self, name):
        if name not in self.units:
            self.units[name] = self.server.add(sunspec_map(self.models))
        return self.units[name]

    def device(self, name="one"):
        return row(self.server, self.unit(name))

    def held(self, name="one"):
        return self.unit(name).held_kw()

    def writes(self, name="one"):
        return len(self.unit(name).noted("write"))

    def let_pass(self, seconds):
        for unit in self.units.values():
            unit.let_pass(seconds)

    def change_by_hand(self, name="one"):
        self.unit(name).put(*self.hand)

    def fall_silent(self, name="one"):
        self.unit(name).fault = "silent"

    def refuse(self, name="one"):
        self.unit(name).fault = "refuse"


KINDS: dict[str, tuple[Any, Mode, tuple[int, int, int]]] = {
    "704 power": (NEW_STORAGE, Mode.DISCHARGE, (704, 25, 800)),
    "124 storage": (OLD_STORAGE, Mode.EXPORT, (124, 12, 1600)),
    "123 limit": (OLD_INVERTER, Mode.CURTAIL, (123, 5, 900)),
}


class TestModbusConforms(SetPointConformance):
    @pytest.fixture(params=KINDS)
    def peer(self, server, driver, request):
        models, mode, hand = KINDS[request.param]
        return SunSpecPeer(server, driver, models=models, mode=mode, hand=hand)


OUT, IN = 12, 13
TOLD = {
    "what a storage can at most, in 704": (NEW_STORAGE, Mode.EXPORT, None, "5,000 W", {(704, 25): 5000}),
    "what a storage can at most, in 124": (
        OLD_STORAGE,
        Mode.EXPORT,
        None,
        "5,000 W (100 %)",
        {(124, OUT): 10000, (124, IN): 0x10000 - 10000},
    ),
    "as much as the site takes": (
        OLD_STORAGE,
        Mode.DISCHARGE,
        None,
        "up to 100 % of its discharge and no charging",
        {(124, OUT): 10000, (124, IN): 0},
    ),
    "no more than it can": (OLD_STORAGE, Mode.DISCHARGE, "7", "5,000 W (100 %)", {(124, OUT): 10000}),
    "a limit in 704": (NEW_STORAGE, Mode.CURTAIL, "4.5", "at most 5,500 W (55 %)", {(704, 15): 550}),
    "all that can be curtailed": (OLD_INVERTER, Mode.CURTAIL, None, "at most 0 W (0 %)", {(123, 5): 0}),
    "a limit rounded downwards": (
        OLD_INVERTER,
        Mode.CURTAIL,
        "3.333",
        "at most 6,660 W (66.6 %)",
        {(123, 5): 666},
    ),
}


@pytest.mark.parametrize(("models", "mode", "target", "words", "registers"), TOLD.values(), ids=TOLD.keys())
def test_a_target_is_put_into_the_control_that_fits(server, apply, models, mode, target, words, registers):
    unit = server.add(sunspec_map(models))
    answer = apply(unit, mode, target)
    [(model, _), *_] = registers
    assert re.fullmatch(rf"Model {model} holds {re.escape(words)}, reverts in 1\d\d s\.", answer.proof)
    assert {point: unit.get(*point) for point in registers} == registers


MEASURED = {
    "new": (NEW_STORAGE, Measured(Decimal("1.5"), Decimal("62.5"))),
    "old": (OLD_STORAGE, Measured(Decimal("-1.5"), Decimal(62))),
    "floats": (OLD_INVERTER, Measured(Decimal(-3), None)),
    "nothing": ({704: NEW_STORAGE[704]}, None),
}


@pytest.mark.parametrize(("models", "measured"), MEASURED.values(), ids=MEASURED.keys())
def test_a_device_that_was_asked_also_says_what_it_does(server, apply, models, measured):
    assert apply(server.add(sunspec_map(models)), None).measured == measured


def without(model, offset):
    """Return the new storage's models with two registers that say: not implemented."""
    models = {number: dict(values) for number, values in NEW_STORAGE.items()}
    models[model] |= {offset: 0xFFFF, offset + 1: 0xFFFF}
    return models


CANNOT = {
    "no timer": (without(704, 31), Mode.DISCHARGE, "1", "has no revert timer (WSetRvrtTms)"),
    "no model to discharge": (OLD_INVERTER, Mode.EXPORT, "1", "has neither model 704 nor 124"),
    "no model to curtail": (OLD_STORAGE, Mode.CURTAIL, "1", "has neither model 704 nor 123"),
    "nothing that follows the load": (NEW_STORAGE, Mode.DISCHARGE, None, "Set “limits_export” to true"),
    "no percents of anything": ({124: {2: 0, 25: -2 & 0xFFFF}}, Mode.EXPORT, "1", "says no WChaMax"),
    "a scale that is none": (
        {704: {**NEW_STORAGE[704], 55: 11}},
        Mode.EXPORT,
        "1",
        "no usable scale factor WSet_SF",
    ),
    "a power beyond its registers": (NEW_STORAGE, Mode.EXPORT, "9999999", "is too much for WSet"),
}


@pytest.mark.parametrize(("models", "mode", "target", "words"), CANNOT.values(), ids=CANNOT.keys())
def test_what_a_device_cannot_do_is_said_and_nothing_is_written(server, apply, models, mode, target, words):
    unit = server.add(sunspec_map(models))
    with pytest.raises(DriverError, match=re.escape(words)) as error:
        apply(unit, mode, target)
    assert error.value.permanent
    assert unit.noted("write") == []


def test_a_site_that_lets_nothing_into_the_grid_may_be_told_its_full_power(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    apply(unit, Mode.DISCHARGE, limits_export=True)
    assert unit.held_kw() == 5


def test_a_device_that_forgets_the_timer_is_never_switched_on(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    unit.fault = "forget the timer"
    with pytest.raises(DriverError, match="does not keep its revert timer") as error:
        apply(unit, Mode.DISCHARGE, "3")
    assert error.value.permanent
    assert unit.noted("on") == []


@pytest.mark.parametrize("fault", ["stop the timer", "stop the timer and lie"])
@pytest.mark.parametrize("models", [NEW_STORAGE, OLD_STORAGE], ids=["704", "124"])
def test_a_device_whose_timer_stands_still_is_switched_off_again(server, apply, models, fault):
    unit = server.add(sunspec_map(models))
    unit.fault = fault
    with pytest.raises(DriverError, match="switched off again") as error:
        apply(unit, Mode.DISCHARGE, "3")
    assert error.value.permanent
    assert (len(unit.noted("off")), unit.held_kw()) == (1, None)


def test_a_device_that_takes_a_write_and_keeps_something_else_is_found_out(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    unit.fault = "lie"
    with pytest.raises(DriverError, match="Model 704: WSet 3,000 W, not 4,500 W") as error:
        apply(unit, Mode.DISCHARGE, "4.5")
    assert (error.value.permanent, error.value.is_heard) == (False, True)


def test_one_step_of_the_devices_own_rounding_is_no_difference(server, apply):
    unit = server.add(sunspec_map(OLD_STORAGE))
    apply(unit, Mode.EXPORT, "3")
    unit.put(124, OUT, 5999)
    assert apply(unit, Mode.EXPORT, "3", is_renewal=True).found_changed == ""


def test_what_somebody_else_switched_on_without_an_end_is_left_alone(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    unit.put(704, 22, 1)
    refused = apply(unit, Mode.DISCHARGE, "3")
    assert not refused.is_accepted
    assert "without an end" in refused.detail
    assert "On without an end, by somebody else: WSetEna of model 704" in apply(unit, None).proof
    assert (unit.get(704, 22), unit.noted("write")) == (1, [])


def test_what_was_switched_on_for_another_kind_of_target_is_switched_off(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE | OLD_STORAGE))
    apply(unit, Mode.DISCHARGE)
    apply(unit, Mode.DISCHARGE, "3")
    switched = [(kind, name) for kind, name in unit.log if kind in {"on", "off"}]
    assert switched == [("on", "storage"), ("off", "storage"), ("on", "power")]


def test_a_busy_device_may_be_tried_again(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    unit.fault = "busy"
    with pytest.raises(DriverError, match="is busy") as error:
        apply(unit, None)
    assert (error.value.permanent, error.value.is_heard) == (False, True)


@pytest.mark.parametrize("base", [0, 1000, 40000, 50000])
def test_a_map_is_found_where_it_is(server, apply, base):
    unit = server.add(sunspec_map(NEW_STORAGE, base=base))
    settings = {"base_address": base} if base == 1000 else {}
    assert apply(unit, Mode.DISCHARGE, "3", **settings).is_accepted


def test_a_map_is_walked_through_once_and_anew_when_its_models_have_moved(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    asked = []

    def count():
        before = unit.requests
        assert apply(unit, Mode.DISCHARGE, "3").is_accepted
        asked.append(unit.requests - before)

    count()
    count()
    unit.become(sunspec_map({number: NEW_STORAGE[number] for number in (713, 704, 702, 701)}))
    count()
    count()
    assert asked[1] == asked[3] == asked[0] - 7  # the mark, five headers and the end
    assert asked[2] == asked[0] + 1
    assert unit.held_kw() == 3


def chain(*headers, begins=(1, 66), rest=0):
    """Return a map whose models are so long as they say, but for what follows the last."""
    registers = [0x5375, 0x6E53]
    for number, length in (begins, *headers):
        registers += [number, length, *([0] * (length if length < 200 else rest))]
    return {40000: registers}


BROKEN = {
    "no mark": ({40000: [0] * 100}, "has no SunSpec map at 40000, 50000, 0"),
    "another first model": (chain(begins=(103, 50)), "begins with model 103"),
    "a length beyond all registers": (chain((704, 65000)), "runs beyond the last register"),
    "a length of nothing": (chain((704, 0)), "model 704 at 40070 is 0 registers long"),
    "no end mark": (chain((704, 65)), "breaks off at 40137, before its end"),
    "no end at all": (chain(*[(64001, 1)] * 70), "has no end within 64 models"),
    "zeros for ever": (chain(*[(0, 0)] * 90), "model 0 at 40070"),
    "a model that is too short": (chain((704, 4), (0xFFFF, 0)), "Model 704 of the device has no WSetEna"),
}


@pytest.mark.parametrize(("blocks", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_map_that_does_not_hold_together_is_refused(server, apply, blocks, words):
    unit = server.add(blocks)
    with pytest.raises(DriverError, match=re.escape(words)) as error:
        apply(unit, Mode.DISCHARGE, "3")
    assert error.value.permanent
    assert unit.noted("write") == []


def test_another_device_at_the_address_is_not_written_to(server, apply):
    unit = server.add(sunspec_map(NEW_STORAGE))
    assert apply(unit, Mode.DISCHARGE, "3", serial_number=SERIAL).is_accepted
    before = len(unit.noted("write"))
    with pytest.raises(DriverError, match=f"has the serial number “{SERIAL}”, not “SN-8”") as error:
        apply(unit, None, serial_number="SN-8")
    assert error.value.permanent
    assert len(unit.noted("write")) == before


@contextmanager
def raw_server(settings, says):
    """Listen, say something to whoever connects, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.DEVICE_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)
        settings.DEVICE_MODBUS_PORTS = (listener.getsockname()[1],)

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(says)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=30)


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(4000)])
def test_what_speaks_no_modbus_did_not_answer(settings, driver, says):
    with raw_server(settings, says) as port:
        where = {"host": "127.0.0.1", "port": port, "timeout_seconds": 0.3}
        device = Device(pk=1, external_id="x", rated_power_kw=Decimal(10), settings=where)
        with pytest.raises(DriverError, match="did not answer") as error:
            driver.apply(set_point(None, None), device, not_after=soon(30))
    assert not error.value.permanent


def told_by_name(server, unit, numbers):
    one = ModbusDriver(look_up=lambda host, port: numbers)
    device = row(server, unit, host="device.test")
    return one.apply(set_point(Mode.DISCHARGE, Decimal(3)), device, not_after=soon(30))


@pytest.mark.parametrize("numbers", [["169.254.169.254"], ["127.0.0.1", "192.168.0.9"]])
def test_a_name_must_lead_to_allowed_addresses_alone(server, numbers):
    unit = server.add(sunspec_map(NEW_STORAGE))
    with pytest.raises(DriverError, match="The device's address leads to") as error:
        told_by_name(server, unit, numbers)
    assert error.value.permanent
    assert server.connections == 0


def test_the_next_address_of_a_name_is_tried_when_the_first_is_dead(server):
    unit = server.add(sunspec_map(NEW_STORAGE))
    assert told_by_name(server, unit, ["127.0.0.3", "127.0.0.1"]).is_accepted


def test_a_name_that_leads_nowhere_or_takes_long_may_pass(server):
    unit = server.add(sunspec_map(NEW_STORAGE))
    with pytest.raises(DriverError, match="its name leads nowhere") as nowhere:
        told_by_name(server, unit, [])
    over = Event()
    slow = ModbusDriver(look_up=lambda host, port: over.wait(30) and [])
    slow.timeout_seconds = 0.2
    with pytest.raises(DriverError, match=r"did not answer within 0\.2 s") as long:
        slow.apply(set_point(None, None), row(server, unit, host="device.test"), not_after=soon(30))
    over.set()
    assert (nowhere.value.permanent, long.value.permanent) == (False, False)


def test_checking_settings_loads_no_pymodbus():
    code = (
        "import django, sys; django.setup(); from devices.drivers import driver_named;"
        "assert driver_named('modbus').check_settings({}); assert 'pymodbus' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.mark.django_db
def test_a_schedule_begins_on_time_is_renewed_and_ends_proven(server):
    """From the plan to the registers, as the device's own log has it."""
    unit = server.add(sunspec_map(NEW_STORAGE))
    where = row(server, unit).settings
    pack = device(external_id="pack", kind="BATTERY", driver="modbus", settings=where)
    with time_machine.travel(NOW, tick=False) as clock:

        def run(moment):
            unit.let_pass((moment - timezone.now()).total_seconds())
            clock.move_to(moment)
            return run_due_commands(now=moment)

        with transaction.atomic():
            replace_schedules(
                desired={pack.pk: (segment(10, 20, "4.5", mode=Mode.DISCHARGE),)}, now=timezone.now()
            )
        assert run(at(9.9)) == 0
        assert unit.log == []

        assert run(at(10)) == 1
        value, normal = pack.commands.order_by("pk")
        assert value.state == "ACKNOWLEDGED"
        assert re.fullmatch(r"Model 704 holds 4,500 W, reverts in 1\d\d s\.", value.proof)

        def renew():
            value.refresh_from_db()
            assert run(value.next_attempt_at) == 1
            value.refresh_from_db()

        for _ in range(4):
            renew()
        assert (unit.held_kw(), value.detail) == (Decimal("4.5"), "")
        unit.put(704, 25, 800)
        renew()
        assert value.detail == "Changed by someone else: Model 704: WSet 800 W, not 4,500 W."
        assert (unit.noted("on"), unit.noted("lapsed")) == (["power"] * 6, [])

        run(at(20))
        normal.refresh_from_db()
        assert (normal.state, normal.proof[:22]) == ("ACKNOWLEDGED", "Off: WSetEna of model ")
        assert (unit.held_kw(), unit.noted("lapsed")) == (None, ["power"])
    pack.refresh_from_db()
    assert (pack.power_kw, pack.state_of_charge_percent) == (Decimal("1.5"), Decimal("62.5"))
    assert Reading.objects.count() == 7
