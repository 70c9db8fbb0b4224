"""Who answers for a set of recipients, who of them is out, and how an event's power is shared (rule 7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from dispatch.domain.allocation import Allocation, Claim, Spreader, spread
from dispatch.domain.consolidation import Traits
from dispatch.domain.events import MAXIMUM, Event, Window, asked_watts
from dispatch.domain.levels import Shade, Shades, common_shades
from dispatch.domain.overruling import Ruling, stops


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """A meter known to the portal. `refusal`: why it is not dispatchable, empty when it is."""

    meter_id: str
    device_ids: tuple[int, ...]
    nomination_watts: int | None = None
    refusal: str = ""
    armed_until: datetime | None = None


class Roster:
    """Who answers for a set of recipients: each device once, behind its first dispatchable meter.

    A device behind two meters of the set counts with one of them, so that its power is not promised
    twice. `device_ids` is in the order of the shares.
    """

    def __init__(
        self,
        meter_ids: Sequence[str],
        *,
        meters: Mapping[str, MeterFacts],
        devices: Mapping[int, Traits],
        rulings: Mapping[int, tuple[Ruling, ...]],
    ) -> None:
        """Find the devices of the meters, in order of meter id."""
        known = [meters[meter_id] for meter_id in sorted(meter_ids) if meter_id in meters]
        self.unmapped = len(meter_ids) - sum(1 for meter in known if meter.device_ids)
        self._homes: list[tuple[MeterFacts, tuple[int, ...]]] = []
        self._devices = devices
        self.armed_until: dict[int, datetime] = {}
        homed: set[int] = set()
        for meter in known:
            if meter.refusal:
                continue
            device_ids = tuple([device_id for device_id in meter.device_ids if device_id not in homed])
            homed.update(device_ids)
            self._homes.append((meter, device_ids))
            self._arm(meter)
        self.device_ids = [device_id for _, device_ids in self._homes for device_id in device_ids]
        self.refusals = {
            device_id: meter.refusal
            for meter in reversed(known)
            for device_id in meter.device_ids
            if device_id not in homed
        }
        self._ruled: defaultdict[tuple[Ruling, ...], list[int]] = defaultdict(list)
        for device_id in self.device_ids:
            if mine := rulings.get(device_id):
                self._ruled[mine].append(device_id)
        self._latest: tuple[frozenset[int], _Crew] | None = None
        self._whole: dict[int, tuple[Sequence[int], int]] = {}

    def _arm(self, meter: MeterFacts) -> None:
        """Note how long a device may move for an integration test: as long as any of its meters."""
        if meter.armed_until is None:
            return
        for device_id in meter.device_ids:
            self.armed_until[device_id] = max(
                self.armed_until.get(device_id, meter.armed_until), meter.armed_until
            )

    def shaded(self, events: Sequence[Event], shades: Shades) -> dict[int, tuple[tuple[Shade, ...], ...]]:
        """Return the shades of devices that have any, by event; all dispatchable meters must be shaded."""
        if not any(event.event_id in shades for event in events):
            return {}
        meters_of: defaultdict[int, list[str]] = defaultdict(list)
        for meter, _ in self._homes:
            for device_id in meter.device_ids:
                meters_of[device_id].append(meter.meter_id)
        of_events = [shades.get(event.event_id, {}) for event in events]
        return {
            device_id: mine
            for device_id, meter_ids in meters_of.items()
            if any(
                mine := tuple(
                    [common_shades([each.get(meter_id, ()) for meter_id in meter_ids]) for each in of_events]
                )
            )
        }

    def slices(self, event: Event) -> list[tuple[Window, frozenset[int]]]:
        """Cut an event where people's rulings stop or free devices, each slice with those who are out.

        As many devices are ruled alike, the cost follows the number of distinct rulings.
        """
        if asked_watts(event) is MAXIMUM:
            return [(event.window, frozenset())]
        out = [
            (window, device_ids)
            for rulings, device_ids in self._ruled.items()
            for ruling in rulings
            if stops(ruling, event) and (window := _inside(ruling.window, event.window))
        ]
        turns = {event.window.start, event.window.end}
        turns.update(moment for window, _ in out for moment in (window.start, window.end))
        return [
            (
                Window(start, end),
                frozenset().union(*(ids for window, ids in out if window.start <= start < window.end)),
            )
            for start, end in pairwise(sorted(turns))
        ]

    def allocate(
        self, total: int | None, *, out: frozenset[int] = frozenset()
    ) -> tuple[Sequence[int | None], int | None]:
        """Return the devices' shares of an event's power, and what is short of it.

        Those who are `out` give nothing, and the others give it for them. Their own share is what they
        would have given: that is what they leave undone.
        """
        if total is MAXIMUM:
            return [MAXIMUM] * len(self.device_ids), None
        if total not in self._whole:
            self._whole[total] = self._everyone.allocate(total)
        if not out:
            return self._whole[total]
        shares, shortfall = self._crew(out).allocate(total)
        forgone = self._whole[total][0]
        return [
            forgone[place] if device_id in out else shares[place]
            for place, device_id in enumerate(self.device_ids)
        ], shortfall

    @cached_property
    def _everyone(self) -> _Crew:
        return self._crew_without(frozenset())

    def _crew(self, out: frozenset[int]) -> _Crew:
        """Return who gives while some are out; only the latest is kept, as there may be many."""
        if self._latest is None or self._latest[0] != out:
            self._latest = (out, self._crew_without(out))
        return self._latest[1]

    def _crew_without(self, out: frozenset[int]) -> _Crew:
        rated = {
            device_id: 0 if device_id in out else self._devices[device_id].rated_watts
            for device_id in self.device_ids
        }
        return _Crew(self._homes, rated=rated)


class _Crew:
    """Those of a roster who can give, the others at 0 W, as claims by which power is spread."""

    def __init__(
        self, homes: Sequence[tuple[MeterFacts, tuple[int, ...]]], *, rated: Mapping[int, int]
    ) -> None:
        """Make the devices' claims, by rated power; and the meters', by nomination or rated power."""
        claims = {device_id: Claim(watts, watts) for device_id, watts in rated.items()}
        self._claims = [tuple([claims[device_id] for device_id in device_ids]) for _, device_ids in homes]
        self._is_one_each = all(len(device_ids) == 1 for _, device_ids in homes)
        by_meter = []
        for (meter, _), devices in zip(homes, self._claims, strict=True):
            limit = sum(claim.limit for claim in devices)
            weight = limit if meter.nomination_watts is None else max(meter.nomination_watts, 1)
            by_meter.append(Claim(weight, limit))
        self._spreader = Spreader(by_meter)

    def allocate(self, total: int) -> tuple[Sequence[int], int]:
        """Return the devices' shares, and what is short."""
        by_meter = self._spreader.spread(total)
        if self._is_one_each:
            return by_meter.shares, by_meter.shortfall
        return self._within_meters(by_meter), by_meter.shortfall

    def _within_meters(self, by_meter: Allocation) -> list[int]:
        """Spread each meter's share over its devices; equal cases are computed once."""
        done: dict[tuple[int, tuple[Claim, ...]], tuple[int, ...]] = {}
        shares: list[int] = []
        for case in zip(by_meter.shares, self._claims, strict=True):
            if case not in done:
                done[case] = spread(*case)
            shares += done[case]
        return shares


def _inside(window: Window, whole: Window) -> Window | None:
    start, end = max(window.start, whole.start), min(window.end, whole.end)
    return Window(start, end) if start < end else None
