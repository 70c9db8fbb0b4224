"""Stage: what admins want changed at Leap → Leap, once; `LeapAct` says who, when, before and after.

Written before Leap is asked. Whoever claims the row asks; a row whose claimer died is closed as not known,
and Leap is asked what it holds, which the page shows. Every act sets a state, so to do it again does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from dispatch import queue
from dispatch.checking_leap import (
    ANSWER_SECONDS,
    NO_KEY,
    client,
    hook,
    hook_of,
    is_due,
    is_simulated,
    ours,
    request_check,
    subscriptions_of,
    without_keys,
    words_of,
)
from dispatch.domain.leap_connection import (
    DISPATCH_PORTS,
    EVENT_PORTS,
    EVENT_TYPES,
    Hook,
    is_same_url,
    problem_of_url,
)
from leapvpp.leap.client import TEST_READ_SECONDS, LeapClient
from leapvpp.leap.errors import LeapError, storable
from leapvpp.leap.values import Header, Level
from meters.connection_models import LeapAct, LeapActKind, LeapActState
from meters.fingerprints import fingerprint
from meters.models import Meter

logger = logging.getLogger(__name__)

GIVEN_UP_AFTER: Final = timedelta(seconds=90)
WAKE_UP_TIME: Final = timedelta(seconds=1)
TEST_SECONDS: Final = TEST_READ_SECONDS + 5
NOBODYS_METER: Final = "11111111-1111-1111-1111-111111111111"
"""The meter of Leap's own examples."""
UNKNOWN: Final = "The worker stopped while Leap was asked. What Leap holds stands on this page."
OTHER_KEYS: Final = "The worker runs with other keys than the web: restart the portal, then do it again."
DISPATCH: Final = frozenset({LeapActKind.SET_WEBHOOK, LeapActKind.DELETE_WEBHOOK})


class ActRefused(ValueError):
    """It cannot be done; the message is one plain sentence for whoever asked."""


def ask_for(kind: str, *, target: str, by: str, now: datetime) -> LeapAct:
    """Store what is to be done at Leap and wake a worker. `target`: a level, or a subscription's id.

    Raises:
        ActRefused: no API key is set, or Leap could not reach the address that it would be given.
    """
    if not settings.LEAP_API_KEY:
        raise ActRefused(NO_KEY)
    url = wanted_url(kind)
    if problem := url_problem(kind, url):
        raise ActRefused(problem)
    with transaction.atomic():
        act = LeapAct.objects.create(
            kind=kind,
            target=target,
            url=url,
            key=fingerprint(settings.LEAP_WEBHOOK_KEYS[0]) if url else "",
            asked_by=by,
            asked_at=now,
        )
        queue.wake_leap_connection()
    return act


def wanted_url(kind: str) -> str:
    """Return the address that Leap would be given; "" for what gives none."""
    if kind == LeapActKind.SET_WEBHOOK:
        return ours().dispatch_url
    return ours().events_url if kind in {LeapActKind.SUBSCRIBE, LeapActKind.UPDATE_SUBSCRIPTION} else ""


def url_problem(kind: str, url: str) -> str:
    """Say why Leap could not be given the address; "" if it can, or needs none."""
    if kind not in {LeapActKind.SET_WEBHOOK, LeapActKind.SUBSCRIBE, LeapActKind.UPDATE_SUBSCRIPTION}:
        return ""
    if not url:
        return "Set PORTAL_URL to the address at which Leap reaches the portal, and start it again."
    ports = DISPATCH_PORTS if kind in DISPATCH else EVENT_PORTS
    problem = problem_of_url(url, ports=ports, is_simulated=is_simulated())
    return f"PORTAL_URL leads to {url}. {problem}" if problem else ""


def send_waiting(*, now: datetime) -> int:
    """Do everything that waits; return how many acts. Those left half done are closed as not known."""
    stale = LeapAct.objects.filter(state=LeapActState.SENDING, sent_at__lte=now - GIVEN_UP_AFTER)
    is_any_stale = stale.update(state=LeapActState.UNKNOWN, detail=UNKNOWN, answered_at=now)
    sent = 0
    for act in LeapAct.objects.filter(state=LeapActState.WAITING).order_by("pk"):
        claimed = LeapAct.objects.filter(pk=act.pk, state=LeapActState.WAITING)
        if claimed.update(state=LeapActState.SENDING, sent_at=timezone.now()) == 1:
            _send(act)
            sent += 1
    if sent or is_any_stale:
        request_check(now=timezone.now())
    return sent


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task to wake when something is to be done at Leap, or Leap to be asked. Two questions."""
    return (queue.TEND_LEAP,) if is_waiting(now=now) or is_due(now=now) else ()


def is_waiting(*, now: datetime) -> bool:
    """Say whether an act waits, or a worker that died left one half done. One question."""
    half_done = Q(state=LeapActState.SENDING, sent_at__lte=now - GIVEN_UP_AFTER)
    return LeapAct.objects.filter(Q(state=LeapActState.WAITING) | half_done).exists()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Leap held before and holds now, and what else it said."""

    before: Hook | None = None
    after: Hook | None = None
    detail: str = ""
    is_good: bool = True


