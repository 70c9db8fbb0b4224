"""Stage: what Leap holds for us → `LeapCheck`, the one row that pages show with its age.

Asked hourly, after every change at Leap, and when somebody asks. No page waits for Leap. Keys in its answer
are compared here and forgotten: what is stored are fingerprints.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from dispatch import queue
from dispatch.domain.leap_connection import (
    LOOPBACK,
    Held,
    Hook,
    Ours,
    held_as_json,
    held_from_json,
    shown_url,
    with_since,
    words_of_refusal,
)
from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError, LeapRefused, storable
from leapvpp.leap.values import Header, Level
from meters.connection_models import LeapCheck
from meters.fingerprints import fingerprint, webhook_keys

logger = logging.getLogger(__name__)
T = TypeVar("T")

CHECK_EVERY: Final = timedelta(hours=1)
CHECK_AGAIN_AFTER: Final = timedelta(minutes=5)
LEASE: Final = timedelta(seconds=60)
ANSWER_SECONDS: Final = 5.0
KEYS: Final = "keys"
"""In the stored answer: the fingerprints that Leap's headers were compared with."""
NO_KEY: Final = "LEAP_API_KEY is not set, so Leap cannot be asked."


def ours() -> Ours:
    """Say what Leap should hold for us, as the settings have it."""
    return Ours(
        dispatch_url=_address("dispatch-webhook"),
        events_url=_address("events-webhook"),
        header=settings.LEAP_WEBHOOK_HEADER,
        keys=webhook_keys(),
    )


def is_simulated() -> bool:
    """Say whether Leap is a simulator on this machine, which may post to this machine."""
    return (urlsplit(settings.LEAP_API_BASE_URL).hostname or "") in LOOPBACK


def _address(name: str) -> str:
    """Return the address of a door as Leap reaches it; "" while PORTAL_URL names this machine alone."""
    is_own = (urlsplit(settings.PORTAL_URL).hostname or "") in LOOPBACK
    if is_own and not is_simulated():
        return ""
    return f"{settings.PORTAL_URL}{reverse(name).rstrip('/')}/"


def request_check(*, now: datetime) -> None:
    """Have Leap asked soon; asking twice is asking once."""
    with transaction.atomic():
        LeapCheck.objects.update_or_create(only=1, defaults={"requested_at": now})
        queue.wake_leap_connection()


def is_due(*, now: datetime) -> bool:
    """Say whether Leap is to be asked now, and nobody does. One question."""
    if not settings.LEAP_API_KEY:
        return False
    check = LeapCheck.objects.first()
    if check is None:
        return True
    if check.claimed_until is not None and check.claimed_until > now:
        return False
    if check.requested_at is not None or check.tried_at is None:
        return True
    if check.error:
        return now - check.tried_at >= CHECK_AGAIN_AFTER
    return now - check.tried_at >= (LEASE if _is_of_other_settings(check) else CHECK_EVERY)


def _is_of_other_settings(check: LeapCheck) -> bool:
    """Say whether the stored answer was compared with other keys, or came from another Leap."""
    is_elsewhere = check.base_url != settings.LEAP_API_BASE_URL
    return check.answered_at is not None and (is_elsewhere or check.answer.get(KEYS) != list(webhook_keys()))


def check_if_due(*, now: datetime) -> bool:
    """Ask Leap what it holds for us, if that is due; return whether it was."""
    if not is_due(now=now):
        return False
    LeapCheck.objects.get_or_create(only=1)
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    if not LeapCheck.objects.filter(free).update(claimed_until=now + LEASE):
        return False
    _store(_ask(), now=now)
    return True


