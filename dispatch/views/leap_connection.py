"""The connection to Leap: what it is, what Leap holds for us, and mending it. No page waits for Leap."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from dispatch.changing_leap import ActRefused, ask_for
from dispatch.checking_leap import NO_KEY, request_check
from dispatch.domain.leap_connection import EVENT_TYPES, Look
from dispatch.reading import leap_connection as reading
from dispatch.reading.words import counted
from dispatch.reading.zones import page_zone
from meters.connection_models import LeapActKind

PAGE: Final = "dispatch:leap"
SEND_NEW_KEY: Final = "SEND_NEW_KEY"
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Deed:
    """How a change at Leap is named, and what it does, in words."""

    title: str
    text: str
    button: str
    is_dangerous: bool = False


DEEDS: Final = {
    LeapActKind.SET_WEBHOOK: Deed(
        "Have Leap post dispatches here?",
        "Leap posts this level's dispatches to us from then on, with the first key of"
        " LEAP_WEBHOOK_KEYS. What it holds for this level now is overwritten.",
        "Set the webhook",
    ),
    LeapActKind.DELETE_WEBHOOK: Deed(
        "Stop Leap's posts of dispatches?",
        "Leap posts no dispatch of this level any more, to us or to anybody. Dispatches are found"
        " by the search alone then, up to a minute later. Set it again here to undo.",
        "Delete the webhook",
        is_dangerous=True,
    ),
    LeapActKind.SUBSCRIBE: Deed(
        "Subscribe to platform events?",
        "Leap tells us of new meters, of enrollment, participation, required actions and groups,"
        " and of customers' connections, as they happen. Should a subscription lead to us already,"
        " it is set anew instead.",
        "Subscribe",
    ),
    LeapActKind.UPDATE_SUBSCRIPTION: Deed(
        "Set this subscription anew?",
        "Leap posts its events to us, of all seven types, with the first key of LEAP_WEBHOOK_KEYS."
        " What it holds of this subscription now is overwritten.",
        "Set the subscription",
    ),
    LeapActKind.DELETE_SUBSCRIPTION: Deed(
        "Delete this subscription?",
        "Leap posts none of its events any more. Should it lead elsewhere, whoever listens there"
        " hears nothing then. Changes of meters come with the hourly sync alone. To undo, subscribe"
        " again.",
        "Delete the subscription",
        is_dangerous=True,
    ),
    LeapActKind.TEST_SUBSCRIPTION: Deed(
        "Have Leap send a test event?",
        "Leap posts one sample event to the subscription's address and says what came of it. Where"
        " it leads to us, the meter it names is read again from Leap; nothing else happens.",
        "Send a test",
    ),
}
NEW_KEY: Final = Deed(
    "Have Leap send the new key?",
    "Leap sends the first key of LEAP_WEBHOOK_KEYS with everything it posts to us from then on:"
    " dispatches of the levels that lead to us, and platform events. The older key opens the door as"
    " long as it stands in the list.",
    "Have Leap send it",
)


@require_GET
def connection(request: HttpRequest) -> HttpResponse:
    """Show how the connection stands, as Leap last said it."""
    return render(request, "dispatch/leap.html", _context(request))


def _context(request: HttpRequest) -> dict[str, object]:
    found = reading.read_connection(now=timezone.now())
    return {"leap": found, "zone": page_zone(request), "event_types": EVENT_TYPES}


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def check(request: HttpRequest) -> HttpResponse:
    """Have a worker ask Leap what it holds for us."""
    if settings.LEAP_API_KEY:
        request_check(now=timezone.now())
    else:
        messages.error(request, NO_KEY)
    return redirect(PAGE)


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def act(request: HttpRequest) -> HttpResponse:
    """Say what would be done at Leap; do it once that was confirmed."""
    kind, target = request.POST.get("kind", ""), request.POST.get("target", "")
    found = reading.read_connection(now=timezone.now())
    targets = _targets(kind, target, found)
    deed = NEW_KEY if kind == SEND_NEW_KEY else DEEDS.get(kind)  # type: ignore[call-overload]  # text or code
    if deed is None or not targets:
        messages.error(request, "Nothing was done: Leap holds nothing like that any more.")
        return redirect(PAGE)
    if "confirm" not in request.POST:
        shown = {
            "deed": deed,
            "kind": kind,
            "target": target,
            "targets": targets,
            "leap": found,
            "is_both": kind == LeapActKind.SET_WEBHOOK
            and any(look.hook for look in found.webhooks if look.id != target),
        }
        return render(request, "dispatch/leap_confirm.html", shown)
    by, now = request.user.get_username(), timezone.now()
    try:
        for one, look in targets:
            ask_for(one, target=look.id, by=by, now=now)
    except ActRefused as refused:
        messages.error(request, f"Nothing was done. {refused}")
    else:
        messages.success(request, f"{counted(len(targets), one='request')} on the way to Leap; see below.")
    return redirect(PAGE)


def _targets(kind: str, target: str, found: reading.Connection) -> list[tuple[str, Look]]:
    """Return what an act is about: one hook, or for a new key all that lead to us."""
    webhooks = [look for look in found.webhooks if look.is_ours]
    subscriptions = [look for look in found.subscriptions if look.is_ours and look.hook]
    if kind == SEND_NEW_KEY:
        return [
            *((LeapActKind.SET_WEBHOOK, look) for look in webhooks),
            *((LeapActKind.UPDATE_SUBSCRIPTION, look) for look in subscriptions),
        ]
    if kind in {LeapActKind.SET_WEBHOOK, LeapActKind.DELETE_WEBHOOK}:
        return [(kind, look) for look in found.webhooks if look.id == target]
    if kind == LeapActKind.SUBSCRIBE:
        return [(kind, Look("", None, (), is_ours=False))]
    if kind not in LeapActKind.values:
        return []
    return [(kind, look) for look in found.subscriptions if look.hook and look.id == target]


@require_POST
@never_cache
@permission_required("dispatch.administer", raise_exception=True)
def new_key(request: HttpRequest) -> HttpResponse:
    """Make a key and show it once. It is stored nowhere: it counts once it stands in LEAP_WEBHOOK_KEYS."""
    context = {"new_key": secrets.token_urlsafe(KEY_BYTES), **_context(request)}
    return render(request, "dispatch/leap_key.html", context)