def _send(act: LeapAct) -> None:
    """Ask Leap, outside any transaction, and store what it answered."""
    try:
        if act.key and act.key != fingerprint(settings.LEAP_WEBHOOK_KEYS[0]):
            outcome = Outcome(detail=OTHER_KEYS, is_good=False)
        else:
            seconds = TEST_SECONDS if act.kind == LeapActKind.TEST_SUBSCRIPTION else ANSWER_SECONDS
            with client(total_seconds=seconds) as leap:
                outcome = DEEDS[LeapActKind(act.kind)](leap, act)
    except LeapError as error:
        outcome = Outcome(detail=words_of(error), is_good=False)
    except ValueError as error:  # a key that no header can carry
        outcome = Outcome(detail=without_keys(str(error)), is_good=False)
    LeapAct.objects.filter(pk=act.pk).update(
        state=LeapActState.DONE if outcome.is_good else LeapActState.FAILED,
        before=_told(outcome.before),
        after=_told(outcome.after),
        detail=storable(outcome.detail),
        answered_at=timezone.now(),
    )
    logger.info("Leap was asked by %s to %s: %s", act.asked_by, act.kind, outcome.is_good)


def _told(held: Hook | None) -> dict[str, Any]:
    """Write a hook for the record."""
    if held is None:
        return {}
    known = {"url": held.url, "headers": list(held.headers), "key": held.key}
    return known | ({"event_types": list(held.event_types)} if held.event_types else {})


def our_header() -> Header:
    """Return the header with the key that Leap is to send: the first of LEAP_WEBHOOK_KEYS."""
    return Header(name=settings.LEAP_WEBHOOK_HEADER, value=settings.LEAP_WEBHOOK_KEYS[0].strip())


def set_webhook(leap: LeapClient, *, level: Level, url: str) -> Hook:
    """Have Leap post a level's dispatches to us, with our key; return what it holds then."""
    webhook = leap.set_dispatch_webhook(level=level, url=url, headers=[our_header()])
    return hook(level, webhook.url, webhook.headers)


def _set_webhook(leap: LeapClient, act: LeapAct) -> Outcome:
    level = Level(act.target)
    before = hook_of(leap, level)
    return Outcome(before=before, after=set_webhook(leap, level=level, url=act.url))


def _delete_webhook(leap: LeapClient, act: LeapAct) -> Outcome:
    level = Level(act.target)
    before = hook_of(leap, level)
    was_there = leap.delete_dispatch_webhook(level=level)
    return Outcome(before=before, detail="" if was_there else "Nothing was registered any more.")


def _subscribe(leap: LeapClient, act: LeapAct) -> Outcome:
    """Subscribe us, or set the subscription that leads to us already: two would bring every event twice."""
    mine = [each for each in subscriptions_of(leap) if is_same_url(each.url, act.url)]
    if mine:
        return _update(leap, act, before=mine[0])
    new = leap.create_subscription(receiver_url=act.url, event_types=EVENT_TYPES, headers=[our_header()])
    return Outcome(after=hook(new, act.url, [our_header()], event_types=EVENT_TYPES))


def _update_subscription(leap: LeapClient, act: LeapAct) -> Outcome:
    before = next((each for each in subscriptions_of(leap) if each.id == act.target), None)
    if before is None:
        return Outcome(detail="Leap holds no such subscription any more.", is_good=False)
    return _update(leap, act, before=before)


def _update(leap: LeapClient, act: LeapAct, *, before: Hook) -> Outcome:
    """Set all of a subscription; types that we do not know of stay subscribed."""
    types = (*EVENT_TYPES, *(kind for kind in before.event_types if kind not in EVENT_TYPES))
    leap.update_subscription(
        webhook_id=before.id, receiver_url=act.url, event_types=types, headers=[our_header()]
    )
    return Outcome(before=before, after=hook(before.id, act.url, [our_header()], event_types=types))


def _delete_subscription(leap: LeapClient, act: LeapAct) -> Outcome:
    before = next((each for each in subscriptions_of(leap) if each.id == act.target), None)
    if before is None:
        return Outcome(detail="Leap held no such subscription any more.")
    leap.delete_subscription(webhook_id=act.target)
    return Outcome(before=before)


def _test_subscription(leap: LeapClient, act: LeapAct) -> Outcome:
    """Have Leap post a sample event, of a meter that is then only read again."""
    known = Meter.objects.order_by("pk").values_list("meter_id", "transmission_region").first()
    meter_id, region = known or (NOBODYS_METER, "CAISO")
    result = leap.test_subscription(
        webhook_id=act.target,
        payload={
            "webhook_event_type": EVENT_TYPES[0],
            "meter_id": meter_id,
            "transmission_region": region or "CAISO",
        },
    )
    took = f" in {result.response_time_ms:,} ms" if result.response_time_ms is not None else ""
    if result.status_code is not None:
        said = f"Our webhook answered {result.status_code}{took}."
    else:
        said = f"Our webhook did not answer Leap. {result.error or ''}".strip()
    return Outcome(detail=without_keys(said), is_good=result.is_successful)


DEEDS: Final[Mapping[LeapActKind, Callable[[LeapClient, LeapAct], Outcome]]] = {
    LeapActKind.SET_WEBHOOK: _set_webhook,
    LeapActKind.DELETE_WEBHOOK: _delete_webhook,
    LeapActKind.SUBSCRIBE: _subscribe,
    LeapActKind.UPDATE_SUBSCRIPTION: _update_subscription,
    LeapActKind.DELETE_SUBSCRIPTION: _delete_subscription,
    LeapActKind.TEST_SUBSCRIPTION: _test_subscription,
}
