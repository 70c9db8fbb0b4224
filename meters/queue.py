"""Wake-ups for the workers. The only module of this app that calls django-q2.

Tasks take no arguments and do all that waits: rows are the truth. Inside a transaction a wake-up commits or
vanishes with the data.
"""

from __future__ import annotations

from django_q.tasks import async_task

from meters.queries import FOLLOW_HINTS, SYNC_METERS, SYNC_SECONDS


def wake_following() -> None:
    """Have a worker follow the platform events that wait."""
    async_task(FOLLOW_HINTS, task_name="follow platform events")


def wake_syncing() -> None:
    """Have a worker read from Leap what is due."""
    async_task(SYNC_METERS, task_name="sync meters", timeout=SYNC_SECONDS)
