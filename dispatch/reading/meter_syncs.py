"""Syncs of meters with Leap: the latest one over the list of meters, and what one of them changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Page
from django.db.models import Count, QuerySet
from django.http import QueryDict

from dispatch.reading.listing import Tab, chosen, page_of, tabs
from meters.queries import long_syncs
from meters.sync_models import OPEN_SYNCS, ChangeKind, MeterChange, MeterSync, SyncKind, SyncState

KIND_TABS: Final = {
    "": "All",
    "appeared": "Appeared",
    "changed": "Changed",
    "archived": "Archived",
    "vanished": "No longer listed",
}
VERDICTS: Final = {
    SyncState.DONE: "ok",
    SyncState.FAILED: "bad",
    SyncState.LOST: "bad",
    SyncState.WAITING: "plain",
    SyncState.RUNNING: "plain",
}
LOOKS: Final = {
    ChangeKind.APPEARED: "ok",
    ChangeKind.CHANGED: "plain",
    ChangeKind.ARCHIVED: "warn",
    ChangeKind.VANISHED: "bad",
}
WORDS: Final = {
    "appeared": "appeared",
    "changed": "changed",
    "archived": "archived",
    "vanished": "no longer listed",
    "unreadable": "could not be read",
}
LONGEST: Final = 120
RUNS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class SyncRow:
    """One run, in words. `percent` is None while nobody knows of how many."""

    sync: MeterSync
    words: str
    verdict: str
    percent: int | None

    @property
    def is_open(self) -> bool:
        """Say whether it waits or runs."""
        return self.sync.state in OPEN_SYNCS

    @property
    def is_bad(self) -> bool:
        """Say whether it failed or was lost."""
        return self.sync.state in {SyncState.FAILED, SyncState.LOST}


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest run; `good`: the last one that went well, when the latest did not."""

    has_key: bool
    row: SyncRow | None
    good: SyncRow | None


@dataclass(frozen=True, slots=True)
class Field:
    """What one field was and is, `None` where there was nothing; `is_nested`: too much for a line."""

    name: str
    old: str | None
    new: str | None
    is_nested: bool


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What became of one meter."""

    meter_id: str
    name: str
    kind: str
    look: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class SyncPage:
    """One run with its diff, and the latest others."""

    row: SyncRow
    tabs: tuple[Tab, ...]
    page: Page[Any]
    changes: tuple[ChangeRow, ...]
    others: tuple[SyncRow, ...]


def read_latest() -> Latest:
    """Read the latest run that was not of named meters alone, and the last good one. Two queries at most."""
    latest = long_syncs().order_by("-pk").first()
    good = None
    if latest is not None and latest.state != SyncState.DONE:
        good = long_syncs().filter(state=SyncState.DONE).order_by("-pk").first()
    return Latest(
        has_key=bool(settings.LEAP_API_KEY),
        row=_row(latest) if latest else None,
        good=_row(good) if good else None,
    )


def read_sync(sync: MeterSync, query: QueryDict) -> SyncPage:
    """Read one run with a page of what it changed. Four queries."""
    kind = chosen(query, "kind", allowed=KIND_TABS)
    found = MeterChange.objects.filter(sync=sync)
    counted = dict(found.order_by().values_list("kind").annotate(count=Count("id")))
    counts = {key: counted.get(key.upper(), 0) for key in KIND_TABS if key}
    shown = found.filter(kind=kind.upper()) if kind else found
    page = page_of(shown.select_related("meter").order_by("pk"), number=query.get("page", ""))
    return SyncPage(
        row=_row(sync),
        tabs=tabs(KIND_TABS, current=kind, counts={"": sum(counted.values()), **counts}),
        page=page,
        changes=tuple(_change(change) for change in page),
        others=tuple(_row(each) for each in _worth_showing().order_by("-pk")[:RUNS_SHOWN]),
    )


def _worth_showing() -> QuerySet[MeterSync]:
    """Leave out runs of named meters that changed nothing: there may be many an hour."""
    told = dict.fromkeys(("appeared", "changed", "archived", "vanished"), 0)
    return MeterSync.objects.exclude(kind=SyncKind.NAMED, **told)


def _row(sync: MeterSync) -> SyncRow:
    percent = None
    if sync.state == SyncState.RUNNING and sync.expected:
        percent = min(99, sync.meters * 100 // sync.expected)
    return SyncRow(sync=sync, words=in_words(sync), verdict=VERDICTS[SyncState(sync.state)], percent=percent)


def in_words(sync: MeterSync) -> str:
    """Say what a run read and changed.

    >>> in_words(MeterSync(meters=1200, appeared=2, vanished=1))
    '1,200 meters read: 2 appeared, 1 no longer listed.'
    """
    noun = "meter" if sync.meters == 1 else "meters"
    counts = [f"{count:,} {word}" for name, word in WORDS.items() if (count := getattr(sync, name))]
    return f"{sync.meters:,} {noun} read: {', '.join(counts) or 'nothing changed'}."


def _change(change: MeterChange) -> ChangeRow:
    fields = change.fields.items()
    return ChangeRow(
        meter_id=change.meter.meter_id,
        name=str(change.meter),
        kind=change.get_kind_display(),
        look=LOOKS[ChangeKind(change.kind)],
        fields=tuple(
            Field(
                name=name.replace("_", " ").replace(".", ": "),
                old=_shown(old),
                new=_shown(new),
                is_nested=_is_nested(old) or _is_nested(new),
            )
            for name, (old, new) in sorted(fields)
        ),
    )


def _is_nested(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict | list) for each in value)
    return isinstance(value, dict)


def _shown(value: object) -> str | None:
    if value is None or value == "" or value == []:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = ", ".join(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
