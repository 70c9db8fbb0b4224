"""Wake-ups for the workers. The only module of this app that calls django-q2.

Tasks take no arguments and do all that waits: rows are the truth. Inside a transaction a wake-up commits
or vanishes with the data.
"""

from __future__ import annotations

from typing import Final

from django_q.tasks import async_task

RECORD_WAITING: Final = "dispatch.tasks.record_waiting"
PLAN_WAITING: Final = "dispatch.tasks.plan_waiting"
RECONCILE: Final = "dispatch.tasks.reconcile"
SEND_TESTS: Final = "dispatch.tasks.send_tests"
TEND_LEAP: Final = "dispatch.tasks.tend_leap_connection"
REPLAY_POLICIES: Final = "dispatch.tasks.replay_policies"
COMPARE_GROUPS: Final = "dispatch.tasks.compare_groups"
"""Woken by the dispatcher alone: half a second does not matter, and recording has no time to lose."""
CHECK_SEASONS: Final = "dispatch.tasks.check_seasons"
"""As above."""
PLANNING_SECONDS: Final = 600
"""How long a plan may take: one that is cut off leaves nothing, and would be begun again for ever."""


def wake_recording() -> None:
    """Have a worker turn received notifications into events."""
    async_task(RECORD_WAITING, task_name="record what was received")


def wake_planning() -> None:
    """Have a worker decide anew what waits to be decided."""
    async_task(PLAN_WAITING, task_name="plan what changed", timeout=PLANNING_SECONDS)


def wake_reconciling() -> None:
    """Have a worker ask Leap's search about what is in doubt."""
    async_task(RECONCILE, task_name="ask Leap's search")


def wake_test_sending() -> None:
    """Have a worker send the tests that people asked for."""
    async_task(SEND_TESTS, task_name="send tests")


def wake_replaying() -> None:
    """Have a worker go on with the replays that people asked for."""
    async_task(REPLAY_POLICIES, task_name="replay past days")


def wake_leap_connection() -> None:
    """Have a worker do at Leap what admins asked for, and see what Leap holds for us."""
    async_task(TEND_LEAP, task_name="tend the connection to Leap")
