"""Policies for the common cases, to begin with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from dispatch.domain.terms import Beyond, Discharge, Voluntary, WhenShort

TEMPLATES: Final[dict[str, dict[str, Any]]] = {
    "home-battery": {
        "name": "Home battery",
        "plans_energy": True,
        "reserve_percent": 20,
        "lowest_percent": 5,
        "recharge_minutes": 480,
        "discharge": Discharge.FOLLOW_LOAD,
        "beyond_award": Beyond.UP_TO_CAP,
        "when_short": WhenShort.SPREAD,
        "voluntary": Voluntary.SKIP,
        "below_charge_percent": 40,
    },
    "commercial-battery": {
        "name": "Commercial battery",
        "hours_a_day": Decimal(8),
        "plans_energy": True,
        "reserve_percent": 10,
        "lowest_percent": 5,
        "highest_percent": 95,
        "recharge_minutes": 300,
        "discharge": Discharge.FIXED,
        "beyond_award": Beyond.UP_TO_CAP,
    },
    "smart-thermostat": {
        "name": "Smart thermostat",
        "longest_run_minutes": 180,
        "rest_minutes": 120,
        "hours_a_day": Decimal(4),
        "events_a_day": 2,
        "blackouts": "22:00-06:00",
        "precondition_minutes": 60,
        "recovery_minutes": 30,
    },
    "ev-charger": {
        "name": "EV charger",
        "hours_a_day": Decimal(4),
        "blackouts": "00:00-05:00",
        "voluntary": Voluntary.REDUCE,
        "keep_percent": 50,
        "voluntary_hours": "17:00-20:00 Mon Tue Wed Thu Fri",
    },
    "curtailment": {
        "name": "C&I curtailment",
        "longest_run_minutes": 240,
        "rest_minutes": 120,
        "hours_a_day": Decimal(6),
        "events_a_day": 1,
        "notice_minutes": 60,
        "ignore_below_kw": Decimal(1),
        "ramp_minutes": 15,
        "recovery_minutes": 15,
    },
    "generator": {
        "name": "Generator",
        "longest_run_minutes": 360,
        "rest_minutes": 60,
        "hours_a_day": Decimal(8),
        "notice_minutes": 15,
        "blackouts": "22:00-06:00",
        "ramp_minutes": 5,
    },
}
