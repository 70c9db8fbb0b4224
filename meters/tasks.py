"""What workers run for the meters. Wake-ups without arguments: the rows say what there is to do."""

from __future__ import annotations

from django.utils import timezone

from meters import hinting, onboarding, participating, syncing


def sync_meters() -> str:
    """Bring meters in step with Leap, if that is due or was asked for."""
    return syncing.sync_if_due(now=timezone.now())


def follow_meter_jobs() -> str:
    """Send batches of meters to create, and follow those that are at Leap."""
    return f"{onboarding.follow_jobs()} batches of meters followed"


def follow_hints() -> str:
    """Follow the platform events that wait."""
    return hinting.follow_waiting(now=timezone.now())


def change_participation() -> str:
    """Ask Leap what people want of who takes part, and read its idle periods."""
    return participating.send_waiting()
