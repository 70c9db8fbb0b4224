"""Who answers for a set of recipients, who of them is out, and how an event's power is shared (rule 7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, NamedTuple

from dispatch.domain.allocation import Allocation, Claim, Spreader, spread
from dispatch.domain.events import MAXIMUM, Event, Window, asked_watts
from dispatch.domain.levels import Shade, Shades, common_shades
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Ruling, stops
from dispatch.domain.plans import Traits

_NOTHING: Final = Claim(0, 0)


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """A meter known to the portal. `refusal`: why it is not dispatchable, empty when it is."""

    meter_id: str
    device_ids: tuple[int, ...]
    nomination_watts: int | None = None
    refusal: str = ""
    armed_until: datetime | None = None


Column = Sequence[int | None]
"""The devices' shares of an event in a slice, in the roster's order; None is the maximum."""

Home = tuple[MeterFacts, tuple[int, ...]]
"""A meter, and those of its devices that count with it."""


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
        self._homes: list[Home] = []
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
        ruled: defaultdict[tuple[Ruling, ...], list[int]] = defaultdict(list)
        for device_id in self.device_ids:
            if mine := rulings.get(device_id):
                ruled[mine].append(device_id)
        self._ruled = {mine: frozenset(device_ids) for mine, device_ids in ruled.items()}
        self._latest: tuple[frozenset[int], _Crew] | None = None
        self._done: dict[tuple[int, frozenset[int], int, int], tuple[Column, int]] = {}

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

    def slices(self, event: Event, absences: Iterable[Absence] = ()) -> list[Slice]:
        """Cut an event where people's rulings stop or free devices, and at further absences.

        As many devices are ruled alike, the cost follows the number of distinct rulings.
        """
        if asked_watts(event) is MAXIMUM:
            return [Slice(event.window)]
        away = [
            Absence(ruling.window, device_ids)
            for rulings, device_ids in self._ruled.items()
            for ruling in rulings
            if stops(ruling, event)
        ]
        away += absences
        items: list[tuple[Window, Absence | None]] = [(event.window, None)]
        items += [(window, each) for each in away if (window := _inside(each.window, event.window))]
        return [_slice(window, [each for each in live if each]) for window, live in cut(items)]

    def allocate(
        self, total: int | None, *, during: Slice, told: Column | None = None
    ) -> tuple[Column, int | None]:
        """Return the devices' shares of an event's power in one of its slices, and what is short of it.

        Those who are out give nothing of it, or something less, and the others give the rest. Their own share
        is what they were `told` before, else what they would have given: that is what they leave undone.
        """
        if total is MAXIMUM:
            return [MAXIMUM] * len(self.device_ids), None
        key = (total, during.out, during.given, id(told))
        if key not in self._done:
            self._done[key] = self._allocate(total, during=during, told=told)
        return self._done[key]

    def _allocate(self, total: int, *, during: Slice, told: Column | None) -> tuple[Column, int]:
        shares, shortfall = self._crew(during.out).allocate(total - during.given)
        if not during.out:
            return shares, shortfall
        told = told or self.allocate(total, during=Slice(during.window))[0]
        column: list[int | None] = list(shares)
        for device_id in during.out:
            place = self._place_of[device_id]
            column[place] = told[place]
        return column, shortfall

    def members(self, device_ids: Collection[int]) -> frozenset[int]:
        """Return which of some devices answer here."""
        return frozenset(self._place_of.keys() & device_ids) if device_ids else frozenset()

    @cached_property
    def _place_of(self) -> dict[int, int]:
        return {device_id: place for place, device_id in enumerate(self.device_ids)}

    @cached_property
    def _everyone(self) -> _Crew:
        return _Crew(self._homes, devices=self._devices)

    def _crew(self, out: frozenset[int]) -> _Crew:
        """Return who gives while some are out; only the latest is kept, as there may be many."""
        if not out:
            return self._everyone
        if self._latest is None or self._latest[0] != out:
            self._latest = (out, self._everyone.without(out))
        return self._latest[1]


class Absence(NamedTuple):
    """Devices that give nothing for a time, or, each, a few watts less than their share."""

    window: Window
    device_ids: frozenset[int]
    watts: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of an event in which the same devices are out; `given`: what they still give, together."""

    window: Window
    out: frozenset[int] = frozenset()
    given: int = 0


def _slice(window: Window, absences: Sequence[Absence]) -> Slice:
    """Put together who is out; who gives nothing by one account gives nothing."""
    nothing = frozenset[int]().union(*(each.device_ids for each in absences if not each.watts))
    less = [(each.device_ids - nothing, each.watts) for each in absences if each.watts]
    return Slice(
        window,
        out=nothing.union(*(device_ids for device_ids, _ in less)),
        given=sum(watts * len(device_ids) for device_ids, watts in less),
    )


class _Crew:
    """Those of a roster who can give, the others at 0 W, as claims by which power is spread."""

    def __init__(self, homes: Sequence[Home], *, devices: Mapping[int, Traits]) -> None:
        """Make the devices' claims, by rated power; and the meters', by nomination or rated power."""
        self._homes = homes
        claims = {
            device_id: Claim(devices[device_id].rated_watts, devices[device_id].rated_watts)
            for _, device_ids in homes
            for device_id in device_ids
        }
        self._claims = [tuple([claims[device_id] for device_id in device_ids]) for _, device_ids in homes]
        self._is_one_each = all(len(device_ids) == 1 for _, device_ids in homes)
        by_meter = [_claim(meter, of) for (meter, _), of in zip(homes, self._claims, strict=True)]
        self._spreader = Spreader(by_meter)

    @cached_property
    def _home_of(self) -> dict[int, int]:
        return {device_id: home for home, (_, of) in enumerate(self._homes) for device_id in of}

    def without(self, out: frozenset[int]) -> _Crew:
        """Return the crew that is left while some are out."""
        other = copy(self)
        other._claims = self._claims.copy()
        changed = {}
        for home in {self._home_of[device_id] for device_id in out}:
            meter, device_ids = self._homes[home]
            claims = tuple(
                _NOTHING if device_id in out else claim
                for device_id, claim in zip(device_ids, self._claims[home], strict=True)
            )
            other._claims[home], changed[home] = claims, _claim(meter, claims)
        other._spreader = self._spreader.changed(changed)
        return other

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


def _claim(meter: MeterFacts, devices: Sequence[Claim]) -> Claim:
    """Return what a meter claims for its devices."""
    limit = sum(claim.limit for claim in devices)
    return Claim(limit if meter.nomination_watts is None else max(meter.nomination_watts, 1), limit)


def _inside(window: Window, whole: Window) -> Window | None:
    start, end = max(window.start, whole.start), min(window.end, whole.end)
    return Window(start, end) if start < end else None
