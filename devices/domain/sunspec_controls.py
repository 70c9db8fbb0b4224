"""Which of a SunSpec device's controls carries a set-point, with which registers, and whether it holds it.

Pure. Each control has a switch, a revert timer after which the device switches it off by itself, and values.
One without a timer is never used: nothing is written that has no end. A control that is on without a time is
somebody else's, as nothing of the portal's is.

Sign: SunSpec's power is positive when the device gives, as a set-point's target is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Final

from devices.domain.schedule import Mode
from devices.domain.sunspec import POINTS, Block, BrokenMap, as_registers

Blocks = Mapping[int, Block]
ALL: Final = Decimal(100)
KILO: Final = Decimal(1000)


class Unsuited(Exception):
    """The device has no control that can do this; the text says why, for operators."""


@dataclass(frozen=True, slots=True)
class Control:
    """A function of a model. `on`: the bits of its switch. `left` says how long it still lasts, if it does.

    `resets` are written with the timer, `fixed` with the values.
    """

    model: int
    switch: str
    timer: str
    values: tuple[str, ...]
    on: int = 1
    left: str = ""
    resets: Mapping[str, int] = field(default_factory=dict)
    fixed: Mapping[str, int] = field(default_factory=dict)


POWER: Final = Control(
    704,
    switch="WSetEna",
    timer="WSetRvrtTms",
    values=("WSet",),
    left="WSetRvrtRem",
    resets={"WSetEnaRvrt": 0},
    fixed={"WSetMod": 1},
)
STORAGE: Final = Control(
    124, switch="StorCtl_Mod", timer="InOutWRte_RvrtTms", values=("OutWRte", "InWRte"), on=3
)
LIMIT: Final = Control(
    704,
    switch="WMaxLimPctEna",
    timer="WMaxLimPctRvrtTms",
    values=("WMaxLimPct",),
    left="WMaxLimPctRvrtRem",
    resets={"WMaxLimPctEnaRvrt": 0},
)
OLD_LIMIT: Final = Control(123, switch="WMaxLim_Ena", timer="WMaxLimPct_RvrtTms", values=("WMaxLimPct",))
CONTROLS: Final = (POWER, STORAGE, LIMIT, OLD_LIMIT)
NEEDED: Final = frozenset({120, 121, 123, 124, 702, 704})
"""The models that are read before anything is decided."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the registers of a control are to hold, as integers by point, and in words what that is."""

    control: Control
    values: Mapping[str, int]
    words: str


def wanted_for(
    mode: Mode, target_kw: Decimal | None, *, blocks: Blocks, rated_kw: Decimal, limits_export: bool
) -> Wanted:
    """Return what carries a target, None for the maximum, in one of the device's controls.

    Discharge and export: power in model 704, else shares of the storage's power in 124. Curtail: a limit of
    704, else of 123, at what is left of the rated power. `limits_export`: the device itself lets nothing into
    the grid, so that it may be told its full power where the site's load is to be followed.

    Raises:
        Unsuited: no control of the device can do it, or none that ends by itself.
        BrokenMap: a scale factor is none.
    """
    if mode is Mode.CURTAIL:
        return _limited(target_kw, blocks=blocks, rated_kw=rated_kw)
    if mode is Mode.DISCHARGE and target_kw is None:
        return _following(blocks=blocks, rated_kw=rated_kw, limits_export=limits_export)
    control = _first_usable((POWER, STORAGE), blocks=blocks, to="discharge")
    if control is POWER:
        return _power(target_kw, blocks=blocks, rated_kw=rated_kw)
    return _shares(target_kw, blocks=blocks)


def _limited(target_kw: Decimal | None, *, blocks: Blocks, rated_kw: Decimal) -> Wanted:
    control = _first_usable((LIMIT, OLD_LIMIT), blocks=blocks, to="limit its power")
    limit = max(Decimal(0), rated_kw - target_kw) * KILO if target_kw is not None else Decimal(0)
    nameplate = _nameplate(blocks) or rated_kw * KILO
    percent = min(ALL, limit / nameplate * ALL) if nameplate else Decimal(0)
    [name] = control.values
    # Downwards: what is asked is curtailed at least.
    raw = _integer(blocks[control.model], name, percent, rounding=ROUND_FLOOR)
    share = blocks[control.model].scaled(name, raw)
    return Wanted(control, {name: raw}, f"at most {_watts(nameplate * share / ALL)} ({_plain(share)} %)")


