"""What the worker does for the project itself."""

from __future__ import annotations

from django.utils import timezone

from leapvpp.certification import running
from leapvpp.health import WORKER, note_heartbeat


def beat() -> str:
    """Store the worker's sign of life: the whole way from the queue to a result is open."""
    note_heartbeat(name=WORKER, now=timezone.now())
    return "beat"


def play_certification() -> str:
    """Play the next scenario of a certification run."""
    return running.play_waiting(now=timezone.now())
