"""B3: 10,000 devices × 24 hourly slots with overlaps and reasons, in the pure core.

Reference: a heap sweep of thirty lines that plans each device by itself and gives no reasons. `distinct`: no
two devices have the same rated power, so that there is a plan for nearly each; five slots.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import heappop, heappush
from itertools import pairwise

from benchmarks.harness import best_of, report
from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts

DEVICES = 10_000
NOW = datetime(2026, 7, 20, 12, tzinfo=UTC)
DAY = datetime(2026, 7, 21, tzinfo=UTC)


def event(number: int, start: int, end: int, kw: int | None, *, rank: int, recipients: int = 1) -> Event:
    """An event of some hours of the day."""
    return Event(
        event_id=number,
        leap_event_id=f"event-{number:03}",
        recipients=recipients,
        window=Window(DAY + timedelta(hours=start), DAY + timedelta(hours=end)),
        energy_kw=None if kw is None else Decimal(kw),
        nomination_kw=None,
        rank=rank,
        is_voluntary=kw is None,
        cap="grid-exports-allowed" if kw is None else "up-to-site-load",
    )


def fleet() -> Fleet:
    """Awards for every hour, each with a power of its own, and three longer events across them."""
    meters = {f"m{n:05}": MeterFacts(f"m{n:05}", (n,)) for n in range(DEVICES)}
    devices = {n: Traits(rated_watts=1_000 * (3 + n % 20), is_storage=n % 3 == 0) for n in range(DEVICES)}
    awards = [event(hour, hour, hour + 1, 30_000 + 137 * hour, rank=2) for hour in range(24)]
    longer = [
        event(100, 16, 20, None, rank=3),
        event(101, 17, 19, 45_000, rank=1),
        event(102, 18, 21, 20_000, rank=4, recipients=2),
    ]
    names = sorted(meters)
    return Fleet(awards + longer, {1: names, 2: names[::2]}, meters, devices)


def distinct_fleet() -> Fleet:
    """Five awards in a row, and no two devices of the same rated power: hardly two plans are equal."""
    meters = {f"m{n:05}": MeterFacts(f"m{n:05}", (n,)) for n in range(DEVICES)}
    devices = {n: Traits(rated_watts=3_000 + n, is_storage=n % 3 == 0) for n in range(DEVICES)}
    awards = [event(hour, 16 + hour, 17 + hour, 30_000 + 137 * hour, rank=2) for hour in range(5)]
    return Fleet(awards, {1: sorted(meters), 2: []}, meters, devices)


Ask = tuple[datetime, datetime, int, float]


def sweep(asks: list[Ask]) -> list[tuple[datetime, datetime, float]]:
    """Return the segments of one device: at every bound the largest request on a heap wins."""
    bounds = sorted({time for start, end, _, _ in asks for time in (start, end)})
    waiting = sorted(asks, reverse=True)
    heap: list[tuple[float, int, datetime]] = []
    segments: list[tuple[datetime, datetime, float]] = []
    for start, end in pairwise(bounds):
        while waiting and waiting[-1][0] <= start:
            _, until, rank, kw = waiting.pop()
            heappush(heap, (-kw, rank, until))
        while heap and heap[0][2] <= start:
            heappop(heap)
        if not heap:
            continue
        kw = -heap[0][0]
        if segments and segments[-1][1] == start and segments[-1][2] == kw:
            segments[-1] = (segments[-1][0], end, kw)
        else:
            segments.append((start, end, kw))
    return segments


def sweep_all(of: Fleet) -> list[list[tuple[datetime, datetime, float]]]:
    """Share every event by rated power, and sweep device by device."""
    total = {1: 0, 2: 0}
    for number, names in of.recipients.items():
        total[number] = sum(of.devices[of.meters[name].device_ids[0]].rated_watts for name in names)
    everyone = set(of.recipients[2])
    plans = []
    for name, meter in of.meters.items():
        rated = of.devices[meter.device_ids[0]].rated_watts
        asks = [
            (
                each.window.start,
                each.window.end,
                each.rank,
                rated if each.energy_kw is None else float(each.energy_kw) * rated / total[each.recipients],
            )
            for each in of.events
            if each.recipients == 1 or name in everyone
        ]
        plans.append(sweep(asks))
    return plans


def measure(name: str, of: Fleet, *, slots: int) -> None:
    """Measure planning and the sweep, best of three."""
    result = plan_fleet(of, device_ids=list(of.devices), now=NOW)
    portal = best_of(3, lambda: plan_fleet(of, device_ids=list(of.devices), now=NOW))
    reference = best_of(3, lambda: sweep_all(of))
    distinct = len({id(plan) for plan in result.plans.values()})
    report(
        name,
        portal=portal,
        reference=reference,
        unit="s",
        slots_per_second=int(slots / portal),
        distinct=distinct,
    )


if __name__ == "__main__":
    measure("B3", fleet(), slots=DEVICES * 24)
    measure("B3 distinct", distinct_fleet(), slots=DEVICES * 5)
