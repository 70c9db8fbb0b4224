"""SunSpec's map of a device: which models it has and where, and what their registers say.

Pure: nothing here reads or writes a device. Only the points that the portal uses are listed.
Source: SunSpec Device Information Models, https://github.com/sunspec/models (JSON, read 2026-11-28).
pysunspec2 carries all of them, together with a Modbus client of its own; these few need no more than a table.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

MARK: Final = (0x5375, 0x6E53)
"""“SunS”, which stands before the first model."""

BASES: Final = (40000, 50000, 0)
REGISTERS: Final = 65536
MOST_MODELS: Final = 64
COMMON: Final = 1
_END: Final = 0xFFFF
_HEADER: Final = 2
_LARGEST_SCALE: Final = 10


class BrokenMap(Exception):
    """The device's map is not one of SunSpec's; the text says why, for operators."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a value stands: registers from the model's header, how it is packed, its scale factor's point.

    `kind` is a code of `struct`: H, h, I, i of 16 and 32 bits, f for a float, s with its length for a text.
    """

    offset: int
    kind: str
    scale: str = ""

    @property
    def size(self) -> int:
        """Return the number of registers."""
        return struct.calcsize(f">{self.kind}") // 2


_INVERTER: Final = {"W": Point(14, "h", "W_SF"), "W_SF": Point(15, "h")}
_INVERTER_FLOAT: Final = {"W": Point(22, "f")}

POINTS: Final[Mapping[int, Mapping[str, Point]]] = {
    COMMON: {"SN": Point(50, "32s")},
    **dict.fromkeys((101, 102, 103), _INVERTER),
    **dict.fromkeys((111, 112, 113), _INVERTER_FLOAT),
    120: {
        "WRtg": Point(3, "H", "WRtg_SF"),
        "WRtg_SF": Point(4, "h"),
        "MaxDisChaRte": Point(25, "H", "MaxDisChaRte_SF"),
        "MaxDisChaRte_SF": Point(26, "h"),
    },
    121: {"WMax": Point(2, "H", "WMax_SF"), "WMax_SF": Point(22, "h")},
    123: {
        "WMaxLimPct": Point(5, "H", "WMaxLimPct_SF"),
        "WMaxLimPct_RvrtTms": Point(7, "H"),
        "WMaxLim_Ena": Point(9, "H"),
        "WMaxLimPct_SF": Point(23, "h"),
    },
    124: {
        "WChaMax": Point(2, "H", "WChaMax_SF"),
        "StorCtl_Mod": Point(5, "H"),
        "ChaState": Point(8, "H", "ChaState_SF"),
        "OutWRte": Point(12, "h", "InOutWRte_SF"),
        "InWRte": Point(13, "h", "InOutWRte_SF"),
        "InOutWRte_RvrtTms": Point(15, "H"),
        "WChaMax_SF": Point(18, "h"),
        "ChaState_SF": Point(22, "h"),
        "InOutWRte_SF": Point(25, "h"),
    },
    701: {"W": Point(10, "h", "W_SF"), "W_SF": Point(116, "h")},
    702: {
        "WMaxRtg": Point(2, "H", "W_SF"),
        "WDisChaRteMaxRtg": Point(11, "H", "W_SF"),
        "WMax": Point(26, "H", "W_SF"),
        "WDisChaRteMax": Point(35, "H", "W_SF"),
        "W_SF": Point(45, "h"),
    },
    704: {
        "WMaxLimPctEna": Point(14, "H"),
        "WMaxLimPct": Point(15, "H", "WMaxLimPct_SF"),
        "WMaxLimPctEnaRvrt": Point(17, "H"),
        "WMaxLimPctRvrtTms": Point(18, "I"),
        "WMaxLimPctRvrtRem": Point(20, "I"),
        "WSetEna": Point(22, "H"),
        "WSetMod": Point(23, "H"),
        "WSet": Point(24, "i", "WSet_SF"),
        "WSetEnaRvrt": Point(30, "H"),
        "WSetRvrtTms": Point(31, "I"),
        "WSetRvrtRem": Point(33, "I"),
        "WMaxLimPct_SF": Point(54, "h"),
        "WSet_SF": Point(55, "h"),
    },
    713: {"SoC": Point(4, "H", "Pct_SF"), "Pct_SF": Point(8, "h")},
}

_NOT_IMPLEMENTED: Final = {"H": 0xFFFF, "h": -0x8000, "I": 0xFFFFFFFF, "i": -0x80000000}


@dataclass(frozen=True, slots=True)
class Model:
    """A model in a device's map: its header stands at `address`, `length` registers follow the header."""

    number: int
    address: int
    length: int

    @property
    def after(self) -> int:
        """Return where the next model's header stands."""
        return self.address + _HEADER + self.length


