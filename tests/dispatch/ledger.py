"""A Leap in memory: the truth about every event, and a search over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from leapvpp.leap.errors import LeapUnreachable
from leapvpp.leap.values import Level, SearchPage
from tests.bodies import METER


@dataclass
class Ledger:
    """What Leap means now: each event's latest timeslot. `asked` notes each search's ids, None for all."""

    truth: dict[str, dict] = field(default_factory=dict)
    asked: list[Collection[str] | None] = field(default_factory=list)
    is_away: bool = False
    page_size: int = 2

    @contextmanager
    def client(self) -> Iterator[Ledger]:
        yield self

    def search_dispatches(
        self,
        *,
        level: Level,
        window_start: datetime,
        window_end: datetime,
        event_ids: Collection[str] | None = None,
    ) -> Iterator[SearchPage]:
        """Answer as Leap does; only meter events are known here."""
        if self.is_away:
            raise LeapUnreachable("nobody answers")
        if level is Level.GROUP:
            yield page([], level)
            return
        self.asked.append(event_ids)
        found = [
            slot
            for event_id, slot in sorted(self.truth.items())
            if (event_ids is None or event_id in event_ids)
            and slot["start_time"] < window_end.isoformat()
            and slot["end_time"] > window_start.isoformat()
        ]
        for begin in range(0, max(len(found), 1), self.page_size):
            yield page(found[begin : begin + self.page_size], level)


def page(slots: list[dict], level: Level) -> SearchPage:
    results = [{"meter_id": METER, "timeslots": slots}] if slots else []
    return SearchPage.from_body(level=level, body=json.dumps({"results": results}).encode())


def clock_at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment
