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
    """Admits whoever sends one of the live keys in the one header meant for it."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """Raise AuthenticationFailed unless the key is right; there is no user behind it."""
        name = "HTTP_" + settings.LEAP_WEBHOOK_HEADER.upper().replace("-", "_")
        if not is_live_key(str(request.META.get(name, ""))):
            raise AuthenticationFailed
        return None, "leap"

    def authenticate_header(self, request: Request) -> str:
        return "ApiKey"


def is_live_key(sent: str) -> bool:
    """Say whether a header's value is one of the live keys; all are compared, in constant time.

    The server joins two headers of the same name with a comma, and no key holds one: a doubled header fails.
    """
    # As bytes: comparing text that is not ASCII raises.
    sent_bytes = sent.encode("latin-1", "backslashreplace")
    matches = [
        hmac.compare_digest(sent_bytes, key.strip().encode())
        for key in settings.LEAP_WEBHOOK_KEYS
        if key.strip()
    ]
    return any(matches)