def _following(*, blocks: Blocks, rated_kw: Decimal, limits_export: bool) -> Wanted:
    """Discharge as much as the site takes: free to discharge, and no charging."""
    if limits_export:
        control = _first_usable((STORAGE, POWER), blocks=blocks, to="discharge")
    else:
        control = STORAGE
        if (why := _why_unusable(STORAGE, blocks)) is not None:
            raise Unsuited(
                f"{why} Model 704 follows no load, so “as much as the site takes” cannot be told. Set"
                " “limits_export” to true if the device itself lets nothing into the grid."
            )
    if control is POWER:
        return _power(None, blocks=blocks, rated_kw=rated_kw)
    block = blocks[STORAGE.model]
    values = {"OutWRte": _integer(block, "OutWRte", ALL), "InWRte": 0}
    return Wanted(STORAGE, values, "up to 100 % of its discharge and no charging")


def _power(target_kw: Decimal | None, *, blocks: Blocks, rated_kw: Decimal) -> Wanted:
    block = blocks[POWER.model]
    watts = _most_given(blocks) or rated_kw * KILO if target_kw is None else target_kw * KILO
    raw = _integer(block, "WSet", watts)
    return Wanted(POWER, {"WSet": raw}, _watts(block.scaled("WSet", raw)))


def _shares(target_kw: Decimal | None, *, blocks: Blocks) -> Wanted:
    """Force a discharge: at least and at most the same, a negative charge being a discharge."""
    block = blocks[STORAGE.model]
    charge_most = block.value("WChaMax")
    give_most = _value(blocks, 120, "MaxDisChaRte") or charge_most
    if not charge_most or not give_most:
        raise Unsuited("Model 124 says no WChaMax, so that no power can be put in percent of it.")
    watts = give_most if target_kw is None else target_kw * KILO
    values = {
        "OutWRte": _integer(block, "OutWRte", min(ALL, watts / give_most * ALL)),
        "InWRte": -_integer(block, "InWRte", min(ALL, watts / charge_most * ALL)),
    }
    share = block.scaled("OutWRte", values["OutWRte"])
    return Wanted(STORAGE, values, f"{_watts(give_most * share / ALL)} ({_plain(share)} %)")


def _first_usable(controls: Sequence[Control], *, blocks: Blocks, to: str) -> Control:
    present = [control for control in controls if control.model in blocks]
    if not present:
        models = " nor ".join(str(control.model) for control in controls)
        raise Unsuited(f"The device has neither model {models}, so it cannot be told to {to}.")
    whys = [_why_unusable(control, blocks) for control in present]
    for control, why in zip(present, whys, strict=True):
        if why is None:
            return control
    raise Unsuited(str(whys[0]))


def _why_unusable(control: Control, blocks: Blocks) -> str | None:
    block = blocks.get(control.model)
    if block is None:
        return f"The device has no model {control.model}."
    missing = [name for name in (control.switch, *control.values) if block.raw(name) is None]
    if missing:
        return f"Model {control.model} of the device has no {missing[0]}."
    if block.raw(control.timer) is None:
        return (
            f"Model {control.model} of the device has no revert timer ({control.timer}): what is written"
            " would have no end, so nothing is."
        )
    return None


def _nameplate(blocks: Blocks) -> Decimal | None:
    """Return the watts that a limit in percent refers to, None if the device says none."""
    points = ((702, "WMax"), (702, "WMaxRtg"), (121, "WMax"), (120, "WRtg"))
    return next((value for model, name in points if (value := _value(blocks, model, name))), None)


def _most_given(blocks: Blocks) -> Decimal | None:
    points = ((702, "WDisChaRteMax"), (702, "WDisChaRteMaxRtg"), (702, "WMax"), (120, "MaxDisChaRte"))
    return next((value for model, name in points if (value := _value(blocks, model, name))), None)


def _value(blocks: Blocks, model: int, name: str) -> Decimal | None:
    return blocks[model].value(name) if model in blocks else None


