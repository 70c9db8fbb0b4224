"""Strategies A and B: what a response policy allows a device, as values, and the check of what is typed.

A answers everything. B keeps a device within limits that people, batteries and contracts have.
Source: Leap, "Dispatch Event Processing", strategies A and B.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from dispatch.domain.events import Window, to_watts

QUARTER: Final = timedelta(minutes=15)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BLACKOUT: Final = re.compile(r"(\d\d?):(\d\d)\s*[-–]\s*(\d\d?):(\d\d)((?:[ ,]+[A-Za-z]+)*)")
_MOST_BLACKOUTS: Final = 20
_QUARTERS: Final = "Give whole quarter-hours, such as {}."


class Strategy(StrEnum):
    """How a device answers."""

    RESPOND_TO_ALL = "RESPOND_TO_ALL"
    LIMITS = "LIMITS"


class InvalidPolicy(ValueError):
    """The policy cannot be; `problems` says why, by field, in sentences."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Blackout:
    """A local time of day in which nothing runs, on the weekdays on which it begins (0 is Monday)."""

    start: time
    end: time
    weekdays: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """Strategy B. `label` names the policy and its version, for reasons.

    `a_day`: time of running in a local day. `events_a_day`: runs that begin in it; touching dispatches are
    one run. `rest`: between two runs. `notice`: from hearing of an event to serving it.
    """

    label: str
    longest_run: timedelta | None = None
    a_day: timedelta | None = None
    events_a_day: int | None = None
    rest: timedelta = timedelta()
    notice: timedelta = timedelta()
    ignore_below_watts: int = 0
    blackouts: tuple[Blackout, ...] = ()

    @property
    def counts_runs(self) -> bool:
        """Say whether what ran earlier bears on what may run."""
        return bool(self.longest_run or self.a_day or self.events_a_day or self.rest)


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what one device is planned: its limits, its site's zone, and when it ran until now."""

    limits: Limits
    zone: str
    ran: tuple[Window, ...] = ()


def limits_of(content: Mapping[str, Any], *, label: str) -> Limits | None:
    """Return what a policy's checked content limits; None where everything is answered."""
    if content["strategy"] == Strategy.RESPOND_TO_ALL:
        return None
    run, hours = content["longest_run_minutes"], content["hours_a_day"]
    return Limits(
        label=label,
        longest_run=None if run is None else timedelta(minutes=run),
        a_day=None if hours is None else timedelta(minutes=int(hours * 60)),
        events_a_day=content["events_a_day"],
        rest=timedelta(minutes=content["rest_minutes"]),
        notice=timedelta(minutes=content["notice_minutes"]),
        ignore_below_watts=to_watts(content["ignore_below_kw"]),
        blackouts=read_blackouts(content["blackouts"]),
    )


def check(content: Mapping[str, Any]) -> None:
    """Refuse what makes no policy.

    Raises:
        InvalidPolicy: with a sentence for each field that is wrong.
    """
    problems: dict[str, str] = {}
    if not content["name"].strip():
        problems["name"] = "Give the policy a name."
    run, rest, hours = content["longest_run_minutes"], content["rest_minutes"], content["hours_a_day"]
    if run is not None and not (0 < run <= 1440 and run % 15 == 0):
        problems["longest_run_minutes"] = _QUARTERS.format("240") + " A day has 1,440 minutes."
    if not (0 <= rest <= 1440 and rest % 15 == 0):
        problems["rest_minutes"] = _QUARTERS.format("60") + " A day has 1,440 minutes."
    elif run is not None and rest == 0:
        problems["rest_minutes"] = (
            "A longest run needs a rest after it, or a moment's pause would begin another."
        )
    if hours is not None and not (0 < hours <= 24 and hours * 4 % 1 == 0):
        problems["hours_a_day"] = _QUARTERS.format("4 or 2.25") + " A day has 24 hours."
    if content["events_a_day"] is not None and not 0 < content["events_a_day"] <= 24:
        problems["events_a_day"] = "Give 1 to 24 events a day, or leave it empty."
    if not 0 <= content["notice_minutes"] <= 1440:
        problems["notice_minutes"] = "Give 0 to 1,440 minutes of notice."
    if not 0 <= content["ignore_below_kw"] <= 100_000:
        problems["ignore_below_kw"] = "Give 0 to 100,000 kW."
    problems |= _of_blackouts(content["blackouts"])
    if not problems:
        problems = _of_strategy(content)
    if problems:
        raise InvalidPolicy(problems)


