"""The worker clusters' signs of life, as tasks: the whole way from the queue to a result is open.

Apart from the other tasks, of which a cluster loads no more than it has to do.
"""

from __future__ import annotations

from django.utils import timezone

from leapvpp.health import COMMAND_WORKER, WORKER, note_heartbeat


def beat_worker() -> str:
    """Store the sign of life of the cluster that records, plans and asks."""
    note_heartbeat(name=WORKER, now=timezone.now())
    return "beat"


def beat_command_worker() -> str:
    """Store the sign of life of the cluster that speaks to devices."""
    note_heartbeat(name=COMMAND_WORKER, now=timezone.now())
    return "beat"
