"""Values for planning tests: hours of one evening, small events, one device."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.plans import DevicePlan, Traits
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import Terms

MIDNIGHT = datetime(2026, 7, 21, tzinfo=UTC)
NOW = MIDNIGHT


def at(hours: float) -> datetime:
    """A time on the evening of the tests."""
    return MIDNIGHT + timedelta(hours=hours)


def ask(
    name: str, start: float, end: float, kw: str | None = "8", *, rank: int = 1, **fields: object
) -> Event:
    """An event whose number and name go together."""
    values: dict[str, object] = {
        "event_id": int.from_bytes(name.encode()),
        "leap_event_id": name,
        "recipients": 1,
        "window": Window(at(start), at(end)),
        "energy_kw": None if kw is None else Decimal(kw),
        "nomination_kw": None,
        "rank": rank,
        "is_voluntary": False,
        "cap": "up-to-nomination",
    }
    return Event(**{**values, **fields})  # type: ignore[arg-type]


def ruling(action: Action, start: float, end: float, *, watts: int | None = None, **fields: object) -> Ruling:
    """An override by ana."""
    values = {"override_id": 1, "who": "ana", "why": "maintenance", "watts": watts, **fields}
    return Ruling(action=action, window=Window(at(start), at(end)), **values)  # type: ignore[arg-type]


def plan_one(
    events: Iterable[Event],
    *,
    rulings: tuple[Ruling, ...] = (),
    meter: dict[str, object] | None = None,
    terms: Terms | None = None,
    now: datetime = NOW,
    **traits: object,
) -> DevicePlan:
    """Plan a battery of 100 kW behind one meter."""
    device = Traits(**{"rated_watts": 100_000, "is_storage": True, **traits})  # type: ignore[arg-type]
    meters = {"m1": MeterFacts("m1", (1,), **(meter or {}))}  # type: ignore[arg-type]
    under = {1: terms} if terms else {}
    fleet = Fleet(tuple(events), {1: ["m1"]}, meters, {1: device}, {1: rulings}, terms=under)
    return plan_fleet(fleet, device_ids=[1], now=now).plans[1]


def lanes(plan: DevicePlan) -> list[str]:
    """The segments as short lines: hours, mode, kW, the events served."""
    return [
        " ".join(
            [
                f"{hours(each.start)}-{hours(each.end)}",
                each.mode.lower(),
                "max" if each.target_kw is None else f"{each.target_kw.normalize():f}",
                *(["+".join(each.leap_event_ids)] if each.leap_event_ids else []),
            ]
        )
        for each in plan.segments
    ]


def hours(time: datetime) -> str:
    return f"{(time - MIDNIGHT).total_seconds() / 3600:g}"