def next_model(header: Sequence[int], *, address: int, found: Sequence[Model]) -> Model | None:
    """Return the model whose header, two registers, was read at `address`; None at the end of the map.

    Raises:
        BrokenMap: what stands there cannot be a header, or the map has no end.
    """
    number, length = header
    if number == _END:
        return None
    model = Model(number, address, length)
    if not found and number != COMMON:
        raise BrokenMap(f"The device's SunSpec map begins with model {number} and not with model 1.")
    if not number or not length:
        raise BrokenMap(
            f"The device's SunSpec map is broken: model {number} at {address} is {length} registers long."
        )
    if model.after + _HEADER > REGISTERS:
        raise BrokenMap(
            f"The device's SunSpec map is broken: model {number} at {address} runs beyond the last register."
        )
    if len(found) == MOST_MODELS:
        raise BrokenMap(f"The device's SunSpec map has no end within {MOST_MODELS} models.")
    return model


def span(model: Model) -> int:
    """Return how many registers to read, header included, to have every point of the model that is used."""
    wanted = max(point.offset + point.size for point in POINTS[model.number].values())
    return min(wanted, _HEADER + model.length)


@dataclass(frozen=True, slots=True)
class Block:
    """What was read of a model, from its header on."""

    model: Model
    registers: Sequence[int]

    def raw(self, name: str) -> int | None:
        """Return a point's integer as it stands in the registers; None where the device has none."""
        point = POINTS[self.model.number][name]
        packed = self._packed(point)
        if packed is None:
            return None
        [value] = struct.unpack(f">{point.kind}", packed)
        return None if value == _NOT_IMPLEMENTED[point.kind] else int(value)

    def value(self, name: str) -> Decimal | None:
        """Return a point with its scale factor; None where the device has none.

        Raises:
            BrokenMap: the scale factor is none.
        """
        point = POINTS[self.model.number][name]
        if point.kind == "f":
            return self._float(point)
        raw = self.raw(name)
        return None if raw is None else self.scaled(name, raw)

    def scaled(self, name: str, raw: int) -> Decimal:
        """Return what an integer in a point's registers means."""
        return Decimal(raw).scaleb(self.exponent(name))

    def exponent(self, name: str) -> int:
        """Return the power of ten by which a point's integer is multiplied.

        Raises:
            BrokenMap: the device says none, or one beyond what SunSpec allows.
        """
        scale = POINTS[self.model.number][name].scale
        if not scale:
            return 0
        exponent = self.raw(scale)
        if exponent is None or abs(exponent) > _LARGEST_SCALE:
            raise BrokenMap(f"Model {self.model.number} has no usable scale factor {scale}.")
        return exponent

    def text(self, name: str) -> str:
        """Return a text without what fills it up."""
        packed = self._packed(POINTS[self.model.number][name]) or b""
        return packed.split(b"\0")[0].decode("ascii", "replace").strip()

    def _float(self, point: Point) -> Decimal | None:
        packed = self._packed(point)
        if packed is None:
            return None
        [value] = struct.unpack(">f", packed)
        return Decimal(repr(value)) if math.isfinite(value) else None

    def _packed(self, point: Point) -> bytes | None:
        registers = self.registers[point.offset : point.offset + point.size]
        return struct.pack(f">{point.size}H", *registers) if len(registers) == point.size else None


def as_registers(point: Point, value: int) -> list[int]:
    """Return the registers of an integer."""
    packed = struct.pack(f">{point.kind}", value)
    return list(struct.unpack(f">{point.size}H", packed))


@dataclass(frozen=True, slots=True)
class Site:
    """Where a device is and what is known of it beforehand, as its settings say.

    `bases`: where its map may begin. `serial_number`: "" if any will do. `limits_export`: it lets nothing
    into the grid by itself.
    """

    host: str
    port: int
    unit_id: int
    bases: Sequence[int]
    answer_seconds: float
    serial_number: str
    limits_export: bool
