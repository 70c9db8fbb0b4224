"""Rule 2: cut the time axis into slices in which the set of live requests does not change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from dispatch.domain.events import KEPT, Window

T = TypeVar("T")


def cut(items: Sequence[tuple[Window, T]]) -> list[tuple[Window, tuple[T, ...]]]:
    """Return the slices in which at least one item is live, in time order, with the items live in each.

    Items keep the order in which they were given. Touching windows never share a slice, as windows
    are half-open. A window that ends where it begins, or before, is never live.
    """
    slices = _slices(tuple([window for window, _ in items]))
    return [(window, tuple([items[index][1] for index in live])) for window, live in slices]


@lru_cache(maxsize=KEPT)
def _slices(windows: tuple[Window, ...]) -> list[tuple[Window, list[int]]]:
    """Return the slices, each with the numbers of the windows live in it: many devices share them."""
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
