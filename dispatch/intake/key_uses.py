"""When each live key last opened each door: a small write a minute, after a delivery is stored."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError, InterfaceError

from dispatch.receiving import impatient_transaction
from meters.connection_models import WebhookKeyUse
from meters.fingerprints import fingerprint

logger = logging.getLogger(__name__)

NOTE_EVERY: Final = timedelta(minutes=1)
_noted_at: dict[tuple[str, str], datetime] = {}
"""Of this process, by key and door. Two threads that both find it old write twice, which does no harm."""


def note_use(key: str, *, door: str, now: datetime) -> None:
    """Remember that a key opened a door; never fails a delivery, and waits for nobody."""
    noted_at = _noted_at.get((key, door))
    if noted_at is not None and timedelta(0) <= now - noted_at < NOTE_EVERY:
        return
    _noted_at[key, door] = now
    try:
        _write(fingerprint(key), door=door, now=now)
    except (DatabaseError, InterfaceError):
        logger.exception("The use of a key could not be noted")


def _write(print_: str, *, door: str, now: datetime) -> None:
    with impatient_transaction():
        known = WebhookKeyUse.objects.filter(fingerprint=print_, door=door)
        if not known.update(latest_at=now):
            WebhookKeyUse.objects.bulk_create(
                [WebhookKeyUse(fingerprint=print_, door=door, first_at=now, latest_at=now)],
                ignore_conflicts=True,
            )
