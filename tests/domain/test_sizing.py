"""Rule 5: what storage gives when energy is short, as tables; and against every division of small cases."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.domain.consolidation import ReducedSlice
from dispatch.domain.events import Window
from dispatch.domain.overruling import Action
from dispatch.domain.terms import Battery, Beyond, Delivery, Discharge, Limits, Storage, Terms, WhenShort
from tests.domain.asks import NOW, ask, at, hours, lanes, plan_one, ruling

HOUR = timedelta(hours=1)
CASES = int(os.environ.get("BRUTE_FORCE_CASES", "2000"))
VOLUNTARY: dict[str, Any] = {"is_voluntary": True}
LOAD: dict[str, Any] = {"cap": "up-to-site-load"}
GRID: dict[str, Any] = {"cap": "grid-exports-allowed"}
SPREAD: dict[str, Any] = {"when_short": WhenShort.SPREAD}
BEYOND: dict[str, Any] = {"beyond": Beyond.UP_TO_CAP}
FIXED: dict[str, Any] = {"discharge": Discharge.FIXED}
ELRP: dict[str, Any] = {"kw": None, "programs": ("ELRP",), "rank": 3, **VOLUNTARY, **LOAD}


def terms(*, ran: tuple[tuple[float, float, int | None], ...] = (), **fields: Any) -> Terms:
    """A battery of 10 kWh, of which 2 are a reserve; nothing is known but that 10 are expected."""
    said = {name: fields.pop(name) for name in ("percent", "at") if name in fields}
    limits = fields.pop("limits", None)
    storage = Storage("Home battery v3", **{"reserve_percent": 20, "lowest_percent": 5, **fields})
    delivered = tuple(Delivery(Window(at(start), at(end)), watts) for start, end, watts in ran)
    if "percent" in said:
        said = {"percent": Decimal(said["percent"]), "at": at(said.get("at", 0))}
    battery = Battery(10_000, **said, delivered=delivered)
    return Terms(
        "UTC", limits, storage=storage, battery=battery, ran=tuple(each.window for each in delivered)
    )


def plan(events, under: Terms, **fields: Any):
    return plan_one(events, terms=under, **{"rated_watts": 10_000, "may_export": True, **fields})


def told(of) -> list[str]:
    return [f"{hours(each.window.start)}-{hours(each.window.end)} {each.reason}" for each in of.unserved]


GIVEN = {
    # policy, events, what is delivered
    "what fits is given": ({}, [ask("a", 17, 18)], ["17-18 discharge 8 a"]),
    "what does not fit stops": ({}, [ask("a", 17, 19)], ["17-18 discharge 8 a"]),
    "it stops at a whole minute": (
        {},
        [ask("a", 17, 19, "7")],
        ["17-18.1333 discharge 7 a"],
    ),  # 68 min of 68.6
    "or has less power throughout": (SPREAD, [ask("a", 17, 19)], ["17-19 discharge 4 a"]),
    "hourly awards have equal power": (
        SPREAD,
        [ask("a", 17, 18), ask("b", 18, 19), ask("c", 19, 20, "1")],
        ["17-19 discharge 3.5 a+b", "19-20 discharge 1 c"],
    ),
    "four hours of a voluntary event keep energy for a commitment after them": (
        {},
        [ask("elrp", 13, 17, "5", rank=1, **VOLUNTARY), ask("cca", 18, 19, "6", rank=2)],
        ["13-13.4 discharge 5 elrp", "18-19 discharge 6 cca"],
    ),
    "they keep it, too, where power is spread": (
        SPREAD,
        [ask("elrp", 13, 17, "5", rank=1, **VOLUNTARY), ask("cca", 18, 19, "6", rank=2)],
        ["13-17 discharge 0.5 elrp", "18-19 discharge 6 cca"],
    ),
    "a lesser commitment keeps it for a better one": (
        {},
        [ask("a", 13, 14, rank=2), ask("b", 18, 19, rank=1)],
        ["18-19 discharge 8 b"],
    ),
    "the earlier of equal ones comes first": (
        {},
        [ask("a", 13, 14, "6"), ask("b", 18, 19, "6")],
        ["13-14 discharge 6 a", "18-18.3333 discharge 6 b"],
    ),
    "what is recharged between need not be kept": (
        {"recharge": 9.5 * HOUR},  # 1 kW
        [ask("elrp", 10, 11, **VOLUNTARY), ask("cca", 13, 14, "2")],
        ["10-11 discharge 8 elrp", "13-14 discharge 2 cca"],
    ),
    "but what is not recharged in time": (
        {"recharge": 9.5 * HOUR},
        [ask("elrp", 10, 11, **VOLUNTARY), ask("cca", 13, 14, "6")],
        ["10-10.5 discharge 8 elrp", "13-14 discharge 6 cca"],
    ),
    "two events of a day, recharged": (
        {"recharge": 9.5 * HOUR},
        [ask("a", 7, 8), ask("b", 16, 17)],
        ["7-8 discharge 8 a", "16-17 discharge 8 b"],
    ),
    "an event's time is none to recharge in": (
        {"recharge": 9.5 * HOUR},
        [ask("a", 7, 15), ask("b", 16, 17)],
        ["7-8 discharge 8 a", "16-16.1167 discharge 8 b"],
    ),
    "it recharges up to the highest": (
        {"recharge": 5 * HOUR, "highest_percent": 60, "expected_percent": 30},
        [ask("a", 17, 19, "4")],
        ["17-18 discharge 4 a"],
    ),
    "an unknown charge is the expected one": (
        {"expected_percent": 60},
        [ask("a", 17, 19, "4")],
        ["17-18 discharge 4 a"],
    ),
    "what is said counts": ({"percent": 40}, [ask("a", 17, 19, "4")], ["17-17.5 discharge 4 a"]),
    "what was said the day before yesterday does not": (
        {"percent": 40, "at": -25},
        [ask("a", 17, 19, "4")],
        ["17-19 discharge 4 a"],
    ),
    "below the reserve there is nothing": ({"percent": 15}, [ask("a", 17, 18)], []),
    "a maximum follows the site's load": ({}, [ask("e", 17, 17.5, **ELRP)], ["17-17.5 discharge max e"]),
    "which may be known to take little": (
        {"expected_load_watts": 2000},
        [ask("e", 17, 21, **ELRP)],
        ["17-21 discharge max e"],
    ),
    "and where energy is short it follows it for a time": (
        {"expected_load_watts": 4000},
        [ask("e", 17, 21, **ELRP)],
        ["17-19 discharge max e"],
    ),
    "or has a number": (
        {"expected_load_watts": 4000, **SPREAD},
        [ask("e", 17, 21, **ELRP)],
        ["17-21 discharge 2 e"],
    ),
    "a fixed maximum is the load that is known": (
        {"expected_load_watts": 2000, **FIXED},
        [ask("e", 17, 21, **ELRP)],
        ["17-21 discharge 2 e"],
    ),
    "else the rated power": (FIXED, [ask("e", 17, 17.5, **ELRP)], ["17-17.5 discharge 10 e"]),
    "a maximum that may export is the rated power": (
        {},
        [ask("e", 17, 17.5, **{**ELRP, **GRID})],
        ["17-17.5 export 10 e"],
    ),
    "a policy that does not export follows the load": (
        {"may_export": False},
        [ask("e", 17, 17.5, **{**ELRP, **GRID})],
        ["17-17.5 discharge max e"],
    ),
    "within a maximum a commitment keeps its number": (
        {},
        [ask("elrp", 17, 19, None, rank=1, **VOLUNTARY, **GRID), ask("cca", 17, 19, "3", rank=2)],
        ["17-17.2833 export 10 elrp+cca", "17.2833-19 export 3 elrp+cca"],
    ),
    "beyond the award up to exports": (
        BEYOND,
        [ask("a", 17, 17.5, "6", **GRID)],
        ["17-17.5 export 10 a"],
    ),
    "first, and then the award": (
        BEYOND,
        [ask("a", 17, 18, "6", **GRID)],
        ["17-17.5 export 10 a", "17.5-18 export 6 a"],
    ),
    "or more throughout": (BEYOND | SPREAD, [ask("a", 17, 18, "6", **GRID)], ["17-18 export 8 a"]),
    "beyond the award up to the site's load": (
        BEYOND | {"expected_load_watts": 7000},
        [ask("a", 17, 18, "6", **LOAD)],
        ["17-18 discharge max a"],
    ),
    "as a number where that is fixed": (
        BEYOND | FIXED | {"expected_load_watts": 7000},
        [ask("a", 17, 18, "6", **LOAD)],
        ["17-18 discharge 7 a"],
    ),
    "not where the load is not known": (
        BEYOND | FIXED,
        [ask("a", 17, 18, "6", **LOAD)],
        ["17-18 discharge 6 a"],
    ),
    "nor where it takes less": (
        BEYOND | {"expected_load_watts": 3000},
        [ask("a", 17, 18, "6", **LOAD)],
        ["17-18 discharge 6 a"],
    ),
    "beyond the award up to the nomination": (
        BEYOND,
        [ask("a", 17, 18, "6", nomination_kw=Decimal(7))],
        ["17-18 discharge 7 a"],
    ),
    "not beyond it": (
        BEYOND,
        [ask("a", 17, 18, "6", nomination_kw=Decimal(6))],
        ["17-18 discharge 6 a"],
    ),
    "nor where it is not known": (BEYOND, [ask("a", 17, 18, "6")], ["17-18 discharge 6 a"]),
    "beyond comes after everything that is asked": (
        BEYOND,
        [ask("a", 13, 14, "3", **GRID), ask("e", 17, 18, "4", rank=9, **VOLUNTARY)],
        ["13-13.1333 export 10 a", "13.1333-14 export 3 a", "17-18 discharge 4 e"],
    ),
    "beyond a commitment comes before beyond a voluntary event": (
        BEYOND | {"percent": 90},
        [ask("e", 13, 14, "2", rank=1, **VOLUNTARY, **GRID), ask("a", 17, 18, "4", rank=2, **GRID)],
        ["13-14 export 2 e", "17-17.1667 export 10 a", "17.1667-18 export 4 a"],
    ),
}


@pytest.mark.parametrize(("policy", "events", "expected"), GIVEN.values(), ids=GIVEN.keys())
def test_energy_goes_where_it_is_worth_most(policy, events, expected):
    assert rounded(lanes(plan(events, terms(**policy)))) == expected


def rounded(lines: list[str]) -> list[str]:
    """Hours to four places."""
    short = []
    for line in lines:
        window, rest = line.split(" ", 1)
        start, end = window.split("-")
        short.append(f"{float(start):.6g}-{float(end):.6g} {rest}")
    return short
