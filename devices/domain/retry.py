"""When to try a silent device again.

Four tries within about 15 s, then a minute of silence after which the command counts as failed,
then a try every half minute until the command expires. A failed device that comes back is heard.
What sends a device back to normal is tried for a day: after a quarter of an hour each five minutes.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

QUICK_DELAYS_SECONDS = (2, 4, 8)
SILENCE_SECONDS = 60
SLOW_DELAY_SECONDS = 30
JITTER = 0.2
LONGEST_PAUSE_SECONDS = 300
PATIENT_AFTER_TRIES = 30
PATIENT_DELAY_SECONDS = 250  # with the jitter five minutes at most


def next_attempt_at(
    *,
    key: str,
    attempts_made: int,
    now: datetime,
    expires_at: datetime,
    pause_seconds: float = 0,
    is_patient: bool = False,
) -> datetime:
    """Return when to try again; at the latest `expires_at`, when there is nothing left but to give up.

    A device that asked for a pause gets it, of five minutes at most. `is_patient`: it is tried for a day.

    The jitter depends on the command's key and the attempt alone: a thousand devices that went
    silent together are not all tried again in the same instant, and a replay gives the same times.
    """
    pause = min(pause_seconds, LONGEST_PAUSE_SECONDS)
    usual = _delay_seconds(attempts_made, is_patient=is_patient)
    delay = max(usual, pause) * (1 + JITTER * _fraction(f"{key}:{attempts_made}"))
    return min(now + timedelta(seconds=delay), expires_at)


def is_silence_over(*, attempts_made: int) -> bool:
    """Return whether a command that is due again has been silent for the minute that makes it failed."""
    return attempts_made > len(QUICK_DELAYS_SECONDS)


def _delay_seconds(attempts_made: int, *, is_patient: bool) -> int:
    if is_patient and attempts_made > PATIENT_AFTER_TRIES:
        return PATIENT_DELAY_SECONDS
    delays = (*QUICK_DELAYS_SECONDS, SILENCE_SECONDS)
    return delays[attempts_made - 1] if attempts_made <= len(delays) else SLOW_DELAY_SECONDS


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
