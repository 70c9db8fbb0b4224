"""Whether a delivery is Leap's: a static key in a header is all that Leap sends.

Source: Leap, "Webhook Push Notifications": no signature; header names arrive in lower case.
"""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class WebhookKeyAuthentication(BaseAuthentication):
    """Admits whoever sends a live key in the one header meant for it; `request.auth` is that key."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """Raise AuthenticationFailed unless the key is right; there is no user behind it."""
        name = "HTTP_" + settings.LEAP_WEBHOOK_HEADER.upper().replace("-", "_")
        key = live_key(str(request.META.get(name, "")))
        if key is None:
            raise AuthenticationFailed
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "ApiKey"


def live_key(sent: str) -> str | None:
    """Return which of the live keys a header's value is, if any; all are compared, in constant time.

    The server joins two headers of the same name with a comma, and no key holds one: a doubled header fails.
    """
    # As bytes: comparing text that is not ASCII raises.
    sent_bytes = sent.encode("latin-1", "backslashreplace")
    found = None
    for key in settings.LEAP_WEBHOOK_KEYS:
        if key.strip() and hmac.compare_digest(sent_bytes, key.strip().encode()):
            found = key.strip()
    return found
