"""What is said to a SunSpec device over one connection: find its models, write one control, read it back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from devices.domain.schedule import Mode
from devices.domain.sunspec import COMMON, MARK, Block, BrokenMap, Model, Site, next_model, span
from devices.domain.sunspec_controls import (
    CONTROLS,
    NEEDED,
    TELLING,
    Control,
    Wanted,
    difference,
    has_timer,
    implemented,
    is_on,
    is_somebody_elses,
    measured,
    seconds_left,
    wanted_for,
    writes,
)
from devices.drivers.base import Answer, DriverError, Measured, SetPoint
from devices.drivers.modbus_wire import Line, Refused, connected

LONGEST_TIMER: Final = 65534  # seconds, in the registers of the older models
KEPT_FOR_THE_ANSWER: Final = 0.2  # seconds
EXCEPTIONS: Final = {1: "illegal function", 2: "illegal address", 3: "illegal value"}


Maps = dict[tuple[str, int, int], Mapping[int, Model]]
"""Where the models of devices were found, by host, port and unit."""


class Moved(DriverError):
    """A model is not where it was found."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Model {number} is in the device's SunSpec map, but cannot be read.",
            permanent=False,
            is_heard=True,
        )


async def carry(
    numbers: Sequence[str],
    site: Site,
    set_point: SetPoint,
    *,
    maps: Maps,
    rated_kw: Decimal,
    not_after: datetime,
    seconds: float,
) -> Answer:
    """Write one set-point over a connection of its own, all within so many seconds.

    1. Find the models, which `maps` may know from an earlier time, and look whether it is the device that is
    meant.
    2. Decide by what it says of itself; write; read back.
    3. Read what it does, as far as there is time.

    Raises:
        DriverError: it did not answer, or cannot be told this.
        BrokenMap, Unsuited: what is wrong with it, for operators.
        TimeoutError: it took too long.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    async with (
        asyncio.timeout_at(deadline),
        connected(numbers, site.port, unit_id=site.unit_id, answer_seconds=site.answer_seconds) as line,
    ):
        talk = Talk(line, not_after=not_after)
        await _find(talk, site, maps)
        if site.serial_number:
            await talk.check_serial_number(site.serial_number)
        if set_point.mode is None or set_point.mode is Mode.IDLE:
            answer = await talk.switch_off()
        else:
            wanted = wanted_for(
                set_point.mode,
                set_point.target_kw,
                blocks=talk.blocks,
                rated_kw=rated_kw,
                limits_export=site.limits_export,
            )
            answer = await talk.switch_on(wanted, set_point)
        return replace(answer, measured=await talk.measure(deadline - KEPT_FOR_THE_ANSWER))


async def _find(talk: Talk, site: Site, maps: Maps) -> None:
    """Find the device's models and read those that matter; walk through its map only if they have moved."""
    place = (site.host, site.port, site.unit_id)
    if known := maps.pop(place, None):
        talk.models = known
        with suppress(Moved):
            await talk.read_models(NEEDED)
            maps[place] = known
            return
    await talk.find_models(site.bases)
    await talk.read_models(NEEDED)
    if talk.models.keys() & NEEDED:  # else nothing would show that they have moved
        maps[place] = talk.models


