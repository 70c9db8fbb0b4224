"""Notice a worker cluster that is alive and does nothing, from the rows it ought to have written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, connection
from django.utils import timezone

from leapvpp import queue
from leapvpp.models import Heartbeat

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
GRACE = timedelta(seconds=15)
MANY_UNANSWERED = 10


def frozen_because(cluster: queue.Cluster, *, since: datetime, now: datetime) -> str:
    """Return why the cluster that started at `since` must be frozen, or "" if it may be well.

    Work waits and no beat was written for longer than the longest task may take; or more tasks than a
    killed cluster leaves behind were fetched, must have ended long ago, and were never answered for.
    """
    longest = timedelta(seconds=cluster.settings["timeout"]) + GRACE
    if now - since < longest:
        return ""
    has_beaten = Heartbeat.objects.filter(name=cluster.process, beat_at__gt=now - longest).exists()
    if not has_beaten and queue.oldest_waiting_seconds(cluster, now=now) > longest.total_seconds():
        return f"has not worked for {longest.total_seconds():.0f} s while work waits"
    if queue.unanswered_count(cluster, since=since, now=now) > MANY_UNANSWERED:
        return "does not answer for the work it fetched"
    return ""


class Watch(threading.Thread):
    """Looks every five seconds, beside the supervisor, so that a database that hangs never stops it.

    `started_at` tells when a program was started, by its name; `complain` is told its name and why.
    """

    def __init__(
        self, *, started_at: Callable[[str], datetime], complain: Callable[[str, str], None]
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.started_at = started_at
        self.complain = complain
        self.is_over = threading.Event()

    def run(self) -> None:
        """Look until told that it is over."""
        while not self.is_over.wait(LOOK_EVERY_SECONDS):
            try:
                self._look()
            except DatabaseError as error:
                logger.warning("the watch cannot see the queue: %s", error)
                connection.close()

    def _look(self) -> None:
        for cluster in queue.CLUSTERS:
            since = self.started_at(cluster.process)
            if why := frozen_because(cluster, since=since, now=timezone.now()):
                self.complain(cluster.process, why)
