"""Lengths of time, and what follows upon each other in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from dispatch.domain.events import Window


class Timed(Protocol):
    """What has a window."""

    @property
    def window(self) -> Window: ...


T = TypeVar("T", bound=Timed)


def micros(length: timedelta) -> int:
    """Return whole microseconds."""
    return length // timedelta(microseconds=1)


def runs_of(items: Sequence[T], *, key: Callable[[T], object]) -> list[list[T]]:
    """Group neighbours that touch and have equal keys."""
    runs: list[list[T]] = []
    for item in items:
        latest = runs[-1][-1] if runs else None
        if latest and latest.window.end == item.window.start and key(latest) == key(item):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def joined(windows: Iterable[Window]) -> list[Window]:
    """Put together windows that touch or overlap, in order."""
    found: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if found and window.start <= found[-1].end:
            found[-1] = Window(found[-1].start, max(found[-1].end, window.end))
        else:
            found.append(window)
    return found