def _ask() -> Held | LeapError:
    """Ask for both webhooks and the subscriptions; a part that is refused says so and costs no other."""
    refused: dict[str, str] = {}
    webhooks: list[Hook] = []
    subscriptions: Sequence[Hook] = ()
    errors: list[LeapError] = []

    def tried(part: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except LeapError as error:
            refused[part] = words_of(error)
            errors.append(error)
            return None

    with client() as leap:
        for level in Level:
            hook = tried(level, lambda level=level: hook_of(leap, level))  # type: ignore[misc]  # bound now
            if hook:
                webhooks.append(hook)
        subscriptions = tried("subscriptions", lambda: subscriptions_of(leap)) or ()
    if len(errors) == len(Level) + 1:
        return errors[0]
    return Held(webhooks=tuple(webhooks), subscriptions=tuple(subscriptions), refused=refused or None)


def client(*, total_seconds: float = ANSWER_SECONDS) -> LeapClient:
    """Open a connection to Leap that asks once and waits no longer than that for each answer."""
    return LeapClient(
        base_url=settings.LEAP_API_BASE_URL,
        api_key=settings.LEAP_API_KEY,
        attempts=1,
        total_seconds=total_seconds,
    )


def words_of(error: LeapError) -> str:
    """Say what went wrong, in words that may be stored and shown."""
    status = error.status if isinstance(error, LeapRefused) else None
    text = words_of_refusal(status, base_url=settings.LEAP_API_BASE_URL, detail=str(error))
    return storable(without_keys(text))


def without_keys(text: str) -> str:
    """Take every key of ours out of a text of Leap's."""
    for key in (settings.LEAP_API_KEY, *settings.LEAP_WEBHOOK_KEYS):
        text = text.replace(key, "***") if key else text
    return text


def hook_of(leap: LeapClient, level: Level) -> Hook | None:
    """Ask where Leap posts a level's dispatches."""
    webhook = leap.get_dispatch_webhook(level=level)
    if webhook is None:
        return None
    return hook(level, webhook.url, webhook.headers)


def subscriptions_of(leap: LeapClient) -> tuple[Hook, ...]:
    """Ask for the subscriptions to events of the platform."""
    return tuple(
        hook(each.webhook_id, each.receiver_url, each.headers, event_types=each.event_types)
        for each in leap.list_subscriptions()
    )


def hook(name: str, url: str, headers: Sequence[Header], *, event_types: Sequence[str] = ()) -> Hook:
    """Keep of what Leap holds what may be kept: no value of a header, and no secret of an address."""
    sent = next(
        (each.value for each in headers if each.name.lower() == settings.LEAP_WEBHOOK_HEADER.lower()), ""
    )
    known = next((key for key in settings.LEAP_WEBHOOK_KEYS if key and _is_same(sent, key.strip())), "")
    return Hook(
        id=storable(str(name))[:256],
        url=storable(without_keys(shown_url(url)))[:500],
        headers=tuple(storable(each.name)[:100] for each in headers),
        key=fingerprint(known.strip()),
        event_types=tuple(storable(kind)[:256] for kind in event_types),
    )


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _store(found: Held | LeapError, *, now: datetime) -> None:
    """Write the answer, or why there is none; the last answer stays then."""
    check = LeapCheck.objects.get(only=1)
    answered_at = timezone.now()
    fields: dict[str, Any] = {"tried_at": answered_at, "claimed_until": None, "error": "", "status": None}
    if check.requested_at is not None and check.requested_at <= now:
        fields["requested_at"] = None
    key = fingerprint(settings.LEAP_API_KEY)
    if key != check.api_key:
        fields |= {"api_key": key, "api_key_since": now}
    if isinstance(found, LeapError):
        fields["error"] = words_of(found)
        fields["status"] = found.status if isinstance(found, LeapRefused) else None
        logger.warning("Leap did not say what it holds for us: %s", fields["error"])
    else:
        is_same_place = check.base_url == settings.LEAP_API_BASE_URL
        before = held_from_json(check.answer) if is_same_place and check.answered_at else None
        held = with_since(found, before=before, now=answered_at)
        fields |= {
            "answer": held_as_json(held) | {KEYS: list(webhook_keys())},
            "answered_at": answered_at,
            "base_url": settings.LEAP_API_BASE_URL,
        }
    LeapCheck.objects.filter(pk=check.pk).update(**fields)
