"""The only module of the project package that puts work into django-q2's queues, or looks into them.

There are two worker clusters, each with a queue of its own in one table. Reads and writes `django_q_ormq`;
the rows' meaning is private to django-q2 (a row's `lock` is when it may be fetched, and `fetched at + retry`
once it was), so it is kept in this one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django_q.models import OrmQ
from django_q.tasks import async_task

import devices.queue
from devices.mapping_batches import MAP_NEW_METERS
from devices.queue import RUN_DUE_COMMANDS
from dispatch.queue import PLAN_WAITING, PLANNING_SECONDS, TEND_LEAP
from leapvpp.health import COMMAND_WORKER, WORKER
from meters.onboarding import FOLLOW_JOBS
from meters.participating import CHANGE_PARTICIPATION
from meters.participating import SECONDS as PARTICIPATION_SECONDS
from meters.queries import SYNC_METERS, SYNC_SECONDS

LONG_TASKS: Final = {
    "leapvpp.tasks.play_certification": 110,
    PLAN_WAITING: PLANNING_SECONDS,
    SYNC_METERS: SYNC_SECONDS,
    CHANGE_PARTICIPATION: PARTICIPATION_SECONDS,
    FOLLOW_JOBS: 300,
    TEND_LEAP: 120,
    MAP_NEW_METERS: 120,
}
"""Seconds for tasks that may take longer than others; one of each runs at a time."""
TAKES_TURNS: Final = frozenset({SYNC_METERS})
"""Tasks whose turn is a row: given out again while one runs, the second does nothing. So they may outlast a
queue's `retry`."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A worker cluster. `name`: of its queue; `process`: as people know it; `beat`: its sign of life."""

    name: str
    process: str
    beat: str
    tasks: tuple[str, ...]
    """The modules of its tasks."""

    @property
    def settings(self) -> dict[str, Any]:
        """What Q_CLUSTER says of it: its own values over those of the first cluster."""
        return settings.Q_CLUSTER | settings.Q_CLUSTER["ALT_CLUSTERS"].get(self.name, {})


PORTAL: Final = Cluster(
    name="portal",
    process=WORKER,
    beat="leapvpp.beats.beat_worker",
    tasks=("devices.tasks", "dispatch.tasks", "meters.tasks", "leapvpp.tasks", "leapvpp.beats"),
)
COMMANDS: Final = Cluster(
    name=devices.queue.COMMANDS,
    process=COMMAND_WORKER,
    beat="leapvpp.beats.beat_command_worker",
    tasks=("devices.tasks", "leapvpp.beats"),
)
CLUSTERS: Final = (PORTAL, COMMANDS)


def cluster_of(task: str) -> Cluster:
    """Return the cluster that does a task."""
    return COMMANDS if task in {RUN_DUE_COMMANDS, COMMANDS.beat} else PORTAL


def wake(task: str, cluster: Cluster | None = None) -> None:
    """Queue a task without arguments by its dotted path, for the cluster whose task it is, or another."""
    # Always by name: within a cluster django-q2 takes that one for the default.
    name = (cluster or cluster_of(task)).name
    if task in LONG_TASKS:
        async_task(task, cluster=name, timeout=LONG_TASKS[task])
    else:
        async_task(task, cluster=name)


def waiting_count(cluster: Cluster, *, now: datetime) -> int:
    """Return how many tasks wait to be fetched."""
    return _waiting(cluster, now=now).count()


def oldest_waiting_seconds(cluster: Cluster, *, now: datetime) -> float:
    """Return how long the oldest task has waited to be fetched; 0 if none waits."""
    oldest = _waiting(cluster, now=now).order_by("lock").values_list("lock", flat=True).first()
    return (now - oldest).total_seconds() if oldest else 0.0


def unanswered_count(cluster: Cluster, *, since: datetime, now: datetime) -> int:
    """Return how many tasks were fetched after `since`, must have ended, and were never answered for.

    A cluster that is killed leaves a few; one whose results go nowhere leaves ever more.
    """
    retry = timedelta(seconds=cluster.settings["retry"])
    longest = timedelta(seconds=cluster.settings["timeout"] * 2)
    fetched = OrmQ.objects.filter(key=cluster.name, lock__gt=max(now, since + retry))
    return fetched.filter(lock__lt=now + retry - longest).count()


def _waiting(cluster: Cluster, *, now: datetime) -> QuerySet[OrmQ]:
    return OrmQ.objects.filter(key=cluster.name, lock__lt=now)
