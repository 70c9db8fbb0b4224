"""How power, times and others' words stand in sentences that operators read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

LONGEST_DETAIL: Final = 300
"""As much of what a device or a server says about itself is kept."""


def figure(power_kw: Decimal) -> str:
    """Write power to 0.1 kW, and below 1 kW to 0.01 where that says more.

    >>> figure(Decimal("4.56")), figure(Decimal("0.3")), figure(Decimal("0.05"))
    ('4.6', '0.3', '0.05')
    """
    return f"{power_kw:.1f}" if abs(power_kw) >= 1 else f"{power_kw:.2f}".removesuffix("0")


def kw(power_kw: Decimal) -> str:
    """Write power with its unit."""
    return f"{figure(power_kw)} kW"


def clock(moment: datetime) -> str:
    """Write a time of day, with its zone as others may read it elsewhere."""
    return f"{moment.astimezone(UTC):%H:%M} UTC"


def one_line(text: str, *, longest: int = LONGEST_DETAIL) -> str:
    """Return others' words as one printable line; no database stores NUL, no log or mail a line break.

    >>> one_line("Too\\nhot.\\0")
    'Too hot.'
    """
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(line.split())[:longest]
