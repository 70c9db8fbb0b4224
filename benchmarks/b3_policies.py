"""B3 policies: the fleet of B3 under response policies and overlaps, in the pure core, with reasons.

Of four devices one has no policy, the others those of home batteries, commercial batteries and thermostats,
and ran an hour before. Reference: B3's
sweep of each device by itself, then the hours of a day given first come, first served: no rest, no best
choice, no reasons. And 10,000 batteries under each of two policies, each with a charge of its own, so that no
two share a plan.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from benchmarks.b3_planning import DEVICES, NOW, fleet, sweep_all
from benchmarks.harness import best_of, report, seconds
from dispatch.domain.events import Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.policies import NOTHING, policy_of
from dispatch.domain.policy_templates import TEMPLATES
from dispatch.domain.terms import Battery, Delivery, Terms

HOUR = timedelta(hours=1)
ZONES = ("America/Los_Angeles", "America/New_York")


def limited_fleet() -> Fleet:
    """Three quarters of the devices have limits, in two zones, with one of six pasts."""
    of = fleet()
    kinds = [
        policy_of({**NOTHING, **TEMPLATES[key]}, label=f"{TEMPLATES[key]['name']} v1")
        for key in ("home-battery", "commercial-battery", "smart-thermostat")
    ]
    terms = {}
    for number in of.devices:
        policy = ([*kinds, None])[number % 4]
        if policy is not None:
            began = NOW - (2 + number % 6) * HOUR
            ran = Window(began, began + HOUR)
            terms[number] = Terms(
                ZONES[number % 8 // 4],
                limits=policy.limits,
                storage=policy.storage,
                flexibility=policy.flexibility,
                shape=policy.shape,
                battery=_battery(of.devices[number].rated_watts, ran=ran) if policy.storage else None,
                ran=(ran,),
            )
    return replace(of, terms=terms)


def _battery(rated_watts: int, *, ran: Window) -> Battery:
    """Two hours of power, a quarter of which was delivered."""
    return Battery(2 * rated_watts, delivered=(Delivery(ran, rated_watts // 2),))


def charged_fleet(key: str) -> Fleet:
    """Every device is a battery under one template, and said an hour ago what it holds: 10 to 100 percent."""
    of = fleet()
    policy = policy_of({**NOTHING, **TEMPLATES[key]}, label=f"{TEMPLATES[key]['name']} v1")
    terms = {}
    for place, (number, traits) in enumerate(of.devices.items()):
        percent = 10 + Decimal(90 * place) / DEVICES
        terms[number] = Terms(
            ZONES[0],
            limits=policy.limits,
            storage=policy.storage,
            flexibility=policy.flexibility,
            battery=Battery(2 * traits.rated_watts, percent, NOW - HOUR),
            charge_percent=percent if policy.flexibility else None,
        )
    batteries = {number: replace(traits, is_storage=True) for number, traits in of.devices.items()}
    return replace(of, devices=batteries, terms=terms)


Segment = tuple[datetime, datetime, float]


def first_come(segments: list[Segment], *, terms: Terms | None) -> list[Segment]:
    """Keep a device's segments until the hours of the local day are used up."""
    if terms is None or terms.limits is None or terms.limits.a_day is None:
        return segments
    zone, used, kept = ZoneInfo(terms.zone), defaultdict[date, timedelta](timedelta), []
    for window in terms.ran:
        used[window.start.astimezone(zone).date()] += window.end - window.start
    for start, end, kw in segments:
        day = start.astimezone(zone).date()
        length = min(end - start, terms.limits.a_day - used[day])
        if length > timedelta():
            used[day] += length
            kept.append((start, start + length, kw))
    return kept


def sweep_limited(of: Fleet) -> list[list[Segment]]:
    """The reference."""
    return [
        first_come(segments, terms=of.terms.get(number))
        for number, segments in zip(of.devices, sweep_all(of), strict=True)
    ]


def main() -> None:
    """Measure both, best of three."""
    of = limited_fleet()
    result = plan_fleet(of, device_ids=list(of.devices), now=NOW)
    portal = best_of(3, lambda: plan_fleet(of, device_ids=list(of.devices), now=NOW))
    reference = best_of(3, lambda: sweep_limited(of))
    report(
        "B3 policies",
        portal=portal,
        reference=reference,
        unit="s",
        slots_per_second=int(DEVICES * 24 / portal),
        distinct=len({id(plan) for plan in result.plans.values()}),
        dropped=sum(len(plan.unserved) for plan in result.plans.values()),
    )
    for key in ("home-battery", "commercial-battery"):
        charged = charged_fleet(key)
        took, plan = seconds(partial(plan_fleet, charged, device_ids=list(charged.devices), now=NOW))
        report(
            f"B3 {key}",
            portal=took,
            reference=best_of(3, partial(sweep_limited, charged)),
            unit="s",
            distinct=len({id(each) for each in plan.plans.values()}),
        )


if __name__ == "__main__":
    main()
