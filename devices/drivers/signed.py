"""Requests that leave for an address somebody typed, signed as Standard Webhooks are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import httpcore
from standardwebhooks import Webhook

from devices.domain.egress import Destination

Headers = list[tuple[bytes | str, bytes | str]]


def url_of(where: Destination) -> httpcore.URL:
    """Hand over the parts, so that the address is not taken apart a second time by other rules."""
    return httpcore.URL(
        scheme=where.scheme.encode(),
        host=where.host.encode(),
        port=where.port,
        target=where.target.encode(),
    )


def signed_headers(
    *, where: Destination, message_id: UUID, body: bytes, secrets: Sequence[str], now: datetime
) -> Headers:
    """Return the headers of a JSON body; without secrets it is not signed.

    Whoever repeats a message gives it the same id, so that the receiver can tell.
    """
    named = f"msg_{message_id.hex}"
    headers: Headers = [
        ("host", where.authority),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("user-agent", "leapvpp"),
        ("webhook-id", named),
        ("webhook-timestamp", str(int(now.timestamp()))),
    ]
    if secrets:
        signatures = [
            Webhook(secret).sign(msg_id=named, timestamp=now, data=body.decode()) for secret in secrets
        ]
        headers.append(("webhook-signature", " ".join(signatures)))
    return headers
