"""Rule 2: cut the time axis into slices in which the set of live requests does not change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeVar

from dispatch.domain.events import KEPT, Window

T = TypeVar("T")

_FEW: Final = 64
"""More windows than these are not one device's, and not worth keeping."""


def cut(items: Sequence[tuple[Window, T]]) -> list[tuple[Window, tuple[T, ...]]]:
    """Return the slices in which at least one item is live, in time order, with the items live in each.

    Items keep the order in which they were given. Touching windows never share a slice, as windows
    are half-open. A window that ends where it begins, or before, is never live.
    """
    windows = tuple([window for window, _ in items])
    slices = _shared_slices(windows) if len(windows) <= _FEW else _slices(windows)
    return [(window, tuple([items[index][1] for index in live])) for window, live in slices]


@lru_cache(maxsize=KEPT)
def _shared_slices(windows: tuple[Window, ...]) -> list[tuple[Window, list[int]]]:
    """Return the slices of windows that many devices share, as a device's requests are."""
    return _slices(windows)


def _slices(windows: tuple[Window, ...]) -> list[tuple[Window, list[int]]]:
    """Return the slices, each with the numbers of the windows live in it."""
    begins: defaultdict[datetime, list[int]] = defaultdict(list)
    ends: defaultdict[datetime, list[int]] = defaultdict(list)
    for index, window in enumerate(windows):
        if window.start < window.end:
            begins[window.start].append(index)
            ends[window.end].append(index)
    live: set[int] = set()
    slices = []
    for start, end in pairwise(sorted({*begins, *ends})):
        live.difference_update(ends.get(start, ()))
        live.update(begins.get(start, ()))
        if live:
            slices.append((Window(start, end), sorted(live)))
    return slices