def _of_blackouts(text: str) -> dict[str, str]:
    try:
        read_blackouts(text)
    except ValueError as wrong:
        return {"blackouts": str(wrong)}
    return {}


def _of_strategy(content: Mapping[str, Any]) -> dict[str, str]:
    """Say where the strategy and the limits contradict each other."""
    limits = limits_of({**content, "strategy": Strategy.LIMITS}, label="")
    is_empty = limits == Limits("")
    if content["strategy"] == Strategy.RESPOND_TO_ALL and not is_empty:
        return {"strategy": "Who responds to all has no limits; choose limits, or leave them empty."}
    if content["strategy"] == Strategy.LIMITS and is_empty:
        return {"strategy": "Give at least one limit, or respond to all."}
    return {}


def read_blackouts(text: str) -> tuple[Blackout, ...]:
    """Read blackouts, one a line: "22:00-06:00", or "07:00-09:00 Mon Tue" for the days they begin on.

    Raises:
        ValueError: with a sentence about the first line that is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_BLACKOUTS:
        raise ValueError(f"Give at most {_MOST_BLACKOUTS} blackouts.")
    return tuple(_blackout(line) for line in lines)


def _blackout(line: str) -> Blackout:
    found = _BLACKOUT.fullmatch(line)
    days = re.findall(r"[a-z]+", found[5].lower()) if found else []
    try:
        if not found or any(day not in _DAYS for day in days):
            raise ValueError
        start, end = time(int(found[1]), int(found[2])), time(int(found[3]) % 24, int(found[4]))
    except ValueError:
        raise ValueError(
            f"“{line}” is no blackout; write it as 22:00-06:00 or 07:00-09:00 Mon Tue."
        ) from None
    return Blackout(start, end, frozenset(_DAYS.index(day) for day in days))


def needed_notice(limits: Limits, *, heard_at: datetime | None, window: Window) -> datetime:
    """Return from when on an event may be served: its start, or once the notice has passed."""
    if heard_at is None or not limits.notice:
        return window.start
    return min(max(window.start, heard_at + limits.notice), window.end)


TEMPLATES: Final[dict[str, dict[str, Any]]] = {
    "home-battery": {
        "name": "Home battery",
        "longest_run_minutes": 240,
        "rest_minutes": 60,
        "hours_a_day": Decimal(4),
    },
    "commercial-battery": {
        "name": "Commercial battery",
        "longest_run_minutes": 240,
        "rest_minutes": 30,
        "hours_a_day": Decimal(8),
    },
    "smart-thermostat": {
        "name": "Smart thermostat",
        "longest_run_minutes": 180,
        "rest_minutes": 120,
        "hours_a_day": Decimal(4),
        "events_a_day": 2,
        "blackouts": "22:00-06:00",
    },
    "ev-charger": {"name": "EV charger", "hours_a_day": Decimal(4), "blackouts": "00:00-05:00"},
    "curtailment": {
        "name": "C&I curtailment",
        "longest_run_minutes": 240,
        "rest_minutes": 120,
        "hours_a_day": Decimal(6),
        "events_a_day": 1,
        "notice_minutes": 60,
        "ignore_below_kw": Decimal(1),
    },
    "generator": {
        "name": "Generator",
        "longest_run_minutes": 360,
        "rest_minutes": 60,
        "hours_a_day": Decimal(8),
        "notice_minutes": 15,
        "blackouts": "22:00-06:00",
    },
}
"""The common cases, to begin with."""

NOTHING: Final[dict[str, Any]] = {
    "name": "",
    "strategy": Strategy.LIMITS,
    "longest_run_minutes": None,
    "hours_a_day": None,
    "events_a_day": None,
    "rest_minutes": 0,
    "blackouts": "",
    "notice_minutes": 0,
    "ignore_below_kw": Decimal(0),
}
"""A policy before anything is said about it; its keys are the content of every policy."""
