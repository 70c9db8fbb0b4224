"""Wake workers for what a lost wake-up left behind, and for what has become due.

Decides nothing and writes only signs of life: the apps say which of their tasks have something to do, and
when the next commands fall due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import devices.mapping_batches
import devices.queries
import devices.watching
import dispatch.changing_leap
import dispatch.checking_seasons
import dispatch.queries
import leapvpp.certification.queries
import meters.onboarding
import meters.participating
import meters.queries
from devices.queue import RUN_DUE_COMMANDS
from leapvpp import queue
from leapvpp.health import COMMAND_WORKER, DISPATCHER, is_silent
from leapvpp.writing import Beat

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=0.5)
WAKE_AGAIN_AFTER = timedelta(seconds=1)
MOMENTS_APART = timedelta(seconds=0.2)
"""As often as an idle worker looks into its queue: to wake it more often would make nothing sooner."""
FULL_QUEUE = 20
SOURCES: tuple[Callable[..., Iterable[str]], ...] = (
    devices.queries.waiting,
    devices.mapping_batches.waiting,
    devices.watching.waiting,
    dispatch.queries.waiting,
    dispatch.changing_leap.waiting,
    dispatch.checking_seasons.waiting,
    leapvpp.certification.queries.waiting,
    meters.onboarding.waiting,
    meters.participating.waiting,
    meters.queries.waiting,
)


class Dispatcher:
    """What was woken when, so that a queue nobody works on is not flooded."""

    def __init__(self) -> None:
        self.woken_at: dict[str, datetime] = {}
        self.beat = Beat(DISPATCHER)

    def look(self, *, now: datetime) -> list[str]:
        """Wake the tasks that have something to do, each at most once a second; return their names."""
        names = [name for source in SOURCES for name in source(now=now)]
        if self.beat.note(now=now):
            names += [cluster.beat for cluster in queue.CLUSTERS]
        due = [name for name in dict.fromkeys(names) if self._is_due(name, now=now)]
        return self._wake(due, now=now)

    def wake_commands(self, *, now: datetime) -> list[str]:
        """Have a worker run the commands that fall due at this very moment."""
        return self._wake([RUN_DUE_COMMANDS], now=now)

    def _is_due(self, name: str, *, now: datetime) -> bool:
        woken_at = self.woken_at.get(name)
        return woken_at is None or now - woken_at >= WAKE_AGAIN_AFTER

    def _wake(self, names: Sequence[str], *, now: datetime) -> list[str]:
        """Queue tasks, but for those whose queue is full: whatever is queued there will do their work too.

        While the cluster for commands gives no sign of life, the other one stands in for it.
        """
        concerned = {queue.cluster_of(name) for name in names}
        full = {each for each in concerned if _is_full(each, now=now)}
        woken = [name for name in names if queue.cluster_of(name) not in full]
        for name in woken:
            queue.wake(name)
            self.woken_at[name] = now
        is_alone = RUN_DUE_COMMANDS in names and is_silent(COMMAND_WORKER, now=now)
        if is_alone and not _is_full(queue.PORTAL, now=now):
            queue.wake(RUN_DUE_COMMANDS, queue.PORTAL)
        return woken


def _is_full(cluster: queue.Cluster, *, now: datetime) -> bool:
    return queue.waiting_count(cluster, now=now) >= FULL_QUEUE


def coming_moments(*, now: datetime) -> list[datetime]:
    """Return when, before the next look, a worker is to be woken for commands; one indexed question."""
    return moments_to_wake(devices.queries.falling_due(after=now, until=now + LOOK_EVERY))


def moments_to_wake(falling_due: Iterable[datetime]) -> list[datetime]:
    """Return the fewest moments that leave no command waiting for longer than `MOMENTS_APART`.

    `falling_due` in order. The first is its own moment; who falls due soon after another waits for the next.
    """
    moments: list[datetime] = []
    for due in falling_due:
        if not moments:
            moments.append(due)
        elif due > moments[-1]:
            moments.append(max(due, moments[-1] + MOMENTS_APART))
    return moments
