"""Rule 7, per set of recipients: events and who answers → what each device is asked, slice by slice.

Power is shared a first time among all whom no person stops. Shared again, those who turned out to be absent
for a time give nothing then, or less, and the others give it for them; the absent are still told their first
share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatch.domain.events import Event, asked_watts
from dispatch.domain.levels import Shade, Shades
from dispatch.domain.roster import Absence, Column, Roster, Slice

Absences = Mapping[int, Sequence[Absence]]
"""By event."""


@dataclass(frozen=True, slots=True)
class Call:
    """One set of recipients: what is live for it, in order, and who answers."""

    events: tuple[Event, ...]
    roster: Roster


@dataclass(frozen=True, slots=True)
class Sliced:
    """An event, cut where others go out or come back: in each slice the devices' shares and what is short."""

    event: Event
    slices: tuple[Slice, ...]
    columns: tuple[Column, ...]
    short: tuple[int | None, ...]

    def column_at(self, moment: datetime) -> Column:
        """Return the shares in the slice of a moment."""
        return self.columns[bisect_right([each.window.start for each in self.slices], moment) - 1]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What the events of one set of recipients ask of a device. Equal ones are one object.

    `shares`: by slice of every event, in order. `shades`: by event, where it is left to its twin at the
    other level; empty where none is.
    """

    asked: Sequence[Sliced]
    shares: tuple[int | None, ...] = ()
    armed_until: datetime | None = None
    shades: tuple[tuple[Shade, ...], ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Shared:
    """A call whose events are shared, and each device's part of it."""

    call: Call
    asked: tuple[Sliced, ...]
    parts: Mapping[int, Part]


def share(call: Call, *, shades: Shades) -> Shared:
    """Share a call's events among all whom no person stops."""
    return _with_parts(call, [_allocate(call.roster, event) for event in call.events], shades=shades)


def share_again(shared: Shared, *, shades: Shades, absences: Absences) -> Shared:
    """Share a call's events among those who are there; the absent keep being told what they were."""
    if not any(absences.get(event.event_id) for event in shared.call.events):
        return shared
    asked = [
        _allocate(shared.call.roster, each.event, absences=away, told=each)
        if (away := absences.get(each.event.event_id))
        else each
        for each in shared.asked
    ]
    return _with_parts(shared.call, asked, shades=shades)


def parts_by_device(shared: Iterable[Shared]) -> Mapping[int, Sequence[Part]]:
    """Return what is asked of each device by all calls, in order."""
    parts: defaultdict[int, list[Part]] = defaultdict(list)
    for each in shared:
        for device_id, part in each.parts.items():
            parts[device_id].append(part)
    return parts


def _allocate(
    roster: Roster, event: Event, *, absences: Sequence[Absence] = (), told: Sliced | None = None
) -> Sliced:
    """Cut an event and share its power in every slice."""
    total, slices = asked_watts(event), roster.slices(event, absences)
    shares = [
        roster.allocate(total, during=each, told=told.column_at(each.window.start) if told else None)
        for each in slices
    ]
    return Sliced(
        event,
        slices=tuple(slices),
        columns=tuple(column for column, _ in shares),
        short=tuple(shortfall for _, shortfall in shares),
    )


def _with_parts(call: Call, asked: Sequence[Sliced], *, shades: Shades) -> Shared:
    """Note each device's part of a call; those that are alike share one."""
    roster, whole = call.roster, tuple(asked)
    armed = roster.armed_until if any(event.is_integration_test for event in call.events) else {}
    shaded = roster.shaded(call.events, shades)
    columns = [column for each in whole for column in each.columns]
    distinct: dict[object, Part] = {}
    parts: dict[int, Part] = {}
    for device_id, mine in zip(roster.device_ids, zip(*columns, strict=True), strict=True):
        key = (mine, armed.get(device_id), shaded.get(device_id, ()))
        if key not in distinct:
            distinct[key] = Part(whole, *key)
        parts[device_id] = distinct[key]
    for device_id, refusal in roster.refusals.items():
        parts[device_id] = distinct.setdefault(refusal, Part(whole, refusal=refusal))
    return Shared(call, whole, parts)
