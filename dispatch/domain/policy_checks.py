"""The check of what is typed as a response policy: each rule a sentence at the field it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dispatch.domain.policies import FLEXIBILITY, STORAGE, read_hours, says
from dispatch.domain.terms import Beyond, Discharge, Voluntary, WhenShort

Problems = dict[str, str]
_QUARTERS: Final = "Give whole quarter-hours, such as {}. A day has 1,440 minutes."
_PERCENT: Final = "Give 0 to 100 percent."
_CHOICES: Final = {
    "discharge": Discharge,
    "beyond_award": Beyond,
    "when_short": WhenShort,
    "voluntary": Voluntary,
}


class InvalidPolicy(ValueError):
    """The policy cannot be; `problems` says why, by field, in sentences."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def check(content: Mapping[str, Any]) -> None:
    """Refuse what makes no policy.

    Raises:
        InvalidPolicy: with a sentence for each field that is wrong.
    """
    problems: Problems = {}
    for part in (_of_name, _of_runs, _of_day, _of_hours, _of_choices, _of_charge, _of_voluntary, _of_shape):
        problems |= part(content)
    if problems:
        raise InvalidPolicy(problems)


def _of_name(content: Mapping[str, Any]) -> Problems:
    return {} if content["name"].strip() else {"name": "Give the policy a name."}


def _of_runs(content: Mapping[str, Any]) -> Problems:
    problems: Problems = {}
    run, rest = content["longest_run_minutes"], content["rest_minutes"]
    if run is not None and not (0 < run <= 1440 and run % 15 == 0):
        problems["longest_run_minutes"] = _QUARTERS.format("240")
    if not (0 <= rest <= 1440 and rest % 15 == 0):
        problems["rest_minutes"] = _QUARTERS.format("60")
    elif run is not None and rest == 0:
        problems["rest_minutes"] = (
            "A longest run needs a rest after it, or a moment's pause would begin another."
        )
    return problems


def _of_day(content: Mapping[str, Any]) -> Problems:
    problems: Problems = {}
    hours, events = content["hours_a_day"], content["events_a_day"]
    if hours is not None and not (0 < hours <= 24 and hours * 4 % 1 == 0):
        problems["hours_a_day"] = "Give whole quarter-hours, such as 4 or 2.25. A day has 24 hours."
    if events is not None and not 0 < events <= 24:
        problems["events_a_day"] = "Give 1 to 24 events a day, or leave it empty."
    if not 0 <= content["notice_minutes"] <= 1440:
        problems["notice_minutes"] = "Give 0 to 1,440 minutes of notice."
    if not 0 <= content["ignore_below_kw"] <= 100_000:
        problems["ignore_below_kw"] = "Give 0 to 100,000 kW."
    return problems


def _of_hours(content: Mapping[str, Any]) -> Problems:
    return {
        field: wrong
        for field in ("blackouts", "voluntary_hours")
        if (wrong := _why(read_hours, content[field]))
    }


def _of_choices(content: Mapping[str, Any]) -> Problems:
    return {
        field: f"Choose one of {', '.join(choices)}."
        for field, choices in _CHOICES.items()
        if content[field] not in list(choices)
    }


def _why(read: Callable[[str], object], text: str) -> str:
    try:
        read(text)
    except ValueError as wrong:
        return str(wrong)
    return ""


def _of_charge(content: Mapping[str, Any]) -> Problems:
    """Say what of strategy C cannot be."""
    if not content["plans_energy"]:
        typed = says(content, STORAGE)
        return {"plans_energy": "These fields count only where energy is planned."} if typed else {}
    lowest, reserve, highest = (content[f"{name}_percent"] for name in ("lowest", "reserve", "highest"))
    expected, recharge, load_kw = (
        content[name] for name in ("expected_percent", "recharge_minutes", "expected_load_kw")
    )
    problems: Problems = {}
    if not 0 <= lowest <= 100:
        problems["lowest_percent"] = _PERCENT
    if not lowest <= reserve <= 100:
        problems["reserve_percent"] = "Give a reserve from the lowest state of charge to 100 percent."
    if not max(lowest, reserve) < highest <= 100:
        problems["highest_percent"] = "Give more than the reserve and the lowest, and at most 100 percent."
    if expected is not None and not lowest <= expected <= highest:
        problems["expected_percent"] = "Give a state of charge between the lowest and the highest."
    if recharge is not None and not 0 < recharge <= 2880:
        problems["recharge_minutes"] = "Give 1 to 2,880 minutes, or leave it empty."
    if load_kw is not None and not 0 < load_kw <= 100_000:
        problems["expected_load_kw"] = "Give more than 0 and at most 100,000 kW, or leave it empty."
    return problems


def _of_voluntary(content: Mapping[str, Any]) -> Problems:
    """Say what of strategy D cannot be."""
    action, keep = content["voluntary"], content["keep_percent"]
    below, price = content["below_charge_percent"], content["comfort_price"]
    if action == Voluntary.SERVE and says(content, FLEXIBILITY):
        return {"voluntary": "Say whether voluntary events are skipped or reduced then."}
    problems: Problems = {}
    if action == Voluntary.REDUCE and not (keep and 0 < keep < 100):
        problems["keep_percent"] = "Give the percent of the power that is left: 1 to 99."
    if action == Voluntary.SKIP and keep:
        problems["keep_percent"] = "What is skipped keeps nothing; reduce it, or leave this empty."
    if below is not None and not 0 < below <= 100:
        problems["below_charge_percent"] = "Give 1 to 100 percent, or leave it empty."
    if price is not None and not 0 < price <= 1000:
        problems["comfort_price"] = "Give more than 0 and at most 1,000 dollars per kWh, or leave it empty."
    return problems


def _of_shape(content: Mapping[str, Any]) -> Problems:
    most = {"ramp_minutes": 60, "precondition_minutes": 240, "recovery_minutes": 240}
    return {
        field: f"Give 0 to {minutes} minutes."
        for field, minutes in most.items()
        if not 0 <= content[field] <= minutes
    }
