"""What people call Leap's programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Operators that Leap puts before a program's own name; the name alone is what people say.
_OPERATORS: Final = frozenset(
    {
        "CAISO",
        "CEC",
        "CONED",
        "EVERSOURCE",
        "NATGRID",
        "RIE",
        "UNITIL",
        "NYISO",
        "ERCOT",
        "PJM",
        "PSEGLI",
        "MA_DOER",
    }
)


def short_program(program: str) -> str:
    """Drop the operator before a program's own name.

    >>> short_program("NYISO-SCR"), short_program("CCA")
    ('SCR', 'CCA')
    """
    operator, dash, name = program.partition("-")
    return name if dash and operator in _OPERATORS else program


def label_of(programs: Sequence[str]) -> str:
    """Return what an event of these programs is called; empty without a program.

    >>> label_of(["CCA", "NYISO-SCR"])
    'CCA + SCR'
    """
    return " + ".join(short_program(program) for program in programs)
