"""What meters of chargers say, in the words of OCPP 1.6 and 2.0.1."""

from __future__ import annotations

from decimal import Decimal

import pytest

from devices.domain.metering import MOST_CONNECTORS, Meters, Sample, read_samples
from tests.builders import NOW, at

WHEN = "2026-07-14T20:00:00Z"
POWER, EXPORT = "Power.Active.Import", "Power.Active.Export"


def one(**said):
    return read_samples([{"timestamp": WHEN, "sampled_value": [said]}])


def many(*said):
    return read_samples([{"timestamp": WHEN, "sampled_value": list(said)}])


READ = {
    "1.6, its default": (one(value="1500"), [Sample(NOW, energy_kwh=1.5)]),
    "1.6, power": (one(value="7200.5", measurand=POWER, unit="W"), [Sample(NOW, power_kw=7.2005)]),
    "2.0.1, power": (
        one(value=7.5, measurand=POWER, unit_of_measure={"unit": "W", "multiplier": 3}),
        [Sample(NOW, power_kw=7.5)],
    ),
    "phases": (
        many(
            *({"value": 2, "measurand": POWER, "unit": "kW", "phase": f"L{number}"} for number in (1, 2, 3))
        ),
        [Sample(NOW, power_kw=6.0)],
    ),
    "the whole beside its phases": (
        many(
            {"value": 2, "measurand": POWER, "unit": "kW", "phase": "L1"},
            {"value": 5, "measurand": POWER, "unit": "kW"},
        ),
        [Sample(NOW, power_kw=5.0)],
    ),
    "given back": (
        many({"value": 1000, "measurand": POWER}, {"value": 3000, "measurand": EXPORT}),
        [Sample(NOW, power_kw=-2.0)],
    ),
    "the car's charge": (one(value="61", measurand="SoC", location="EV"), [Sample(NOW, charge_percent=61.0)]),
    "a charge beyond full": (one(value="161", measurand="SoC"), []),
    "inside the car": (one(value="1", measurand=POWER, location="EV"), []),
    "another unit": (one(value="1", measurand=POWER, unit="A"), []),
    "signed": (one(value="AF01", format="SignedData"), []),
    "no number": (one(value="much", measurand=POWER), []),
    "not finite": (one(value="inf", measurand=POWER), []),
    "vast": (one(value=1, measurand=POWER, unit_of_measure={"multiplier": 400}), []),
    "no time": (read_samples([{"timestamp": "soon", "sampled_value": [{"value": "1"}]}]), []),
    "no list": (read_samples("abc"), []),
    "rubbish in it": (read_samples([7, {"timestamp": WHEN, "sampled_value": [7, None]}, None]), []),
    "no zone is UTC": (
        read_samples([{"timestamp": WHEN[:-1], "sampled_value": [{"value": "1000"}]}]),
        [Sample(NOW, energy_kwh=1.0)],
    ),
}


@pytest.mark.parametrize(("found", "expected"), READ.values(), ids=READ)
def test_meter_values_are_read(found, expected):
    assert found == expected


def test_samples_come_by_time():
    values = [{"timestamp": f"2026-07-14T20:0{n}:00Z", "sampled_value": [{"value": "1"}]} for n in (2, 0, 1)]
    assert [sample.at for sample in read_samples(values)] == [at(0), at(1), at(2)]


def powers(meters, *samples):
    found = [meters.take(connector, sample) for connector, sample in samples]
    return [metered and (metered.power_kw, metered.energy_kwh) for metered in found]


def test_power_comes_from_the_counter_where_the_meter_names_none():
    counted = [(1, Sample(at(n), energy_kwh=energy)) for n, energy in ((0, 10), (1, 10.1), (2, 9), (90, 20))]
    assert powers(Meters(has_one_connector=True), *counted) == [
        None,
        (Decimal("6.000"), Decimal("10.100")),
        (Decimal("6.000"), Decimal("9.000")),  # a counter that was set back says nothing of power
        (Decimal("6.000"), Decimal("20.000")),  # nor does one that was silent for long
    ]


def test_connectors_add_up_and_the_main_meter_counts_alone():
    meters = Meters(has_one_connector=False)
    said = [(1, 3.0), (2, 4.0), (0, 7.5), (1, 2.0)]
    found = powers(
        meters, *((number, Sample(at(n), power_kw=kw, energy_kwh=1)) for n, (number, kw) in enumerate(said))
    )
    assert found == [(Decimal(total), None) for total in ("3.000", "7.000", "7.500", "7.500")]


def test_an_older_sample_and_one_connector_too_many_are_passed_over():
    meters = Meters(has_one_connector=False)
    assert powers(meters, (1, Sample(at(1), power_kw=1)), (1, Sample(at(0), power_kw=9))) == [
        (Decimal("1.000"), None),
        None,
    ]
    for number in range(2, MOST_CONNECTORS + 9):
        meters.take(number, Sample(at(1), power_kw=1))
    assert len(meters.latest) == MOST_CONNECTORS


def test_a_connector_that_rests_is_noted_once():
    meters = Meters(has_one_connector=True)
    assert meters.rest(1, at=NOW) is None
    meters.take(1, Sample(NOW, power_kw=3))
    assert meters.rest(1, at=at(1)).power_kw == 0
    assert meters.rest(1, at=at(2)) is None
