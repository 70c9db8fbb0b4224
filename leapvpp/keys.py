"""Keys of the REST API: made once, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from django.db import OperationalError
from django.db.models import Q

from leapvpp.models import ApiKey, Role

logger = logging.getLogger(__name__)

KEY_PREFIX = "vpp_"
SHOWN_CHARACTERS = 12
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_api_key(*, name: str, role: str, now: datetime, expires_at: datetime | None = None) -> str:
    """Store a new key's hash and return the key, which cannot be shown again.

    Raises: ValueError if there is no such role.
    """
    return issue_key(ApiKey(name=name, role=Role(role), expires_at=expires_at), now=now)


def issue_key(row: ApiKey, *, now: datetime) -> str:
    """Fill a row that has a name and a role, store it and return the key it stands for."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row.prefix = key[:SHOWN_CHARACTERS]
    row.digest = digest_of(key)
    row.created_at = now
    row.save()
    return key


def find_api_key(key: str, *, now: datetime) -> ApiKey | None:
    """Return the live row of a key, and note about once a minute that it is in use."""
    if not key.startswith(KEY_PREFIX):
        return None
    live = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    row = ApiKey.objects.filter(live, digest=digest_of(key)).first()
    if row and (row.last_used_at is None or row.last_used_at < now - USE_IS_NOTED_EVERY):
        _note_use(row, now=now)
    return row


def _note_use(row: ApiKey, *, now: datetime) -> None:
    """Note that a key is in use, if the database can write now: reading must not fail for a note."""
    try:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    except OperationalError:
        logger.warning("The use of a key could not be noted: the database is busy")


def digest_of(key: str) -> str:
    """Return the hash a key is stored and looked up by.

    A plain SHA-256 is enough: the key is 256 random bits, so there is nothing to guess slowly.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
