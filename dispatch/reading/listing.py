"""What every list has in common: tabs, sorting and paging that stand in the address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import QueryDict

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Tab:
    """One choice above a list; an empty key is the first, chosen by an address without it."""

    key: str
    name: str
    count: int | None = None
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a filter."""

    key: str
    name: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """One drop-down over a list; `everything` is what it says when it filters nothing."""

    name: str
    label: str
    everything: str
    choices: tuple[Choice, ...]

    @property
    def is_chosen(self) -> bool:
        """Say whether it keeps anything out."""
        return any(choice.is_chosen for choice in self.choices)


def page_of(
    rows: QuerySet[Any], *, number: str, size: int = PAGE_SIZE, count: int | None = None
) -> Page[Any]:
    """Cut one page out of ordered rows; a number that is none is the first or the last page.

    Two queries, one where `count` says how many rows there are.
    """
    paginator = Paginator(rows, size)
    if count is not None:
        paginator.count = count
    return paginator.get_page(number)


def chosen(query: QueryDict, name: str, *, allowed: Iterable[str]) -> str:
    """Take a choice from the address; one that is not offered counts as none."""
    value = query.get(name, "")
    return value if value in allowed else ""


def ordering(query: QueryDict, *, offered: Mapping[str, str], default: str) -> tuple[str, ...]:
    """Turn `?sort=name` or `?sort=-name` into the order of a queryset, the newest row last among equals."""
    wanted = query.get("sort", "") or default
    field = offered.get(wanted.removeprefix("-"))
    if field is None:
        wanted, field = default, offered[default.removeprefix("-")]
    return (f"-{field}" if wanted.startswith("-") else field, "id")


def tabs(names: Mapping[str, str], *, current: str, counts: Mapping[str, int]) -> tuple[Tab, ...]:
    """Build the tabs of a list with what each would show."""
    return tuple(Tab(key, name, counts.get(key, 0), key == current) for key, name in names.items())


def drop_down(name: str, *, label: str, everything: str, options: Mapping[str, str], current: str) -> Filter:
    """Build a filter from its options."""
    choices = tuple(Choice(key, shown, key == current) for key, shown in options.items())
    return Filter(name=name, label=label, everything=everything, choices=choices)
