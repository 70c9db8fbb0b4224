"""What a device delivered, from what it measured and what it was to do. Pure.

A target is positive and means less load or more export; a device's power is positive when it takes. This is
the one place where the two meet.

- Storage (discharge, export): what it gives, which is its power turned round.
- A load (curtail): what it takes less than usual. Usual is its mean power in the quarter of an hour before
  the run began, pre-conditioning included in the run: simple, the same for everyone, and no settlement's
  baseline.
- Idle delivers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from devices.domain.intervals import Energy
from devices.domain.schedule import Mode

BEFORE: Final = timedelta(minutes=15)
COVERED_AT_LEAST: Final = timedelta(minutes=5)
"""Of the quarter of an hour before; with less the usual power is not known."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The energy of one device in `[start, end)`, UTC."""

    start: datetime
    end: datetime
    energy: Energy


def needs_baseline(mode: Mode) -> bool:
    """Say whether what is delivered under a mode can only be told from the power before."""
    return mode is Mode.CURTAIL


def baseline_window(begins_at: datetime) -> tuple[datetime, datetime]:
    """Return `[start, end)` in which a run's usual power is measured; `begins_at`: of its first segment."""
    return begins_at - BEFORE, begins_at


def baseline_kw(measured: Iterable[Measured], *, begins_at: datetime) -> Decimal | None:
    """Return the usual power before a run, kW; None if too little was measured.

    Intervals that lie wholly in the window count, of one length: minutes, or quarters of an hour.
    """
    start, end = baseline_window(begins_at)
    inside = [one.energy for one in measured if start <= one.start and one.end <= end]
    total = Energy(
        sum(energy.watt_milliseconds for energy in inside),
        sum(energy.covered_milliseconds for energy in inside),
    )
    if timedelta(milliseconds=total.covered_milliseconds) < COVERED_AT_LEAST:
        return None
    return total.mean_kw


def delivered_kw(
    power_kw: Decimal | None, *, mode: Mode, baseline_kw: Decimal | None = None
) -> Decimal | None:
    """Return what is delivered at a power, kW, as a target counts it; None if it cannot be told.

    >>> delivered_kw(Decimal(-5), mode=Mode.DISCHARGE)
    Decimal('5')
    >>> delivered_kw(Decimal(2), mode=Mode.CURTAIL, baseline_kw=Decimal("3.5"))
    Decimal('1.5')

    Below nothing is told as it is: a battery that charges, a load that takes more than usual.
    """
    if power_kw is None:
        return None
    if mode is Mode.IDLE:
        return Decimal(0)
    if not needs_baseline(mode):
        return -power_kw
    return None if baseline_kw is None else baseline_kw - power_kw


def power_for(target_kw: Decimal, *, mode: Mode, baseline_kw: Decimal | None = None) -> Decimal | None:
    """Return the power at which a device delivers a target, kW: `delivered_kw` turned round.

    >>> power_for(Decimal(2), mode=Mode.CURTAIL, baseline_kw=Decimal(3))
    Decimal('1')
    """
    if not needs_baseline(mode):
        return -target_kw
    return None if baseline_kw is None else baseline_kw - target_kw
