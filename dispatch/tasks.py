"""What workers run. Wake-ups without arguments: the rows say what there is to do."""

from __future__ import annotations

import logging
from time import monotonic

from django.db import OperationalError
from django.utils import timezone

from dispatch import (
    changing_leap,
    checking_leap,
    checking_seasons,
    comparing_groups,
    planning,
    reconciling,
    recording,
    replaying,
    sending_tests,
    weighing,
)

logger = logging.getLogger(__name__)

LONG_SECONDS = 30.0
"""A plan that takes longer is worth a warning: what changes meanwhile waits for it."""
MOST_ROUNDS = 5
"""How often planning looks again before it leaves the rest to the next wake-up."""


def record_waiting() -> str:
    """Record every notification that waits."""
    return f"{recording.record_waiting(now=timezone.now())} recorded"


def plan_waiting() -> str:
    """Decide anew for every device that a change reaches, and again for what changed meanwhile."""
    try:
        weighing.weigh_readings(now=timezone.now())
    except OperationalError:
        raise
    except Exception:  # readings wait; no hold may wait with them
        logger.exception("Readings could not be weighed")
    planned = 0
    for _ in range(MOST_ROUNDS):
        began = monotonic()
        devices = planning.plan_waiting(now=timezone.now())
        if (took := monotonic() - began) > LONG_SECONDS:
            logger.warning("A plan of %s devices took %.0f s", devices, took)
        planned += devices
        if not devices:
            break
    return f"{planned} devices planned"


def reconcile() -> str:
    """Ask Leap's search and record what it says."""
    return reconciling.reconcile(now=timezone.now())


def send_tests() -> str:
    """Send the tests that people asked for."""
    return f"{sending_tests.send_waiting(now=timezone.now())} sent"


def replay_policies() -> str:
    """Go on with the oldest replay for a few seconds."""
    return replaying.work_on_replays(now=timezone.now())


def compare_groups() -> str:
    """Lay the groups that ask for it beside whom Leap calls for them."""
    return f"{comparing_groups.compare_waiting(now=timezone.now())} groups compared"


def tend_leap_connection() -> str:
    """Do at Leap what admins asked for, then see what Leap holds for us, if that is due."""
    sent = changing_leap.send_waiting(now=timezone.now())
    is_checked = checking_leap.check_if_due(now=timezone.now())
    return f"{sent} done at Leap, {'checked' if is_checked else 'not checked'}"


def check_seasons() -> str:
    """See which delivery periods begin soon and are not ready, if that is due."""
    found = checking_seasons.check_if_due(now=timezone.now())
    return "looked at just before" if found is None else f"{found} periods not ready"
