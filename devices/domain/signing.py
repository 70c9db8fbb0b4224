"""Secrets of Standard Webhooks, by which a device knows that a request is the portal's.

Source: Standard Webhooks, “Symmetric signatures” (github.com/standard-webhooks/standard-webhooks, spec).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""In bytes, before they are written in base64."""


def is_secret(text: object) -> bool:
    """Say whether a text is `whsec_` and 24 to 64 bytes in base64.

    >>> is_secret("whsec_" + "A" * 32), is_secret("whsec_short"), is_secret("secret")
    (True, False, False)
    """
    if not isinstance(text, str) or not text.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return SHORTEST <= len(key) <= LONGEST
