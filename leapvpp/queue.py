"""The only module of the project package that puts work into django-q2's queue, or looks into it.

Reads and writes `django_q_ormq`; the rows' meaning is private to django-q2 (a row's `lock` is when it
may be fetched, and `fetched at + retry` once it was), so it is kept in this one place.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django_q.models import OrmQ
from django_q.tasks import async_task

from dispatch.queue import PLAN_WAITING, PLANNING_SECONDS

LONG_TASKS: Final = {"leapvpp.tasks.play_certification": 110, PLAN_WAITING: PLANNING_SECONDS}
"""Seconds for tasks that may take longer than others; one of each runs at a time."""


def wake(task: str) -> None:
    """Queue a task without arguments by its dotted path."""
    if task in LONG_TASKS:
        async_task(task, timeout=LONG_TASKS[task])
    else:
        async_task(task)


def waiting_count(*, now: datetime) -> int:
    """Return how many tasks wait to be fetched."""
    return OrmQ.objects.filter(key=settings.Q_CLUSTER["name"], lock__lt=now).count()


def oldest_waiting_seconds(*, now: datetime) -> float:
    """Return how long the oldest task has waited to be fetched; 0 if none waits."""
    oldest = (
        OrmQ.objects.filter(key=settings.Q_CLUSTER["name"], lock__lt=now)
        .order_by("lock")
        .values_list("lock", flat=True)
        .first()
    )
    return (now - oldest).total_seconds() if oldest else 0.0


def unanswered_count(*, since: datetime, now: datetime) -> int:
    """Return how many tasks were fetched after `since`, must have ended, and were never answered for.

    A cluster that is killed leaves a few; one whose results go nowhere leaves ever more.
    """
    retry = timedelta(seconds=settings.Q_CLUSTER["retry"])
    longest = timedelta(seconds=settings.Q_CLUSTER["timeout"] * 2)
    fetched = OrmQ.objects.filter(key=settings.Q_CLUSTER["name"], lock__gt=max(now, since + retry))
    return fetched.filter(lock__lt=now + retry - longest).count()
