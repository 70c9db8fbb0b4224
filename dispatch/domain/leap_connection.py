"""What Leap holds for us beside what it should: where it posts, with which key, what of, and what to mend.

Knows keys by their fingerprints alone. Source: Leap, "Webhook Push Notifications" (https on port 443; one
address a level; both levels bring every event twice), "Webhook Setup" (443, 8443 or 8843; ten tries within
8 h), "API Key Authentication" (403 for a key that is invalid or of the other environment).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

EVENT_TYPES: Final = (
    "meter.created",
    "meter.enrollment.global-status.updated",
    "meter.enrollment.participation-status.updated",
    "meter.enrollment.required-actions.updated",
    "meter.enrollment.group.updated",
    "connect_session.updated",
    "connect_session.authorization_updated",
)
"""Source: Leap's OpenAPI "Webhook Subscription API" 1.1."""
LEVELS: Final = ("group", "meter")
DISPATCH_PORTS: Final = frozenset({443})
EVENT_PORTS: Final = frozenset({443, 8443, 8843})
DISPATCH_RETRIES: Final = timedelta(minutes=50)
"""How long Leap tries to deliver a dispatch, once a minute."""
EVENT_RETRIES: Final = timedelta(hours=8)
"""How long it tries to deliver an event of the platform, ever more seldom."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ENVIRONMENTS: Final = {"api.leap.energy": "production", "api.staging.leap.energy": "staging"}


def environment_of(base_url: str) -> str:
    """Name the environment behind an address of Leap's API."""
    host = urlsplit(base_url).hostname or ""
    return ENVIRONMENTS.get(host, "simulator" if host in LOOPBACK else "unknown")


@dataclass(frozen=True, slots=True)
class Hook:
    """Where Leap posts: a dispatch webhook (`id` its level) or a subscription (`id` Leap's).

    `key`: fingerprint of the live key that it sends in our header; "" for none of ours. `since`: when this
    address and key were first seen.
    """

    id: str
    url: str
    headers: tuple[str, ...] = ()
    key: str = ""
    event_types: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What Leap holds for us. `refused`: by part, why Leap did not say."""

    webhooks: tuple[Hook, ...] = ()
    subscriptions: tuple[Hook, ...] = ()
    refused: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ours:
    """What it should hold. The addresses are "" while PORTAL_URL does not say where Leap reaches us."""

    dispatch_url: str
    events_url: str
    header: str
    keys: tuple[str, ...]


BOTH_LEVELS: Final = (
    "Both levels are registered: what Leap asks at both comes twice, and one of them is acted upon."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a hook. `kind`: ok, warn, bad or plain. `is_mended`: to set it anew mends it."""

    kind: str
    text: str
    is_mended: bool = False


def is_same_url(one: str, other: str) -> bool:
    """Say whether two addresses lead to the same place: case of the host, usual port, last slash."""
    return bool(one) and _plain(one) == _plain(other)


def _plain(url: str) -> tuple[str, str, int | None, str, str]:
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:  # brackets that do not close, a port that is none
        return (url, "", None, "", "")
    return (parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), parts.query)


def shown_url(url: str) -> str:
    """Return an address without what may be a secret in it: the user before it, the query behind it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def problem_of_url(url: str, *, ports: Collection[int], is_simulated: bool) -> str:
    """Say why Leap could not post to an address; "" if it could."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        return "This is no address."
    if not host:
        return "This is no address."
    if is_simulated:
        return ""
    if parts.scheme != "https" or port not in ports:
        listed = " or ".join(str(each) for each in sorted(ports))
        return f"Leap posts to https addresses on port {listed} alone."
    return "Leap cannot reach this machine's own address." if host in LOOPBACK else ""


