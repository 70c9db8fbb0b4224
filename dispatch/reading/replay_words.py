"""What a replay's result says in words: the headline, and figures before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dispatch.reading import words

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One figure before and after, as it is written. `kind`: "", "is-ok-text", "is-bad-text"."""

    label: str
    before: str
    after: str
    change: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Turns:
    """All figures of a program, day, event, device or of everything, side by side."""

    energy: Turn
    broken: Turn
    kept: Turn
    skipped: Turn
    served: Turn
    hours: Turn
    runs: Turn

    def __iter__(self) -> Iterator[Turn]:
        """Return them in the order in which they are shown."""
        return iter((self.energy, self.broken, self.kept, self.skipped, self.served, self.hours, self.runs))


def energy(kwh: float) -> str:
    """Write energy: kWh below 10,000, MWh above.

    >>> energy(41_234.5), energy(812)
    ('41.2 MWh', '812 kWh')
    """
    return f"{words.number(kwh / 1000)} MWh" if abs(kwh) >= 10_000 else f"{words.number(kwh)} kWh"


def change(before: float, after: float, *, unit: str = "") -> str:
    """Write a difference with its sign, and none as a dash.

    >>> change(3, 6), change(112.4, 0, unit="h"), change(2, 2)
    ('+3', '−112 h', '–')
    """
    difference = round(after - before, 1)
    if not difference:
        return "–"
    sign = "+" if difference > 0 else "−"
    return f"{sign}{words.number(abs(difference))} {unit}".rstrip()


def percent(before: float, after: float) -> str:
    """Write a change in percent; empty where there was nothing, or where it rounds to none.

    >>> percent(44, 41.2), percent(0, 4)
    ('−6 %', '')
    """
    share = round((after - before) / before * 100) if before else 0
    return f"{'+' if share > 0 else '−'}{abs(share):,} %" if share else ""


def headline(*, label: str, whom: str, result: Mapping[str, Any]) -> str:
    """Say in one sentence what would have been otherwise."""
    before, after = result["before"], result["after"]
    if not result["events"]:
        return f"No dispatch asked anything of {whom} in these days."
    if before == after:
        return f"Under {label} {whom} would have done just the same."
    parts = [_delivered(before, after), _broken(before, after), _skipped(before, after), _run(before, after)]
    *most, last = [part for part in parts if part]
    said = f"{', '.join(most)} and {last}" if most else last
    return f"Under {label} {whom} would have {said}."


def turns(before: Figures, after: Figures) -> Turns:
    """Return the figures side by side; more broken or skipped is bad, fewer is good."""

    def counted(label: str, key: str, *, is_bad: bool = False) -> Turn:
        was, is_ = before[key], after[key]
        kind = "" if was == is_ or not is_bad else "is-bad-text" if is_ > was else "is-ok-text"
        return Turn(label, f"{was:,}", f"{is_:,}", change(was, is_), kind)

    return Turns(
        energy=delivered(before, after),
        broken=counted("Commitments broken", "commitments_broken", is_bad=True),
        kept=counted("Commitments kept", "commitments_kept"),
        skipped=counted("Voluntary skipped", "voluntary_skipped", is_bad=True),
        served=counted("Voluntary served", "voluntary_served"),
        hours=_hours(before["device_hours"], after["device_hours"]),
        runs=counted("Runs", "runs"),
    )


def delivered(before: Figures, after: Figures) -> Turn:
    """Return the energy side by side."""
    was, is_ = before["delivered_kwh"], after["delivered_kwh"]
    return Turn("Delivered", energy(was), energy(is_), percent(was, is_) or change(was, is_, unit="kWh"))


def _hours(before: float, after: float) -> Turn:
    was, is_ = (f"{words.number(hours)} h" for hours in (before, after))
    return Turn("Device-hours", was, is_, change(before, after, unit="h"))


def _delivered(before: Figures, after: Figures) -> str:
    was, is_ = before["delivered_kwh"], after["delivered_kwh"]
    if was == is_:
        return f"delivered the same {energy(is_)}"
    share = percent(was, is_)
    if energy(was) == energy(is_):
        return f"delivered {energy(abs(is_ - was))} {'more' if is_ > was else 'less'} (of {energy(was)})"
    return f"delivered {energy(is_)} instead of {energy(was)}" + (f" ({share})" if share else "")


def _broken(before: Figures, after: Figures) -> str:
    return _more("broken", before["commitments_broken"], after["commitments_broken"], one="commitment")


def _skipped(before: Figures, after: Figures) -> str:
    return _more("skipped", before["voluntary_skipped"], after["voluntary_skipped"], one="voluntary event")


def _more(verb: str, before: int, after: int, *, one: str) -> str:
    """Say how many more or fewer, each counted once for each device."""
    if before == after:
        return ""
    return f"{verb} {words.counted(abs(after - before), one=one)} {'more' if after > before else 'fewer'}"


def _run(before: Figures, after: Figures) -> str:
    difference = Decimal(str(after["device_hours"])) - Decimal(str(before["device_hours"]))
    if not difference:
        return ""
    return f"run {words.number(abs(difference))} h {'more' if difference > 0 else 'less'}"
