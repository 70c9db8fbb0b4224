"""Wake workers for what a lost wake-up left behind, and for what has become due.

Decides nothing and writes only signs of life: the apps say which of their tasks have something to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import devices.queries
import devices.watching
import dispatch.queries
import leapvpp.certification.queries
from leapvpp import queue
from leapvpp.health import DISPATCHER, note_heartbeat

logger = logging.getLogger(__name__)

WAKE_AGAIN_AFTER = timedelta(seconds=1)
BEAT_EVERY = timedelta(seconds=5)
FULL_QUEUE = 20
BEAT = "leapvpp.tasks.beat"
SOURCES: tuple[Callable[..., Iterable[str]], ...] = (
    devices.queries.waiting,
    devices.watching.waiting,
    dispatch.queries.waiting,
    leapvpp.certification.queries.waiting,
)


class Dispatcher:
    """What was woken when, so that a queue nobody works on is not flooded."""

    def __init__(self) -> None:
        self.woken_at: dict[str, datetime] = {}
        self.beaten_at: datetime | None = None

    def look(self, *, now: datetime) -> list[str]:
        """Wake the tasks that have something to do, each at most once a second; return their names."""
        names = [name for source in SOURCES for name in source(now=now)]
        if self.beaten_at is None or now - self.beaten_at >= BEAT_EVERY:
            self.beaten_at = now
            note_heartbeat(name=DISPATCHER, now=now)
            names.append(BEAT)
        due = [name for name in dict.fromkeys(names) if self._is_due(name, now=now)]
        if due and queue.waiting_count(now=now) >= FULL_QUEUE:
            return []  # whatever is queued will do their work too
        for name in due:
            queue.wake(name)
            self.woken_at[name] = now
        return due

    def _is_due(self, name: str, *, now: datetime) -> bool:
        woken_at = self.woken_at.get(name)
        return woken_at is None or now - woken_at >= WAKE_AGAIN_AFTER
