"""When a device that answers nothing is left alone, so that it takes no turn from those that do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

OPENS_AFTER: Final = 5
"""Tries in a row without an answer after which a device rests between tries."""

RESTS_FOR: Final = timedelta(seconds=30)


def rests_until(*, silent_tries: int, now: datetime) -> datetime | None:
    """Return until when a device is left alone after its latest try; None while its breaker is closed."""
    return now + RESTS_FOR if silent_tries >= OPENS_AFTER else None
