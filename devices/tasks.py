"""Tasks of the devices app, woken by `devices.queue`; safe to run twice or at the same time."""

from __future__ import annotations

from django.utils import timezone

from devices import commanding


def run_due_commands() -> str:
    """Send every command that is due."""
    return f"{commanding.run_due_commands(now=timezone.now())} commands tried"
