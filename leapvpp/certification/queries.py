"""What of a run waits for a worker."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from leapvpp.models import CertificationRun, ResultState, RunState

DEAD_AFTER: Final = timedelta(minutes=3)
"""Longer than any scenario takes with all its waiting. Kept here, where the dispatcher loads little."""

TASK: Final = "leapvpp.tasks.play_certification"


def waiting(*, now: datetime) -> list[str]:
    """Return the task to wake: the run for workers has nothing playing, or a run has died."""
    running = CertificationRun.objects.filter(state=RunState.RUNNING)
    if running.filter(touched_at__lt=now - DEAD_AFTER).exists():
        return [TASK]
    idle = running.filter(is_in_worker=True).exclude(results__state=ResultState.PLAYING)
    return [TASK] if idle.exists() else []