class Talk:
    """What is done over one connection; `blocks` are the models as they were read last, by number."""

    def __init__(self, line: Line, *, not_after: datetime) -> None:
        self._line = line
        self._not_after = not_after
        self.models: Mapping[int, Model] = {}
        self.blocks: dict[int, Block] = {}

    async def find_models(self, bases: Sequence[int]) -> None:
        """Find SunSpec's mark, and walk from model to model to the end.

        Raises:
            BrokenMap: there is none, or it does not hold together.
        """
        for base in bases:
            if await self._read(base, len(MARK)) == list(MARK):
                break
        else:
            places = ", ".join(str(base) for base in bases)
            raise BrokenMap(
                f"The device has no SunSpec map at {places}; set “base_address”, or look at its unit."
            )
        found: list[Model] = []
        address = base + len(MARK)
        while True:
            header = await self._read(address, 2)
            if header is None:
                raise BrokenMap(f"The device's SunSpec map breaks off at {address}, before its end.")
            model = next_model(header, address=address, found=found)
            if model is None:
                break
            found.append(model)
            address = model.after
        # Of two alike the first counts.
        self.models = {model.number: model for model in reversed(found)}

    async def check_serial_number(self, expected: str) -> None:
        """Refuse another device, as where addresses were dealt out anew.

        Raises:
            DriverError: permanent.
        """
        await self.read_models({COMMON})
        found = self.blocks[COMMON].text("SN")
        if found != expected:
            raise DriverError(
                f"The device at this address has the serial number “{found}”, not “{expected}”; nothing was"
                " written.",
                permanent=True,
            )

    async def read_models(self, numbers: Collection[int]) -> None:
        """Read those of the models that the device has.

        Raises:
            Moved: one is not where it was found.
        """
        for number in sorted(self.models.keys() & numbers):
            model = self.models[number]
            registers = await self._read(model.address, span(model))
            if registers is None or list(registers[:2]) != [model.number, model.length]:
                raise Moved(number)
            self.blocks[number] = Block(model, registers)

    async def switch_on(self, wanted: Wanted, set_point: SetPoint) -> Answer:
        """Write the timer, look whether it was taken, write the values, switch on, and read back.

        What the portal switched on before for another kind of set-point is switched off first.
        """
        control = wanted.control
        block = self.blocks[control.model]
        found = difference(wanted, block) if set_point.is_renewal else ""
        found_changed = f"Model {control.model}: {found}." if found else ""
        if is_somebody_elses(control, block):
            detail = (
                f"Somebody switched {control.switch} of model {control.model} on without an end. The portal"
                " leaves that alone; switch it off at the device."
            )
            return Answer(is_accepted=False, detail=detail, found_changed=found_changed)
        await self.switch_off(but=control)
        try:
            seconds = await self._set_timer(control, lapses_at=set_point.lapses_at)
            await self._write(control, {**implemented(block, control.fixed), **wanted.values})
            await self._write(control, {control.switch: control.on})
        except _Refusal as refusal:
            return Answer(is_accepted=False, detail=str(refusal), found_changed=found_changed)
        await self.read_models({control.model})
        proof = await self._proof(wanted, seconds=seconds)
        return Answer(is_accepted=True, proof=proof, found_changed=found_changed)

    async def _set_timer(self, control: Control, *, lapses_at: datetime) -> int:
        """Write the revert timer and return its seconds: before anything that it is to end.

        Raises:
            DriverError: the device does not keep it (permanent), or the time is over.
        """
        left = (lapses_at - datetime.now(UTC)).total_seconds()
        seconds = min(int(left), LONGEST_TIMER)
        if seconds < 1:
            raise _heard("The set-point was over before it could be written.")
        resets = implemented(self.blocks[control.model], control.resets)
        await self._write(control, {**resets, control.timer: seconds})
        await self.read_models({control.model})
        if not has_timer(control, self.blocks[control.model], seconds=seconds):
            raise DriverError(
                f"Model {control.model} of the device does not keep its revert timer ({control.timer}): what"
                " is written would have no end, so nothing was switched on.",
                permanent=True,
            )
        return seconds

    async def _proof(self, wanted: Wanted, *, seconds: int) -> str:
        """Return what the device says it holds.

        Raises:
            DriverError: it is something else, or would not end.
        """
        control = wanted.control
        block = self.blocks[control.model]
        left = seconds_left(control, block)
        lasts = block.raw(control.timer) or 0 if left is None else left
        if is_on(control, block) and not 0 < lasts <= seconds:
            with suppress(_Refusal):
                await self._write(control, {control.switch: 0})
            raise DriverError(
                f"The revert timer of model {control.model} does not run, so it was switched off again.",
                permanent=True,
            )
        if found := difference(wanted, block):
            raise _heard(
                f"The device took the write and holds something else. Model {control.model}: {found}."
            )
        if left is not None and left < seconds // 2:
            raise _heard(f"Model {control.model} did not start its revert timer anew: {left} s are left.")
        return f"Model {control.model} holds {wanted.words}, reverts in {lasts} s."

    async def switch_off(self, *, but: Control | None = None) -> Answer:
        """Switch off every control that the portal may have switched on, and read back.

        Raises:
            DriverError: one stays on.
        """
        off: list[str] = []
        left_alone: list[str] = []
        for control in CONTROLS:
            block = self.blocks.get(control.model)
            if control is but or block is None or block.raw(control.switch) is None:
                continue
            name = f"{control.switch} of model {control.model}"
            if is_somebody_elses(control, block):
                left_alone.append(name)
                continue
            if is_on(control, block):
                try:
                    await self._write(control, {control.switch: 0})
                except _Refusal as refusal:
                    raise _heard(str(refusal)) from None
                await self.read_models({control.model})
                if is_on(control, self.blocks[control.model]):
                    raise _heard(f"The device took the write and kept {name} on.")
            off.append(name)
        said = [f"Off: {', '.join(off)}." if off else "No control of the portal's is on."]
        if left_alone:
            said.append(f"On without an end, by somebody else: {', '.join(left_alone)}.")
        return Answer(is_accepted=True, proof=" ".join(said))

    async def measure(self, deadline: float) -> Measured | None:
        """Return what the device does at the moment, None if it does not say so in time."""
        with suppress(TimeoutError, DriverError, BrokenMap, Refused):
            async with asyncio.timeout_at(deadline):
                await self.read_models(TELLING)
            power, charge = measured(self.blocks)
            if power is not None or charge is not None:
                return Measured(power_kw=power, state_of_charge_percent=charge)
        return None

    async def _read(self, address: int, count: int) -> Sequence[int] | None:
        """Return registers, None where the device says that there are none."""
        try:
            return list(await self._line.read(address, count))
        except Refused:
            return None

    async def _write(self, control: Control, values: Mapping[str, int]) -> None:
        for address, registers in writes(self.blocks[control.model], values):
            try:
                await self._line.write(address, registers, not_after=self._not_after)
            except Refused as refused:
                why = EXCEPTIONS.get(refused.code, f"exception {refused.code}")
                names = ", ".join(values)
                raise _Refusal(
                    f"The device refuses to have {names} of model {control.model} written ({why})."
                ) from None


def _heard(words: str) -> DriverError:
    """Return that the device is there, but not as it should be."""
    return DriverError(words, permanent=False, is_heard=True)


class _Refusal(Exception):
    """The device does not take a write; the text says which."""
