"""How processes that hear many devices write: whole batches, always from one thread, with a sign of life."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db import Error, InterfaceError, OperationalError, connection

from leapvpp.health import note_heartbeat

logger = logging.getLogger(__name__)

BEAT_EVERY: Final = timedelta(seconds=5)


class Beat:
    """The sign of life of one process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.noted_at: datetime | None = None

    def note(self, *, now: datetime) -> bool:
        """Store it when it is time, and return whether it was."""
        if self.noted_at is not None and now - self.noted_at < BEAT_EVERY:
            return False
        note_heartbeat(name=self.name, now=now)
        self.noted_at = now
        return True


def is_dealt_with(write: Callable[[], object], *, what: str) -> bool:
    """Write a batch; False if the database does not answer, so that it is to be tried again.

    One that the database refuses is left out: no other try would fare better, and all else would wait for it.
    """
    try:
        write()
    except (OperationalError, InterfaceError) as error:
        logger.warning("The database does not answer: %s", error)
        connection.close()
        return False
    except Error:
        logger.exception("%s cannot be written and are left out", what)
        connection.close()
    return True
