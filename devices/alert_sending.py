"""Stage: written messages about alerts → e-mail and webhook, each until it is sent.

Moves `AlertMessage`. A channel is used by one at a time, one message after another, each recorded before the
next leaves: whoever is killed in between repeats one message, under the same id. A channel that fails rests
as a whole, so that a mail server that is away costs one try at a time and no message.
"""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import httpcore
import httpx
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.utils import timezone

from devices.alert_models import AlertMessage, Channel
from devices.domain import alerts as domain
from devices.domain.egress import Destination, Forbidden, destination
from devices.domain.wording import one_line
from devices.drivers.egress import GuardedBackend, look_up, policy_set
from devices.drivers.signed import signed_headers, url_of
from devices.proof_models import Watch
from devices.watching import claim_look, sending_look

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=90)
"""How long a channel is kept by whoever sends; longer than a run and the longest single try after it."""
RUN_SECONDS: Final = 20
ANSWER_SECONDS: Final = 10
MOST_TEXT: Final = 30_000


class NotSent(Exception):
    """The message did not arrive; the text says why, for operators."""


def send_alerts(*, now: datetime) -> int:
    """Send every message that is due on channels nobody uses, and return how many were sent."""
    return sum(_send_on(channel, now=now) for channel in Channel)


def _send_on(channel: Channel, *, now: datetime) -> int:
    due = AlertMessage.objects.filter(channel=channel, next_attempt_at__lte=now)
    if not due.exists() or not claim_look(sending_look(channel), again_at=now + LEASE, now=now):
        return 0
    sent, began = 0, time.monotonic()
    free_at = now
    while (passed := time.monotonic() - began) < RUN_SECONDS:
        at = now + timedelta(seconds=passed)
        message = due.order_by("next_attempt_at", "pk").first()
        if message is None:
            break
        if rests_until := _try(message, now=at):
            free_at = rests_until
            break
        sent += 1
    Watch.objects.filter(name=sending_look(channel)).update(next_look_at=free_at)
    return sent


def _try(message: AlertMessage, *, now: datetime) -> datetime | None:
    """Send one message and record it; return until when the channel is to rest if that failed.

    Another try is written down first, so that a message on which whoever tries dies holds up no others.
    """
    row = AlertMessage.objects.filter(pk=message.pk)
    row.update(attempt_count=F("attempt_count") + 1, next_attempt_at=now + LEASE)
    try:
        (_mail if message.channel == Channel.EMAIL else _post)(message)
    except NotSent as reason:
        again_at = now + domain.pause(message.attempt_count + 1)
        is_over = again_at > message.created_at + domain.TRIED_FOR
        row.update(next_attempt_at=None if is_over else again_at, detail=str(reason))
        logger.warning("Alert message %s not sent: %s", message.message_id, reason)
        return again_at
    _note_sent(message, now=now)
    return None


def _note_sent(message: AlertMessage, *, now: datetime) -> None:
    AlertMessage.objects.filter(pk=message.pk).update(next_attempt_at=None, sent_at=now, detail="")


def _mail(message: AlertMessage) -> None:
    """Send one message to every address.

    Raises:
        NotSent: the mail server is away or refuses it.
    """
    if not settings.ALERT_EMAILS:
        raise NotSent("ALERT_EMAILS names nobody any more.")
    mail = EmailMessage(
        subject=message.subject,
        body=message.text,
        from_email=settings.ALERT_EMAIL_FROM,
        to=settings.ALERT_EMAILS,
        headers={"Message-ID": f"<{message.message_id}@leapvpp>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except smtplib.SMTPException as error:
        raise NotSent(f"The mail server refused it: {one_line(str(error))}") from error
    except ValueError as error:
        raise NotSent(f"No mail can be made of it: {one_line(str(error))}") from error
    except OSError as error:
        raise NotSent(f"The mail server cannot be reached: {type(error).__name__}.") from error


def _post(message: AlertMessage) -> None:
    """Send one message to the webhook, signed.

    Raises:
        NotSent: the address is closed to the portal, nothing answers, or not with 2xx.
    """
    try:
        status = asyncio.run(_answer(message))
    except Forbidden as reason:
        raise NotSent(f"ALERT_WEBHOOK_URL {reason}") from reason
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError) as error:
        raise NotSent(f"The webhook's server cannot be reached: {type(error).__name__}.") from error
    if not 200 <= status < 300:
        raise NotSent(f"The webhook's server answered {status}.")


async def _answer(message: AlertMessage) -> int:
    """Make the request and return the status; the answer's body is not read."""
    where = _where()
    content = {"text": _slack(message.text), **message.payload}
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = signed_headers(
        where=where,
        message_id=message.message_id,
        body=body,
        secrets=settings.ALERT_WEBHOOK_SECRET,
        now=timezone.now(),
    )
    backend = GuardedBackend(policy=policy_set, resolve=_resolve)
    async with asyncio.timeout(ANSWER_SECONDS):
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(), network_backend=backend
            ) as pool,
            pool.stream("POST", url_of(where), headers=headers, content=body) as response,
        ):
            return response.status


def _where() -> Destination:
    """Take the address apart by the rules for devices; its port is the one that the settings name."""
    port = httpx.URL(settings.ALERT_WEBHOOK_URL).port
    ports = policy_set().ports | ({port} if port else set())
    return destination(settings.ALERT_WEBHOOK_URL, policy=replace(policy_set(), ports=ports))


async def _resolve(host: str, port: int) -> Sequence[str]:
    return await asyncio.get_running_loop().run_in_executor(None, look_up, host, port)


def _slack(text: str) -> str:
    """Return a text in which nothing is a mention or a link to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:MOST_TEXT]
