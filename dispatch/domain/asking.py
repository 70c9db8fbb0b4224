"""Parts of calls → the requests that move a device, and what moves it in no case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice

from dispatch.domain import sentences
from dispatch.domain.envelope import Request
from dispatch.domain.events import Event, Window
from dispatch.domain.levels import Shade, lit
from dispatch.domain.plans import UnservedSlice
from dispatch.domain.sharing import Part, Sliced


class Asking:
    """What parts ask of devices. Equal requests are one object, as devices are asked much the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int | None, datetime, datetime], Request] = {}

    def requests(self, parts: Iterable[Part]) -> tuple[tuple[Request, ...], list[UnservedSlice]]:
        """Return what parts ask of a device, and what of it is refused beforehand."""
        requests: list[Request] = []
        refused: list[UnservedSlice] = []
        for part in parts:
            shares = iter(part.shares)
            for index, each in enumerate(part.asked):
                event = each.event
                if part.refusal:
                    refused.append(UnservedSlice(event.event_id, event.window, part.refusal))
                    continue
                shades = part.shades[index] if part.shades else ()
                refused += [_shaded(event, shade) for shade in shades]
                for window, watts in _pieces(each, shares):
                    moving = [window]
                    if watts == 0 or shades or event.is_integration_test:
                        moving, still = _moving(event, watts, lit(window, _clipped(shades, window)), part)
                        refused += still
                    requests += [self._request(event, watts, of) for of in moving]
        return tuple(requests), refused

    def _request(self, event: Event, watts: int | None, window: Window) -> Request:
        key = (event.event_id, watts, window.start, window.end)
        if key not in self._known:
            self._known[key] = Request(event, watts, window)
        return self._known[key]


def _pieces(sliced: Sliced, shares: Iterator[int | None]) -> Iterator[tuple[Window, int | None]]:
    """Give an event's slices their shares, touching ones with equal shares as one."""
    reached = 0
    for watts, alike in groupby(islice(shares, len(sliced.slices))):
        first, reached = reached, reached + len(list(alike))
        window = sliced.slices[first].window
        if reached > first + 1:
            window = Window(window.start, sliced.slices[reached - 1].window.end)
        yield window, watts


def _shaded(event: Event, shade: Shade) -> UnservedSlice:
    return UnservedSlice(event.event_id, shade.window, shade.reason, is_shaded=True)


def _clipped(shades: Sequence[Shade], window: Window) -> list[Shade]:
    """Return what of shades lies in a window."""
    return [
        Shade(Window(start, end), each.reason)
        for each in shades
        if (start := max(each.window.start, window.start)) < (end := min(each.window.end, window.end))
    ]


def _moving(
    event: Event, watts: int | None, windows: Sequence[Window], part: Part
) -> tuple[list[Window], list[UnservedSlice]]:
    """Return in which of the windows a device moves for an event, and why not in the others."""
    if watts == 0:
        return [], [UnservedSlice(event.event_id, window, sentences.no_share()) for window in windows]
    if not event.is_integration_test:
        return list(windows), []
    moving, still = [], []
    for window in windows:
        armed, unarmed = _armed(window, until=part.armed_until)
        moving += armed
        still += [
            UnservedSlice(event.event_id, each, sentences.not_armed(part.armed_until)) for each in unarmed
        ]
    return moving, still


def _armed(window: Window, *, until: datetime | None) -> tuple[list[Window], list[Window]]:
    """Cut a window where the meter's arming ends: an integration test moves the device only until then."""
    turn = min(max(until, window.start), window.end) if until else window.start
    armed = [Window(window.start, turn)] if window.start < turn else []
    return armed, [Window(turn, window.end)] if turn < window.end else []
