"""What the worker does for the project itself."""

from __future__ import annotations

from django.utils import timezone

from leapvpp.certification import running


def play_certification() -> str:
    """Play the next scenario of a certification run."""
    return running.play_waiting(now=timezone.now())
