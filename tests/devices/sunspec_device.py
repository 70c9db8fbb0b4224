"""Devices that speak SunSpec over Modbus TCP on this machine, from pymodbus' own server.

Each follows its switches, ends by its revert timers, by a clock of its own that tests move on, and keeps its
own log.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from threading import RLock

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SERIAL = "SN-7"
LENGTHS = {1: 66, 103: 50, 113: 60, 120: 26, 121: 30, 123: 24, 124: 24, 701: 153, 702: 50, 704: 65, 713: 7}
CONTROLS = {
    "power": (704, 22, 31, 33),
    "limit": (704, 14, 18, 20),
    "old limit": (123, 9, 7, None),
    "storage": (124, 5, 15, None),
}
"""Model, and in it the switch, the revert timer, of two registers in 704, and what is left of it."""

NEW_STORAGE = {
    701: {10: -1500, 116: 0},
    702: {2: 1000, 11: 500, 26: 1000, 35: 500, 45: 1},
    704: {14: 0, 15: 1000, 17: 1, 22: 0, 23: 0, 30: 1, 54: 0xFFFF, 55: 0},
    713: {4: 625, 8: 0xFFFF},
}
OLD_STORAGE = {
    103: {14: 1500, 15: 0},
    120: {3: 500, 4: 1, 25: 500, 26: 1},
    124: {2: 5000, 5: 0, 8: 62, 12: 10000, 13: 10000, 15: 0, 18: 0, 22: 0, 25: 0xFFFE},
}
OLD_INVERTER = {
    113: {22: struct.unpack(">H", struct.pack(">f", 3000.0)[:2])[0], 23: 0x8000},
    121: {2: 1000, 22: 1},
    123: {5: 1000, 7: 0, 9: 0, 23: -1},
}


def sunspec_map(models, base=40000):
    """Return registers by address for models, `{number: {offset: value}}`; model 1 comes by itself."""
    serial = SERIAL.encode().ljust(32, b"\0")
    common = {50 + place: value for place, value in enumerate(struct.unpack(">16H", serial))}
    registers = [0x5375, 0x6E53]
    for number, values in {1: common, **models}.items():
        block = [number, LENGTHS[number], *([0] * LENGTHS[number])]
        for offset, value in values.items():
            block[offset] = value & 0xFFFF
        registers += block
    return {base: [*registers, 0xFFFF, 0]}


class SunSpecDevice:
    """One unit. `fault`: silent | busy | refuse | lie | forget the timer | stop the timer, or ""."""

    def __init__(self, unit, blocks):
        self.unit, self.fault = unit, ""
        self.log = []
        self.lock = RLock()
        self.ahead = 0.0
        self.ends = {}
        self.closing = None
        self.requests = 0
        [(self.base, self.registers)] = blocks.items()
        self.look_around()

    def become(self, blocks):
        """Have another map of the same length from now on."""
        [self.registers[:]] = blocks.values()
        self.look_around()

    def look_around(self):
        self.places, self.lengths = {}, {}
        at = 2
        while at + 1 < len(self.registers) and self.registers[at] not in {0, 0xFFFF}:
            self.places[self.registers[at]], self.lengths[self.registers[at]] = at, self.registers[at + 1]
            at += 2 + self.registers[at + 1]

    @property
    def now(self):
        return time.monotonic() + self.ahead

    def place(self, model):
        """Return where a model stands in the registers."""
        return self.places[model]

    def get(self, model, offset):
        return self.registers[self.place(model) + offset]

    def put(self, model, offset, value):
        self.registers[self.place(model) + offset] = value & 0xFFFF

    def let_pass(self, seconds):
        self.ahead += seconds
        self.elapse()

    def noted(self, what):
        """Return what the log says of a kind, oldest first."""
        with self.lock:
            return [entry for kind, entry in self.log if kind == what]

    def note(self, what, entry):
        with self.lock:
            self.log.append((what, entry))

    def present(self):
        for name, (model, switch, timer, left) in CONTROLS.items():
            if self.lengths.get(model) == LENGTHS[model]:
                yield name, self.place(model), model, switch, timer, left

    def timer(self, at, model, timer):
        high, low = self.registers[at + timer : at + timer + 2]
        return high << 16 | low if model == 704 else high

    def elapse(self):
        """Switch off what has reached its end, and say what is left of the others."""
        with self.lock:
            self._elapse()

    def _elapse(self):
        for name, at, _, switch, _, left in self.present():
            if not self.registers[at + switch]:
                self.ends.pop(name, None)
            end = self.ends.get(name)
            if end is not None and self.now >= end:
                self.registers[at + switch] = 0
                del self.ends[name]
                self.note("lapsed", name)
            if left is not None:
                rest = int(self.ends[name] - self.now) if name in self.ends else 0
                self.registers[at + left : at + left + 2] = [rest >> 16, rest & 0xFFFF]

    async def act(self, code, start, address, count, current, values):
        """Answer one request; the server calls this before it reads or writes the registers."""
        self.requests += 1
        if self.fault == "silent":
            await self.closing.wait()
        if self.fault == "busy":
            return ExcCodes.DEVICE_BUSY
        self.elapse()
        if values is None:
            return None
        self.note("write", (address - start, list(values)))
        if self.fault == "refuse":
            return ExcCodes.ILLEGAL_VALUE
        self.take(address - start, values)
        return None

    def take(self, place, values):
        """Follow a write; changes what the server will store of it."""
        for name, at, model, switch, timer, _ in self.present():
            size = 2 if model == 704 else 1
            if "forget the timer" in self.fault and place <= at + timer < place + len(values):
                offset = at + timer - place
                values[offset : offset + size] = [0] * size
            if "lie" in self.fault and place <= at + 25 < place + len(values) and name == "power":
                values[at + 25 - place] = 3000
            if place <= at + switch < place + len(values):
                is_on = bool(values[at + switch - place])
                self.note("on" if is_on else "off", name)
                seconds = self.timer(at, model, timer)
                self.ends.pop(name, None)
                if is_on and seconds and "stop the timer" not in self.fault:
                    self.ends[name] = self.now + seconds
                if "stop the timer" in self.fault and model != 704:
                    self.registers[at + timer] = 0

    def held_kw(self):
        """Return the kW the device gives or leaves out of its 10 (5 with 124), None at normal."""
        self.elapse()
        on = {name: at for name, at, _, switch, _, _ in self.present() if self.registers[at + switch]}
        if "power" in on:
            at = on["power"]
            [watts] = struct.unpack(">i", struct.pack(">2H", *self.registers[at + 24 : at + 26]))
            return Decimal(watts) / 1000
        if "storage" in on:
            return Decimal(self.registers[on["storage"] + 12]) * 5 / 10000
        if "limit" in on:
            return 10 - Decimal(self.registers[on["limit"] + 15]) / 100
        if "old limit" in on:
            return 10 - Decimal(self.registers[on["old limit"] + 5]) / 100
        return None


class SunSpecServer:
    """A server of pymodbus with units of its own, in a thread with a loop of its own."""

    def __init__(self):
        self.devices = {}
        self.connections = 0
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="sunspec devices", daemon=True)
        self.thread.start()
        self.call(self._start())

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def add(self, blocks):
        """Add a device with the map, and return it."""
        device = SunSpecDevice(len(self.devices) + 1, blocks)
        self.devices[device.unit] = device
        self.call(self._add(device))
        return device

    async def _start(self):
        self.closing = asyncio.Event()
        empty = SimDevice(id=0, simdata=SimData(0, values=[0], datatype=DataType.REGISTERS))
        self.server = ModbusTcpServer(empty, address=("127.0.0.1", 0), trace_connect=self._count)
        await self.server.serve_forever(background=True)
        self.port = self.server.transport.sockets[0].getsockname()[1]

    def _count(self, is_connected):
        self.connections += is_connected

    async def _add(self, device):
        device.closing = self.closing
        data = SimData(device.base, values=list(device.registers), datatype=DataType.REGISTERS)
        built = type(self.server.context)(SimDevice(id=device.unit, simdata=data, action=device.act))
        runtime = built.devices[device.unit]
        self.server.context.devices[device.unit] = runtime
        device.registers = runtime.block["x"][2]

    async def _stop(self):
        self.closing.set()
        await self.server.shutdown()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self):
        self.call(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=30)
        self.loop.close()


@contextmanager
def sunspec_server():
    server = SunSpecServer()
    try:
        yield server
    finally:
        server.close()
