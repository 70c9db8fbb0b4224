"""Is the connection to Leap as it should be: keys, environment, where Leap posts, what was changed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings

from dispatch.changing_leap import url_problem, wanted_url
from dispatch.checking_leap import ours
from dispatch.domain.leap_connection import (
    Finding,
    KeyState,
    KeyUse,
    Look,
    Ours,
    environment_of,
    held_from_json,
    look_at_keys,
    look_at_subscriptions,
    look_at_webhooks,
)
from dispatch.models import PollState
from meters.connection_models import LeapAct, LeapActKind, LeapActState, LeapCheck, WebhookKeyUse
from meters.fingerprints import fingerprint
from meters.sync_models import MeterSync, SyncState

ACTS_SHOWN: Final = 20
OPEN: Final = frozenset({LeapActState.WAITING, LeapActState.SENDING})
VERDICTS: Final = {LeapActState.DONE: "ok", LeapActState.FAILED: "bad", LeapActState.UNKNOWN: "warn"}
DOORS: Final = {"DISPATCH": "dispatches", "EVENTS": "platform events"}


@dataclass(frozen=True, slots=True)
class ActRow:
    """One change of what Leap holds."""

    act: LeapAct
    verdict: str
    fields: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One live key for webhooks, by its fingerprint."""

    state: KeyState
    held_by: tuple[str, ...]
    uses: tuple[tuple[str, datetime], ...]
    is_safe: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """All that the page shows. No field holds a key."""

    environment: str
    base_url: str
    has_key: bool
    api_key: str
    api_key_since: datetime | None
    check: LeapCheck | None
    is_asking: bool
    is_of_other_place: bool
    ours: Ours
    address_problem: str
    webhooks: tuple[Look, ...]
    subscriptions: tuple[Look, ...]
    keys: tuple[KeyRow, ...]
    old_held: bool
    polls: tuple[PollState, ...]
    sync: MeterSync | None
    acts: tuple[ActRow, ...]
    is_open: bool

    @property
    def is_answered(self) -> bool:
        """Say whether Leap ever said what it holds, here."""
        return self.check is not None and self.check.answered_at is not None and not self.is_of_other_place


def read_connection(*, now: datetime) -> Connection:
    """Read the page. Five queries."""
    check = LeapCheck.objects.first()
    want = ours()
    is_other = bool(check and check.base_url and check.base_url != settings.LEAP_API_BASE_URL)
    held = held_from_json(check.answer) if check and check.answered_at and not is_other else None
    uses = [
        KeyUse(key=use.fingerprint, door=use.door, latest_at=use.latest_at)
        for use in WebhookKeyUse.objects.order_by("pk")
    ]
    states = look_at_keys(held, ours=want, uses=uses, answered_at=check.answered_at if check else None)
    acts = tuple(_act(act) for act in LeapAct.objects.order_by("-pk")[:ACTS_SHOWN])
    is_asking = bool(settings.LEAP_API_KEY) and check is not None and check.requested_at is not None
    api_key = fingerprint(settings.LEAP_API_KEY)
    return Connection(
        environment=environment_of(settings.LEAP_API_BASE_URL),
        base_url=settings.LEAP_API_BASE_URL,
        has_key=bool(settings.LEAP_API_KEY),
        api_key=api_key,
        api_key_since=check.api_key_since if check and check.api_key == api_key else None,
        check=check,
        is_asking=is_asking,
        is_of_other_place=is_other,
        ours=want,
        address_problem=_address_problem(),
        webhooks=look_at_webhooks(held, ours=want) if held else (),
        subscriptions=look_at_subscriptions(held, ours=want) if held else (),
        keys=tuple(_key(state, now=now) for state in states),
        old_held=any(state.held_by and not state.is_first for state in states),
        polls=tuple(PollState.objects.order_by("level")),
        sync=MeterSync.objects.filter(state=SyncState.DONE).order_by("-pk").first(),
        acts=acts,
        is_open=is_asking or any(row.act.state in OPEN for row in acts),
    )


def _address_problem() -> str:
    kind = LeapActKind.SET_WEBHOOK
    return url_problem(kind, wanted_url(kind))


def _key(state: KeyState, *, now: datetime) -> KeyRow:
    return KeyRow(
        state=state,
        held_by=tuple(_part(name) for name in state.held_by),
        uses=tuple((DOORS[door], at) for door, at in sorted(state.latest.items())),
        is_safe=state.safe_at is not None and state.safe_at <= now,
    )


def _part(name: str) -> str:
    return f"dispatches ({name} level)" if name in {"group", "meter"} else "platform events"


def _act(act: LeapAct) -> ActRow:
    names = sorted({*act.before, *act.after})
    fields = tuple(
        (name.replace("_", " "), _words(act.before.get(name)), _words(act.after.get(name)))
        for name in names
        if act.before.get(name) != act.after.get(name)
    )
    return ActRow(act=act, verdict=VERDICTS.get(LeapActState(act.state), "plain"), fields=fields)


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def worst(looks: Sequence[Look]) -> Finding | None:
    """Return the gravest of what is to be said, if anything is."""
    grave = {"bad": 0, "warn": 1}
    found = [finding for look in looks for finding in look.findings if finding.kind in grave]
    return min(found, key=lambda finding: grave[finding.kind], default=None)


def grievance(check: LeapCheck | None) -> Finding | None:
    """Say what is gravest of the stored answer; `None` when nothing is known to be wrong."""
    if check is None or check.base_url not in {"", settings.LEAP_API_BASE_URL}:
        return None
    if check.status in {401, 403}:
        return Finding("bad", check.error)
    want = ours()
    if check.answered_at is None or not want.dispatch_url:
        return None
    held = held_from_json(check.answer)
    return worst(look_at_webhooks(held, ours=want)) or worst(look_at_subscriptions(held, ours=want))