def _integer(block: Block, name: str, value: Decimal, *, rounding: str = ROUND_HALF_UP) -> int:
    """Return what to write for a value in a point's own resolution.

    Raises:
        Unsuited: it does not fit into the registers.
    """
    raw = int(value.scaleb(-block.exponent(name)).to_integral_value(rounding=rounding))
    size = POINTS[block.model.number][name].size
    if abs(raw) >= 2 ** (16 * size - 1):
        raise Unsuited(f"{_plain(value)} is too much for {name} of model {block.model.number}.")
    return raw


def is_on(control: Control, block: Block) -> bool:
    """Say whether the device follows the control now."""
    return bool((block.raw(control.switch) or 0) & control.on)


def is_somebody_elses(control: Control, block: Block) -> bool:
    """Say whether the control is on without an end, which the portal never leaves behind."""
    return is_on(control, block) and not (block.raw(control.timer) or seconds_left(control, block))


def implemented(block: Block, values: Mapping[str, int]) -> dict[str, int]:
    """Leave out the points that the device does not have."""
    return {name: value for name, value in values.items() if block.raw(name) is not None}


def has_timer(control: Control, block: Block, *, seconds: int) -> bool:
    """Say whether the device took the revert timer, and will go back to normal and not to something else."""
    is_reset = all(block.raw(name) in (value, None) for name, value in control.resets.items())
    return is_reset and 0 < (block.raw(control.timer) or 0) <= seconds


def seconds_left(control: Control, block: Block) -> int | None:
    """Return in how many seconds the control goes off by itself, None where the device does not say."""
    return block.raw(control.left) if control.left else None


def difference(wanted: Wanted, block: Block) -> str:
    """Say what the control holds other than what is wanted, in words; "" if nothing.

    One step of a point's resolution is no difference: devices round.
    """
    control = wanted.control
    if not is_on(control, block):
        return f"{control.switch} off"
    if (block.raw(control.switch) or 0) & control.on != control.on:
        return f"{control.switch} {block.raw(control.switch)}"
    for name, value in control.fixed.items():
        if block.raw(name) not in (value, None):
            return f"{name} {block.raw(name)}"
    for name, value in wanted.values.items():
        held = block.raw(name)
        if held is None or abs(held - value) > 1:
            return f"{name} {_said(block, name, held)}, not {_said(block, name, value)}"
    return ""


def _said(block: Block, name: str, raw: int | None) -> str:
    if raw is None:
        return "nothing"
    value = block.scaled(name, raw)
    return _watts(value) if name == "WSet" else f"{_plain(value)} %"


Write = tuple[int, list[int]]
"""An address and the registers to write from there on."""


def writes(block: Block, values: Mapping[str, int]) -> list[Write]:
    """Return the fewest writes that put integers into points, neighbours together."""
    points = POINTS[block.model.number]
    found: list[Write] = []
    for name in sorted(values, key=lambda name: points[name].offset):
        address = block.model.address + points[name].offset
        registers = as_registers(points[name], values[name])
        if found and found[-1][0] + len(found[-1][1]) == address:
            found[-1][1].extend(registers)
        else:
            found.append((address, registers))
    return found


def measured(blocks: Blocks) -> tuple[Decimal | None, Decimal | None]:
    """Return the power in kW, what the device takes being positive, and the state of charge in percent.

    None where no model says it, or none that makes sense.
    """
    power = _first(blocks, [(model, "W") for model in MEASURING])
    charge = _first(blocks, [(713, "SoC"), (124, "ChaState")])
    is_percent = charge is not None and 0 <= charge <= ALL
    return (None if power is None else -power / KILO), (charge if is_percent else None)


MEASURING: Final = (701, 101, 102, 103, 111, 112, 113)
TELLING: Final = frozenset({*MEASURING, 713, 124})
"""The models that say what the device does at the moment."""


def _first(blocks: Blocks, points: Sequence[tuple[int, str]]) -> Decimal | None:
    for model, name in points:
        try:
            value = _value(blocks, model, name)
        except BrokenMap:
            continue
        if value is not None:
            return value
    return None


def _watts(value: Decimal) -> str:
    return f"{value.to_integral_value(rounding=ROUND_HALF_UP):,f} W"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
