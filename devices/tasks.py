"""Tasks of the devices app, woken by `devices.queue`; safe to run twice or at the same time."""

from __future__ import annotations

from django.utils import timezone

from devices import (
    alert_sending,
    alerting,
    commanding,
    mapping_batches,
    proving,
    pruning,
    reminding,
    simulating,
)


def run_due_commands() -> str:
    """Send every command that is due."""
    return f"{commanding.run_due_commands(now=timezone.now())} commands tried"


def simulate_devices() -> str:
    """Let simulated devices behave, and say what they measure."""
    return f"{simulating.step_devices(now=timezone.now())} simulated devices stepped"


def prove() -> str:
    """Look whether devices do what they were told, where that is due."""
    return f"{proving.prove(now=timezone.now())} proofs judged"


def prune() -> str:
    """Take away what was measured and is too old to be kept."""
    return f"{pruning.prune(now=timezone.now())} rows pruned"


def watch_alerts() -> str:
    """Raise and clear alerts, if that is due."""
    found = alerting.watch_alerts(now=timezone.now())
    return f"{len(found.raised)} raised, {len(found.cleared)} cleared" if found else "looked at just before"


def send_alerts() -> str:
    """Send the messages about alerts that are due."""
    return f"{alert_sending.send_alerts(now=timezone.now())} messages sent"


def map_new_meters() -> str:
    """Put devices behind meters that a sync brought, by the kept rule."""
    return f"{mapping_batches.map_new_meters(now=timezone.now())} pairs added"


def remind() -> str:
    """Write today's reminder of required actions, if that is due."""
    return f"reminded of {reminding.remind(now=timezone.now())} groups"
