"""Whatever a device says of itself, it is understood or refused with a sentence; nothing else comes of it."""

from __future__ import annotations

import struct
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from devices.domain.schedule import Mode
from devices.domain.sunspec import MOST_MODELS, POINTS, Block, BrokenMap, Model, next_model, span
from devices.domain.sunspec_controls import (
    NEEDED,
    Unsuited,
    difference,
    has_timer,
    is_somebody_elses,
    measured,
    wanted_for,
    writes,
)

REGISTER = st.one_of(st.sampled_from([0, 1, 10, 100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]), st.integers(0, 0xFFFF))
MODES = st.sampled_from([Mode.CURTAIL, Mode.DISCHARGE, Mode.EXPORT])
TARGETS = st.none() | st.decimals(0, 10**9, places=3)


def walk(memory):
    """Walk a map whose registers repeat for ever."""
    found, address = [], 2
    while (
        model := next_model(
            [memory[(address + place) % len(memory)] for place in (0, 1)], address=address, found=found
        )
    ) is not None:
        found.append(model)
        address = model.after
    return found


@given(st.lists(REGISTER, min_size=2, max_size=40))
@example([1, 2])  # the same model for ever
def test_a_walk_ends_inside_the_registers(memory):
    try:
        found = walk(memory)
    except BrokenMap as reason:
        assert str(reason).endswith(".")
        return
    assert len(found) <= MOST_MODELS
    assert all(model.after <= 65536 for model in found)


@st.composite
def blocks(draw, numbers):
    found = {}
    for number in draw(st.sets(st.sampled_from(sorted(numbers)))):
        model = Model(number, 40070, draw(st.integers(1, 80)))
        count = span(model)
        found[number] = Block(model, draw(st.lists(REGISTER, min_size=count, max_size=count)))
    return found


@given(blocks(NEEDED), MODES, TARGETS, st.decimals(0, 10**6, places=3), st.booleans())
def test_what_is_written_fits_into_the_registers_and_is_what_is_then_held(
    said, mode, target, rated, limits_export
):
    try:
        wanted = wanted_for(mode, target, blocks=said, rated_kw=rated, limits_export=limits_export)
    except (Unsuited, BrokenMap) as reason:
        assert str(reason).endswith(".")
        return
    control, block = wanted.control, said[wanted.control.model]
    is_somebody_elses(control, block)
    has_timer(control, block, seconds=180)
    registers = list(block.registers)
    values = {
        **control.fixed,
        **control.resets,
        **wanted.values,
        control.timer: 180,
        control.switch: control.on,
    }
    for address, written in writes(block, values):
        offset = address - block.model.address
        registers[offset : offset + len(written)] = written
    after = Block(block.model, registers)
    assert difference(wanted, after) == ""
    assert has_timer(control, after, seconds=180)


@given(blocks(POINTS.keys() - {1}))
def test_what_is_measured_is_a_number_or_nothing(said):
    power, charge = measured(said)
    assert power is None or power.is_finite()
    assert charge is None or 0 <= charge <= 100


def test_a_float_that_is_none_is_nothing():
    nan = list(struct.unpack(">2H", struct.pack(">f", float("nan"))))
    assert Block(Model(113, 0, 60), [113, 60, *[0] * 20, *nan]).value("W") is None
    assert Decimal(0) == Block(Model(113, 0, 60), [113, 60, *[0] * 22]).value("W")
