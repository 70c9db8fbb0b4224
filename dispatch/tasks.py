"""What workers run. Wake-ups without arguments: the rows say what there is to do."""

from __future__ import annotations

from django.utils import timezone

from dispatch import recording, sending_tests


def record_waiting() -> str:
    """Record every notification that waits."""
    return f"{recording.record_waiting(now=timezone.now())} recorded"


def send_tests() -> str:
    """Send the tests that people asked for."""
    return f"{sending_tests.send_waiting(now=timezone.now())} sent"
