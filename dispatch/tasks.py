"""What workers run. Wake-ups without arguments: the rows say what there is to do."""

from __future__ import annotations

from django.utils import timezone

from dispatch import recording


def record_waiting() -> str:
    """Record every notification that waits."""
    return f"{recording.record_waiting(now=timezone.now())} recorded"
