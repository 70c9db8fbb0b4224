"""What a charger's meter says → power, energy and charge of the whole charger.

The sampled values are those of OCPP 1.6 (`value` is text, `unit` a word) and of 2.0.1 (numbers, with
`unit_of_measure`), their names in snake case. Power is kW and positive when the charger takes it; energy is
a counter in kWh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

POWER_TAKEN: Final = "Power.Active.Import"
POWER_GIVEN: Final = "Power.Active.Export"
ENERGY_TAKEN: Final = "Energy.Active.Import.Register"
ENERGY_GIVEN: Final = "Energy.Active.Export.Register"
CHARGE: Final = "SoC"
AT_THE_METER: Final = frozenset({None, "Outlet", "Inlet"})
PHASES: Final = frozenset({"L1", "L2", "L3", "L1-N", "L2-N", "L3-N"})
KILO: Final = {None: 0.001, "W": 0.001, "Wh": 0.001, "kW": 1.0, "kWh": 1.0, "Percent": 1.0}
MOST_CONNECTORS: Final = 32
MOST_SAMPLES: Final = 100
LARGEST: Final = 1e8
SHORTEST_STEP, LONGEST_STEP = timedelta(seconds=5), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one connector's meter said at a time; None: nothing. `energy_kwh` is taken minus given."""

    at: datetime
    power_kw: float | None = None
    energy_kwh: float | None = None
    charge_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Metered:
    """The whole charger at a time; the counter only where it has one connector."""

    at: datetime
    power_kw: Decimal
    energy_kwh: Decimal | None
    charge_percent: Decimal | None


def read_samples(meter_values: object) -> list[Sample]:
    """Return what is of use in a list of meter values, by time; rubbish is passed over."""
    if not isinstance(meter_values, Sequence) or isinstance(meter_values, str):
        return []
    found = [_sample(each) for each in meter_values[:MOST_SAMPLES] if isinstance(each, Mapping)]
    return sorted((each for each in found if each), key=lambda each: each.at)


def read_moment(text: object) -> datetime | None:
    """Return a charger's time in UTC, which it is also where no zone is named; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _sample(meter_value: Mapping[str, Any]) -> Sample | None:
    at, said = read_moment(meter_value.get("timestamp")), meter_value.get("sampled_value")
    if at is None or not isinstance(said, Sequence) or isinstance(said, str):
        return None
    values = [each for each in said[:MOST_SAMPLES] if isinstance(each, Mapping)]
    charge = _total(values, CHARGE)
    sample = Sample(
        at=at,
        power_kw=_difference(_total(values, POWER_TAKEN), _total(values, POWER_GIVEN)),
        energy_kwh=_difference(_total(values, ENERGY_TAKEN), _total(values, ENERGY_GIVEN)),
        charge_percent=charge if charge is not None and 0 <= charge <= 100 else None,
    )
    return sample if (sample.power_kw, sample.energy_kwh, sample.charge_percent) != (None,) * 3 else None


def _difference(taken: float | None, given: float | None) -> float | None:
    return None if taken is None and given is None else (taken or 0.0) - (given or 0.0)


def _total(values: Sequence[Mapping[str, Any]], measurand: str) -> float | None:
    """Return the value without a phase, else the sum of the phases, else None."""
    whole: float | None = None
    phases: dict[str, float] = {}
    for each in values:
        if each.get("measurand", ENERGY_TAKEN) != measurand or each.get("format") == "SignedData":
            continue
        if measurand != CHARGE and each.get("location") not in AT_THE_METER:
            continue
        number, phase = _number(each), each.get("phase")
        if number is None:
            continue
        if phase is None:
            whole = number
        elif phase in PHASES:
            phases[phase[:2]] = number
    return whole if whole is not None or not phases else sum(phases.values())


def _number(said: Mapping[str, Any]) -> float | None:
    unit, power_of_ten = said.get("unit"), 0
    if isinstance(measure := said.get("unit_of_measure"), Mapping):
        unit, power_of_ten = measure.get("unit"), measure.get("multiplier", 0)
    if said.get("measurand") == CHARGE:
        unit = "Percent"
    try:
        number = float(said["value"]) * KILO[unit] * 10.0**power_of_ten
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < LARGEST else None


@dataclass(slots=True)
class Meters:
    """The connectors of one charger as they last said; connector 0 is the whole charger by itself."""

    has_one_connector: bool
    latest: dict[int, Sample] = field(default_factory=dict)
    counters: dict[int, tuple[datetime, float]] = field(default_factory=dict)

    def take(self, connector: int, sample: Sample) -> Metered | None:
        """Take a sample and return the whole charger then; None while no power is known.

        A meter that names no power has it from its counter. A sample older than the last is passed over.
        """
        before = self.latest.get(connector)
        if before is None and len(self.latest) >= MOST_CONNECTORS:
            return None
        if before is not None and before.at > sample.at:
            return None
        power = sample.power_kw if sample.power_kw is not None else self._from_counter(connector, sample)
        if power is None and before is not None:
            power = before.power_kw
        if sample.energy_kwh is not None:
            self.counters[connector] = (sample.at, sample.energy_kwh)
        self.latest[connector] = replace(sample, power_kw=power)
        return self._whole(sample)

    def rest(self, connector: int, *, at: datetime) -> Metered | None:
        """Note that a connector takes nothing any more; None if that is known."""
        if connector not in self.latest or not self.latest[connector].power_kw:
            return None
        return self.take(connector, Sample(at, power_kw=0.0))

    def _from_counter(self, connector: int, sample: Sample) -> float | None:
        if connector not in self.counters or sample.energy_kwh is None:
            return None
        counted_at, energy_kwh = self.counters[connector]
        step, taken = sample.at - counted_at, sample.energy_kwh - energy_kwh
        if not SHORTEST_STEP <= step <= LONGEST_STEP or taken < 0:
            return None
        return taken / (step / timedelta(hours=1))

    def _whole(self, sample: Sample) -> Metered | None:
        main = self.latest.get(0)
        parts = [main] if main and main.power_kw is not None else self.latest.values()
        powers = [each.power_kw for each in parts if each.power_kw is not None]
        if not powers:
            return None
        counter = sample.energy_kwh if self.has_one_connector else None
        return Metered(
            at=sample.at,
            power_kw=_exact(sum(powers)),
            energy_kwh=None if counter is None else _exact(counter),
            charge_percent=None if sample.charge_percent is None else _exact(sample.charge_percent),
        )


def _exact(number: float) -> Decimal:
    return Decimal(f"{number:.3f}")