def look_at(hook: Hook, *, ours: Ours, url: str, wanted_types: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Say what is wrong with where Leap posts, or that all is well. `url`: ours, "" while it is not known."""
    if not url:
        return (
            Finding(
                "warn", "Whether this is us is not known: set PORTAL_URL to where Leap reaches the portal."
            ),
        )
    if not is_same_url(hook.url, url):
        return (
            Finding(
                "bad", "This address is not ours: what Leap posts there does not reach us.", is_mended=True
            ),
        )
    found = []
    if ours.header.lower() not in {name.lower() for name in hook.headers}:
        found.append(
            Finding("bad", f"Leap sends no header {ours.header}: we refuse all of it.", is_mended=True)
        )
    elif not hook.key:
        text = "Leap sends a key that is not in LEAP_WEBHOOK_KEYS: we refuse all of it."
        found.append(Finding("bad", text, is_mended=True))
    elif ours.keys and hook.key != ours.keys[0]:
        found.append(Finding("warn", "Leap still sends an older key, not the first of ours.", is_mended=True))
    if missing := [kind for kind in wanted_types if kind not in hook.event_types]:
        found.append(Finding("warn", f"It does not tell of: {', '.join(missing)}.", is_mended=True))
    return tuple(found) or (Finding("ok", "Ours, with our header and key."),)


@dataclass(frozen=True, slots=True)
class Look:
    """A place for a hook, what is there and what is to be said of it."""

    id: str
    hook: Hook | None
    findings: tuple[Finding, ...]
    is_ours: bool


def look_at_webhooks(held: Held, *, ours: Ours) -> tuple[Look, ...]:
    """Look at both levels of dispatches, the group's first, as Leap advises it."""
    by_level = {hook.id: hook for hook in held.webhooks}
    ours_at = [
        level for level in LEVELS if level in by_level and is_same_url(by_level[level].url, ours.dispatch_url)
    ]
    looks = []
    for level in LEVELS:
        hook = by_level.get(level)
        if hook:
            findings = look_at(hook, ours=ours, url=ours.dispatch_url)
            if ours_at and level not in ours_at and ours.dispatch_url:
                findings = (Finding("warn", "This level's dispatches go elsewhere.", is_mended=True),)
            if len(ours_at) == len(LEVELS):
                findings += (Finding("plain", BOTH_LEVELS),)
        elif refusal := (held.refused or {}).get(level):
            findings = (Finding("bad", refusal),)
        elif ours_at or by_level:
            findings = (Finding("plain", "Nothing is registered, and one level is enough."),)
        elif level == LEVELS[0]:
            findings = (
                Finding("bad", "Nothing is registered: Leap pushes no dispatch to us.", is_mended=True),
            )
        else:
            findings = (Finding("plain", "Nothing is registered."),)
        looks.append(Look(level, hook, findings, level in ours_at))
    return tuple(looks)


def look_at_subscriptions(held: Held, *, ours: Ours) -> tuple[Look, ...]:
    """Look at the subscriptions, ours first; one that is not there is a look without a hook."""
    looks = []
    mine = [hook for hook in held.subscriptions if is_same_url(hook.url, ours.events_url)]
    for hook in mine:
        findings = look_at(hook, ours=ours, url=ours.events_url, wanted_types=EVENT_TYPES)
        if len(mine) > 1:
            findings += (Finding("warn", "Several subscriptions lead to us: events come several times."),)
        looks.append(Look(hook.id, hook, findings, is_ours=True))
    if refusal := (held.refused or {}).get("subscriptions"):
        looks.append(Look("", None, (Finding("bad", refusal),), is_ours=False))
    elif not mine and ours.events_url:
        text = "Leap tells us nothing of meters: changes come with the hourly sync alone."
        looks.append(Look("", None, (Finding("warn", text, is_mended=True),), is_ours=False))
    for hook in held.subscriptions:
        if hook not in mine:
            if ours.events_url:
                findings = (Finding("plain", "Leads elsewhere: another receiver of this account."),)
            else:
                findings = look_at(hook, ours=ours, url="")
            looks.append(Look(hook.id, hook, findings, is_ours=False))
    return tuple(looks)


def words_of_refusal(status: int | None, *, base_url: str, detail: str) -> str:
    """Say what an error of Leap's means, and what to do."""
    if status in {401, 403}:
        environment = environment_of(base_url)
        return (
            f"Leap refuses the key ({status}): it is not valid, has no permission for this, or belongs to"
            f" another environment. LEAP_API_BASE_URL leads to {environment}; make a key there and set"
            " LEAP_API_KEY."
        )
    return detail


@dataclass(frozen=True, slots=True)
class KeyUse:
    """When a key last opened a door: `door` is DISPATCH or EVENTS."""

    key: str
    door: str
    latest_at: datetime


@dataclass(frozen=True, slots=True)
class KeyState:
    """One of the live keys: what of Leap's sends it, and when it is safe to take it out.

    `safe_at`: when the last delivery that may carry it has been tried; `None` while Leap holds it, while
    that is not known, and for the first key.
    """

    key: str
    is_first: bool
    held_by: tuple[str, ...]
    latest: Mapping[str, datetime]
    safe_at: datetime | None


def look_at_keys(
    held: Held | None, *, ours: Ours, uses: Collection[KeyUse], answered_at: datetime | None
) -> tuple[KeyState, ...]:
    """Say of each live key where it stands in its rotation."""
    hooks = [] if held is None else [*held.webhooks, *held.subscriptions]
    states = []
    for place, key in enumerate(ours.keys):
        latest = {use.door: use.latest_at for use in uses if use.key == key}
        by = tuple(hook.id for hook in hooks if hook.key == key)
        is_free = place > 0 and held is not None and not by and not held.refused
        states.append(
            KeyState(
                key=key,
                is_first=place == 0,
                held_by=by,
                latest=latest,
                safe_at=_last_try(held, latest, ours=ours, otherwise=answered_at)
                if held and is_free
                else None,
            )
        )
    return tuple(states)


def _last_try(
    held: Held, latest: Mapping[str, datetime], *, ours: Ours, otherwise: datetime | None
) -> datetime | None:
    """Return when the last retry is over of what may have been sent with a key that Leap no longer holds.

    A retry may bring the key after Leap was given another; each that comes puts the end off.
    """
    ends = [
        moment + lasts
        for hooks, url, door, lasts in (
            (held.webhooks, ours.dispatch_url, "DISPATCH", DISPATCH_RETRIES),
            (held.subscriptions, ours.events_url, "EVENTS", EVENT_RETRIES),
        )
        for moment in (*(hook.since for hook in hooks if is_same_url(hook.url, url)), latest.get(door))
        if moment is not None
    ]
    return max(ends, default=otherwise)


def held_as_json(held: Held) -> dict[str, Any]:
    """Write what Leap holds as it is stored."""
    return {
        "webhooks": [_hook_as_json(hook) for hook in held.webhooks],
        "subscriptions": [_hook_as_json(hook) for hook in held.subscriptions],
        "refused": dict(held.refused or {}),
    }


def _hook_as_json(hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "headers": list(hook.headers),
        "key": hook.key,
        "event_types": list(hook.event_types),
        "since": hook.since.isoformat() if hook.since else None,
    }


def held_from_json(stored: Mapping[str, Any]) -> Held:
    """Read what was stored."""
    return Held(
        webhooks=tuple(_hook_from_json(each) for each in stored.get("webhooks", ())),
        subscriptions=tuple(_hook_from_json(each) for each in stored.get("subscriptions", ())),
        refused=stored.get("refused") or None,
    )


def _hook_from_json(stored: Mapping[str, Any]) -> Hook:
    return Hook(
        id=stored["id"],
        url=stored["url"],
        headers=tuple(stored["headers"]),
        key=stored["key"],
        event_types=tuple(stored["event_types"]),
        since=datetime.fromisoformat(stored["since"]) if stored["since"] else None,
    )


def with_since(held: Held, *, before: Held | None, now: datetime) -> Held:
    """Keep since when each hook was as it is; what is new or otherwise is so since now."""
    known = {(hook.id, hook.url, hook.key): hook.since for hook in _hooks(before)}
    return Held(
        webhooks=tuple(_since(hook, known, now=now) for hook in held.webhooks),
        subscriptions=tuple(_since(hook, known, now=now) for hook in held.subscriptions),
        refused=held.refused,
    )


def _hooks(held: Held | None) -> Sequence[Hook]:
    return [*held.webhooks, *held.subscriptions] if held else []


def _since(hook: Hook, known: Mapping[tuple[str, str, str], datetime | None], *, now: datetime) -> Hook:
    since = known.get((hook.id, hook.url, hook.key)) or now
    return Hook(hook.id, hook.url, hook.headers, hook.key, hook.event_types, since)
