"""Tasks of the devices app, woken by `devices.queue`; safe to run twice or at the same time."""

from __future__ import annotations

from django.utils import timezone

from devices import commanding, proving


def run_due_commands() -> str:
    """Send every command that is due."""
    return f"{commanding.run_due_commands(now=timezone.now())} commands tried"


def prove() -> str:
    """Look whether devices do what they were told, where that is due."""
    return f"{proving.prove(now=timezone.now())} proofs judged"
