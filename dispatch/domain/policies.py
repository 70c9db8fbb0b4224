"""What a response policy says: its content as it is typed and stored, read into what planning counts by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta
from decimal import Decimal
from typing import Any, Final

from dispatch.domain.events import to_watts
from dispatch.domain.terms import (
    Beyond,
    Discharge,
    Flexibility,
    Hours,
    Limits,
    Policy,
    Shape,
    Storage,
    Voluntary,
    WhenShort,
)

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(r"(\d\d?):(\d\d)\s*[-–]\s*(\d\d?):(\d\d)((?:[ ,]+[A-Za-z]+)*)")
_MOST_LINES: Final = 20

LIMITS: Final[dict[str, Any]] = {
    "longest_run_minutes": None,
    "rest_minutes": 0,
    "hours_a_day": None,
    "events_a_day": None,
    "blackouts": "",
    "notice_minutes": 0,
    "ignore_below_kw": Decimal(0),
}
STORAGE: Final[dict[str, Any]] = {
    "plans_energy": False,
    "reserve_percent": 0,
    "lowest_percent": 0,
    "highest_percent": 100,
    "expected_percent": None,
    "recharge_minutes": None,
    "may_export": True,
    "discharge": Discharge.FOLLOW_LOAD,
    "expected_load_kw": None,
    "beyond_award": Beyond.NOTHING,
    "when_short": WhenShort.STOP,
}
FLEXIBILITY: Final[dict[str, Any]] = {
    "voluntary": Voluntary.SERVE,
    "keep_percent": None,
    "below_charge_percent": None,
    "voluntary_hours": "",
    "comfort_price": None,
}
SHAPE: Final[dict[str, Any]] = {"ramp_minutes": 0, "precondition_minutes": 0, "recovery_minutes": 0}

NOTHING: Final[dict[str, Any]] = {"name": "", **LIMITS, **STORAGE, **FLEXIBILITY, **SHAPE}
"""A policy before anything is said about it; its keys are the content of every policy."""


def policy_of(content: Mapping[str, Any], *, label: str) -> Policy:
    """Return what a policy's checked content says; a part about which it says nothing is None."""
    return Policy(
        limits=_limits(content, label=label) if says(content, LIMITS) else None,
        storage=_storage(content, label=label) if content["plans_energy"] else None,
        flexibility=_flexibility(content, label=label) if content["voluntary"] != Voluntary.SERVE else None,
        shape=_shape(content, label=label) if says(content, SHAPE) else None,
    )


def says(content: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Say whether a policy says anything in one of its parts."""
    return any(content[key] != nothing for key, nothing in part.items())


def _limits(content: Mapping[str, Any], *, label: str) -> Limits:
    run, hours = content["longest_run_minutes"], content["hours_a_day"]
    return Limits(
        label=label,
        longest_run=_minutes(run) if run else None,
        a_day=None if hours is None else _minutes(int(hours * 60)),
        events_a_day=content["events_a_day"],
        rest=_minutes(content["rest_minutes"]),
        notice=_minutes(content["notice_minutes"]),
        ignore_below_watts=to_watts(content["ignore_below_kw"]),
        blackouts=read_hours(content["blackouts"]),
    )


def _storage(content: Mapping[str, Any], *, label: str) -> Storage:
    recharge, expected = content["recharge_minutes"], content["expected_percent"]
    load_kw = content["expected_load_kw"]
    return Storage(
        label=label,
        reserve_percent=content["reserve_percent"],
        lowest_percent=content["lowest_percent"],
        highest_percent=content["highest_percent"],
        expected_percent=content["highest_percent"] if expected is None else expected,
        recharge=None if recharge is None else _minutes(recharge),
        may_export=content["may_export"],
        discharge=Discharge(content["discharge"]),
        expected_load_watts=None if load_kw is None else to_watts(load_kw),
        beyond=Beyond(content["beyond_award"]),
        when_short=WhenShort(content["when_short"]),
    )


def _flexibility(content: Mapping[str, Any], *, label: str) -> Flexibility:
    price = content["comfort_price"]
    return Flexibility(
        label=label,
        action=Voluntary(content["voluntary"]),
        keep_percent=content["keep_percent"] or 0,
        below_percent=content["below_charge_percent"],
        hours=read_hours(content["voluntary_hours"]),
        comfort_price=None if price is None else int(price * 100),
    )


def _shape(content: Mapping[str, Any], *, label: str) -> Shape:
    return Shape(
        label=label,
        ramp=_minutes(content["ramp_minutes"]),
        precondition=_minutes(content["precondition_minutes"]),
        recovery=_minutes(content["recovery_minutes"]),
    )


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def read_hours(text: str) -> tuple[Hours, ...]:
    """Read times of day, one a line: "22:00-06:00", or "07:00-09:00 Mon Tue" for the days they begin on.

    Raises:
        ValueError: with a sentence about the first line that is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_LINES:
        raise ValueError(f"Give at most {_MOST_LINES} times of day.")
    return tuple(_hours(line) for line in lines)


def _hours(line: str) -> Hours:
    found = _HOURS.fullmatch(line)
    days = re.findall(r"[a-z]+", found[5].lower()) if found else []
    try:
        if not found or any(day not in _DAYS for day in days):
            raise ValueError
        start, end = time(int(found[1]), int(found[2])), time(int(found[3]) % 24, int(found[4]))
    except ValueError:
        raise ValueError(
            f"“{line}” is no time of day; write it as 22:00-06:00 or 07:00-09:00 Mon Tue."
        ) from None
    return Hours(start, end, frozenset(_DAYS.index(day) for day in days))
