"""What a device leaves undone of its shares, so that the others of an event may give it (rule 7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from devices.domain.schedule import Segment
from dispatch.domain.envelope import Request
from dispatch.domain.events import MAXIMUM, Window, asked_watts, to_watts
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.plans import DevicePlan, UnservedSlice


class Lack(NamedTuple):
    """A window in which a device gives less than its share of an event, in watts."""

    event_id: int
    window: Window
    share: int
    given: int


def lacks(requests: Iterable[Request], plan: DevicePlan, *, rulings: Sequence[Ruling] = ()) -> list[Lack]:
    """Return what a plan leaves of those requests that are shares of a number, by event in order of time.

    What a person forces is left out: that the power is less is not asked of others.
    """
    items: list[tuple[Window, Request | UnservedSlice | Segment | Ruling]] = [
        (request.window, request)
        for request in requests
        if request.watts is not MAXIMUM and asked_watts(request.event) is not MAXIMUM
    ]
    if not items:
        return []
    items += [(each.window, each) for each in plan.unserved]
    items += [(Window(segment.start, segment.end), segment) for segment in plan.segments]
    items += [(ruling.window, ruling) for ruling in rulings if ruling.action is Action.FORCE]
    found: defaultdict[int, list[Lack]] = defaultdict(list)
    for window, live in cut(items):
        if any(isinstance(each, Ruling) for each in live):
            continue
        refused = {each.event_id for each in live if isinstance(each, UnservedSlice)}
        given = next((_power(each) for each in live if isinstance(each, Segment)), 0)
        for each in live:
            if isinstance(each, Request) and each.watts is not MAXIMUM:
                event_id = each.event.event_id
                watts = 0 if event_id in refused else given
                if watts is not MAXIMUM and watts < each.watts:
                    _note(found[event_id], Lack(event_id, window, each.watts, watts))
    return [lack for of in found.values() for lack in of]


def _power(segment: Segment) -> int | None:
    return MAXIMUM if segment.target_kw is None else to_watts(segment.target_kw)


def _note(found: list[Lack], lack: Lack) -> None:
    """Add a lack, as one with the latest where they touch and nothing else differs."""
    latest = found[-1] if found else None
    if latest and latest == lack._replace(window=Window(latest.window.start, lack.window.start)):
        lack = found.pop()._replace(window=Window(latest.window.start, lack.window.end))
    found.append(lack)
