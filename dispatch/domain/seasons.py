"""Is a program's delivery period ready to begin: which of its meters lack what, and how much power it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

AHEAD: Final = timedelta(days=60)
"""How early a period is looked at."""
WARNED_AHEAD: Final = timedelta(days=14)
"""How early a period that is not ready needs somebody."""
SILENT_FOR: Final = timedelta(days=7)
"""A device that was not heard for so long is not counted on."""


class Lack(StrEnum):
    """What a meter lacks for a period; all but the last two keep it from delivering."""

    NOT_PARTICIPATING = "NOT_PARTICIPATING"
    INELIGIBLE = "INELIGIBLE"
    PENDING = "PENDING"
    NO_DEVICE = "NO_DEVICE"
    SILENT = "SILENT"
    NO_GROUP = "NO_GROUP"
    NO_NOMINATION = "NO_NOMINATION"
    OPEN_ACTION = "OPEN_ACTION"


@dataclass(frozen=True, slots=True)
class Told:
    """What a lack is called in a list of counts, and what is to be done about it."""

    brief: str
    remedy: str


LACKS: Final[dict[Lack, Told]] = {
    Lack.NOT_PARTICIPATING: Told("not participating", "Idle or disenrolled when the period begins."),
    Lack.INELIGIBLE: Told("ineligible", "Their required actions say what Leap asks for."),
    Lack.PENDING: Told("not active yet", "What Leap still asks for has to be done by the deadline."),
    Lack.NO_DEVICE: Told("without a device", "Map devices: without one nothing can be delivered."),
    Lack.SILENT: Told(
        f"with no device heard for {SILENT_FOR.days} days", "Bring their devices back, or idle the meters."
    ),
    Lack.NO_GROUP: Told("in no market group yet", "Leap assigns groups; a period that runs should have one."),
    Lack.NO_NOMINATION: Told("without a known nomination", "Counted by the rated power of their devices."),
    Lack.OPEN_ACTION: Told("with open required actions", "Do them before the deadline."),
}
"""Every lack, the gravest first."""
_MERELY_NOTED: Final = frozenset({Lack.NO_NOMINATION, Lack.OPEN_ACTION})
_IN: Final = frozenset({"ACTIVE", "ELIGIBLE"})


@dataclass(frozen=True, slots=True)
class Kind:
    """Meters that are alike for a period: how many, and their power.

    `status` is Leap's word for the period, in capitals. `sits_out`: idle or disenrolled when it begins, or
    now if it runs. `is_silent`: it has devices and none was heard lately.
    """

    status: str
    meters: int = 1
    kw: Decimal = Decimal(0)
    sits_out: bool = False
    has_device: bool = True
    is_silent: bool = False
    has_group: bool = True
    has_nomination: bool = True
    has_action: bool = False


def lacks_of(kind: Kind, *, is_running: bool) -> tuple[Lack, ...]:
    """Return what such meters lack, the gravest first.

    A group is missed only once the period runs, and a device that is missing is not silent besides. A word of
    Leap's unknown to the portal is taken as it stands: the meter is not counted on.

    >>> lacks_of(Kind("ELIGIBLE", has_group=False), is_running=False)
    ()
    """
    is_out = kind.sits_out or kind.status == "NOT_PARTICIPATING"
    found = {
        Lack.NOT_PARTICIPATING: is_out,
        Lack.PENDING: kind.status == "PENDING" or (is_running and kind.status == "ELIGIBLE"),
        Lack.INELIGIBLE: kind.status not in {*_IN, "PENDING", "NOT_PARTICIPATING"},
        Lack.NO_DEVICE: not kind.has_device,
        Lack.SILENT: kind.has_device and kind.is_silent,
        Lack.NO_GROUP: is_running and not kind.has_group,
        Lack.NO_NOMINATION: not kind.has_nomination,
        Lack.OPEN_ACTION: kind.has_action,
    }
    return tuple(lack for lack in LACKS if found[lack])


def is_ready(lacks: Iterable[Lack]) -> bool:
    """Say whether a meter that lacks these will deliver nevertheless."""
    return _MERELY_NOTED.issuperset(lacks)


@dataclass(frozen=True, slots=True)
class Missing:
    """How many meters of a period lack something, and their power. One meter may lack several things."""

    lack: Lack
    meters: int
    kw: Decimal
    is_grave: bool


class State(StrEnum):
    """How a period stands: all of its meters are ready, some are, none is."""

    READY = "READY"
    PARTLY = "PARTLY"
    NOBODY = "NOBODY"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How ready a period is. The power of a meter is its nomination, else the rated power of its devices.

    `statuses` counts meters by Leap's word, the most first.
    """

    meters: int
    ready: int
    kw: Decimal
    ready_kw: Decimal
    missing: tuple[Missing, ...]
    statuses: tuple[tuple[str, int], ...]

    @property
    def state(self) -> State:
        """Say how it stands as a whole."""
        if self.ready == self.meters:
            return State.READY
        return State.PARTLY if self.ready else State.NOBODY


def judge(kinds: Iterable[Kind], *, is_running: bool) -> Verdict:
    """Sum up the meters of a period."""
    lacking = [(kind, lacks_of(kind, is_running=is_running)) for kind in kinds]
    ready = [kind for kind, lacks in lacking if is_ready(lacks)]
    statuses: dict[str, int] = {}
    for kind, _ in lacking:
        statuses[kind.status] = statuses.get(kind.status, 0) + kind.meters
    missing = []
    for lack in LACKS:
        those = [kind for kind, lacks in lacking if lack in lacks]
        if those:
            missing.append(Missing(lack, _meters(those), _kw(those), lack not in _MERELY_NOTED))
    everybody = [kind for kind, _ in lacking]
    return Verdict(
        meters=_meters(everybody),
        ready=_meters(ready),
        kw=_kw(everybody),
        ready_kw=_kw(ready),
        missing=tuple(missing),
        statuses=tuple(sorted(statuses.items(), key=lambda each: (-each[1], each[0]))),
    )


def _meters(kinds: Iterable[Kind]) -> int:
    return sum(kind.meters for kind in kinds)


def _kw(kinds: Iterable[Kind]) -> Decimal:
    return sum((kind.kw for kind in kinds), Decimal(0))


def needs_somebody(verdict: Verdict, *, starts_at: datetime, now: datetime) -> bool:
    """Say whether a period begins so soon that what is not ready needs a person."""
    return now < starts_at <= now + WARNED_AHEAD and verdict.state in {State.PARTLY, State.NOBODY}
