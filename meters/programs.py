"""Leap's programs as data: what Leap's own pages say of each, and nothing that they do not.

Rows of `Program` are made of it by migrations, through `describe`. Sources, read 2026-11: Leap, "Onboard
Overview" (regions, meter kinds, interval sources, onboarding, notes), Leap, "Program Examples" (which code
is which program) and the codes in Leap's OpenAPI files. A region is given with the transmission region that
serves it; the codes of ConnectedSolutions are placed by the utility they name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from django.db.models import Q

from meters.enrollment_models import IntervalSource, MeterKind, OnboardMethod

_UTILITY_METERS_TOO: Final = (
    "Utility meters can be enrolled too; the partner still supplies their interval data."
)
_NO_AUTHORIZATION: Final = "No utility authorization is needed: ERCOT collects the interval data itself."
_FIXED_HOURS: Final = "Fixed daily event hours: Leap asks for no dispatch integration."


@dataclass(frozen=True, slots=True)
class Described:
    """A program's code and what is known of it; empty is not known."""

    code: str
    name: str = ""
    region: str = ""
    transmission_region: str = ""
    meter_kind: str = ""
    interval_source: str = ""
    onboard_method: str = ""
    note: str = ""


def _by_utility(code: str, name: str, region: str, transmission_region: str) -> Described:
    """Describe a program that measures at utility meters whose customers authorize."""
    return Described(
        code,
        name,
        region,
        transmission_region,
        MeterKind.UTILITY_METER,
        IntervalSource.UTILITY,
        OnboardMethod.CUSTOMER,
    )


def _by_device(code: str, name: str, region: str, transmission_region: str, note: str = "") -> Described:
    """Describe a program that measures at devices whose intervals the partner uploads."""
    return Described(
        code,
        name,
        region,
        transmission_region,
        MeterKind.DEVICE,
        IntervalSource.PARTNER,
        OnboardMethod.PARTNER,
        note,
    )


TABLE: Final = (
    _by_utility("CCA", "Capacity/Energy (CCA)", "CA", "CAISO"),
    _by_utility("ENERGY-ONLY", "Capacity/Energy (energy only)", "CA", "CAISO"),
    _by_utility("ELRP", "ELRP", "CA", "CAISO"),
    _by_utility("NYISO-SCR", "SCR", "NY", "NYISO"),
    _by_utility("CONED-DLRP", "ConEd DLRP", "NY", "NYISO"),
    _by_utility("CONED-CSRP", "ConEd CSRP", "NY", "NYISO"),
    _by_utility("PJM-CAPACITY", "Capacity", "PJM", "PJM"),
    Described(
        "ERCOT-ERS",
        "ERS",
        "TX",
        "ERCOT",
        MeterKind.UTILITY_METER,
        IntervalSource.ISO,
        OnboardMethod.EITHER,
        _NO_AUTHORIZATION,
    ),
    _by_device("CEC-DSGS", "DSGS", "CA", "CAISO"),
    _by_device("MA_DOER-CPS", "CPS (Clean Peak)", "MA", "ISONE", f"{_FIXED_HOURS} {_UTILITY_METERS_TOO}"),
    _by_device("EVERSOURCE-CS", "ConnectedSolutions (Eversource)", "MA", "ISONE", _UTILITY_METERS_TOO),
    _by_device("NATGRID-CS", "ConnectedSolutions (National Grid)", "MA", "ISONE", _UTILITY_METERS_TOO),
    _by_device("UNITIL-CS", "ConnectedSolutions (Unitil)", "MA", "ISONE", _UTILITY_METERS_TOO),
    _by_device("RIE-CS", "ConnectedSolutions (Rhode Island Energy)", "RI", "ISONE", _UTILITY_METERS_TOO),
    Described("CEC-DSGS-OPTION2", "DSGS option 2", "CA", "CAISO"),
    Described("CEC-DSGS-OPTION4", "DSGS option 4", "CA", "CAISO"),
    # Of the others Leap's files have the code and no more.
    Described("CAISO-CCA-SC_ONLY"),
    Described("CAISO-ELRP-A4"),
    Described("CT_GB-ESS"),
    Described("DRAM"),
    Described("ENERGYHUB-CS"),
    Described("NRG-REALTIME"),
    Described("NRG-RED"),
    Described("ONCOR-CLM"),
    Described("PGE-ART"),
    Described("PGE-CBP"),
    Described("PSE-RPO"),
    Described("PSEGLI-CSRP"),
    Described("PSEGLI-DLRP"),
    Described("SRP-RPO"),
    Described("TVA-RPO"),
)


def describe(programs: Any, *, table: Iterable[Described] = TABLE) -> None:
    """Store what the table says in rows of `programs`, the model or a migration's; safe to repeat.

    Only rows that nobody has described yet are filled: what an admin wrote stays, at every upgrade. Two
    statements, and one more per program that was heard of before it was in the table.
    """
    told = {each.code: asdict(each) for each in table}
    known = [each.name for each in fields(Described) if each.name != "code"]
    bare = Q(**dict.fromkeys(known, ""))
    heard_of = set(programs.objects.filter(bare, code__in=told).values_list("code", flat=True))
    programs.objects.bulk_create((programs(**each) for each in told.values()), ignore_conflicts=True)
    for code in sorted(heard_of):
        programs.objects.filter(bare, code=code).update(**told[code])
