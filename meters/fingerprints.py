"""Names for keys, so that they can be told apart where they must not be shown."""

from __future__ import annotations

from django.conf import settings
from django.utils.crypto import salted_hmac

_SALT = "meters.fingerprints"
LENGTH = 8


def fingerprint(key: str) -> str:
    """Return eight hex digits for a key, "" for none; of no use to whoever does not have SECRET_KEY."""
    return salted_hmac(_SALT, key, algorithm="sha256").hexdigest()[:LENGTH] if key else ""


def webhook_keys() -> tuple[str, ...]:
    """Return the fingerprints of the keys that Leap may send, the one that it should send first."""
    return tuple(fingerprint(key.strip()) for key in settings.LEAP_WEBHOOK_KEYS if key.strip())
