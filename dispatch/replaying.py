"""Stage: "what if this policy had been in force last month?" → an answer, worked out beside everything else.

Reads revisions, overrides, policies, meters and devices; writes `PolicyReplay` alone. A replay is worked on
in slices of a few seconds, one replay at a time, and outside of transactions, so that planning never waits
for it. Between slices the row holds how far it has come: a slice that dies is done again from there, and one
that lost its lease writes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import OperationalError, transaction
from django.utils import timezone

from devices.models import Device
from dispatch import queue
from dispatch.domain.events import Window
from dispatch.domain.replaying import Known, Tracks, advance, finish, moments
from dispatch.domain.tallying import compare
from dispatch.locking import Stage, try_turn
from dispatch.overrides import OverrideRefused, find_target
from dispatch.policy_models import ResponsePolicy
from dispatch.queries import open_replays
from dispatch.replay_checkpoint import pack, unpack
from dispatch.replay_loading import Loaded, load_past, revisions_in
from dispatch.replay_models import OPEN_STATES, Baseline, PolicyReplay, ReplayScope, ReplayState
from dispatch.replay_results import result_of
from meters.models import MarketGroup, Meter

logger = logging.getLogger(__name__)

MOST_DAYS: Final = 31
MOST_REVISIONS: Final = 20_000
MOST_OPEN: Final = 5
KEPT: Final = 20
"""How many finished replays of a policy are kept."""
MOST_TRIES: Final = 3
SLICE_SECONDS: Final = 5
LEASE: Final = timedelta(seconds=75)
"""Longer than a worker lets any task run."""


class ReplayRefused(ValueError):
    """The replay cannot be; the message is one plain sentence for whoever asked."""


class _LeaseLost(Exception):
    """Somebody else took the replay over meanwhile."""


def request_replay(
    *,
    policy_id: int,
    content: Mapping[str, Any] | None = None,
    scope: str,
    target: str = "",
    baseline: str = "",
    taking_late: bool = False,
    starts_at: datetime,
    ends_at: datetime,
    by: str,
    now: datetime,
) -> PolicyReplay:
    """Store a replay of `[starts_at, ends_at)` to be worked out, and wake a worker.

    `content` is what is tried in place of what the policy says. What nobody has is tried on the fleet. Unless
    told, a policy is compared with none on those who have it, and with what is in force on others.

    Raises:
        ReplayRefused: the days make no sense or hold too much, nothing is called so, or enough replays wait.
        ResponsePolicy.DoesNotExist: there is no such policy.
    """
    policy = ResponsePolicy.objects.get(pk=policy_id)
    if scope not in ReplayScope or baseline not in {"", *Baseline}:
        raise ReplayRefused("A policy is tried on a fleet, market group, meter or device.")
    _check_days(starts_at, ends_at, now=now)
    if scope == ReplayScope.GIVEN and not is_given(policy):
        scope = ReplayScope.FLEET
    target, name = _target(scope, target)
    if PolicyReplay.objects.filter(state__in=OPEN_STATES).count() >= MOST_OPEN:
        raise ReplayRefused(f"{MOST_OPEN} replays are waiting already; look again in a few minutes.")
    said = policy.content() if content is None else content
    with transaction.atomic():
        replay = PolicyReplay.objects.create(
            policy=policy,
            label=str(policy) if content is None else f"{policy} (draft)",
            content={key: float(each) if isinstance(each, Decimal) else each for key, each in said.items()},
            scope=scope,
            target=target,
            target_name=name,
            baseline=baseline or _baseline(scope, is_draft=content is not None),
            taking_late=taking_late,
            starts_at=starts_at,
            ends_at=ends_at,
            requested_by=by,
            requested_at=now,
            touched_at=now,
        )
        queue.wake_replaying()
    return replay


def work_on_replays(*, now: datetime, seconds: float = SLICE_SECONDS) -> str:
    """Go on with the oldest replay for some seconds, unless somebody is at it; say what was done."""
    replay = _claim(now=now)
    if replay is None:
        return "nothing to replay"
    try:
        _work(replay, seconds=seconds, now=now)
    except OperationalError:
        raise  # nobody's fault: the lease lapses, and it is tried again
    except _LeaseLost:
        return f"replay {replay.pk} was taken over"
    except Exception as error:
        logger.exception("Replay %s broke off", replay.pk)
        _give_back(replay, error)
    return f"replay {replay.pk} worked on"


def _check_days(starts_at: datetime, ends_at: datetime, *, now: datetime) -> None:
    if ends_at <= starts_at:
        raise ReplayRefused("The days end before they begin.")
    if ends_at > now:
        raise ReplayRefused("Only past days can be replayed.")
    if ends_at - starts_at > timedelta(days=MOST_DAYS, hours=1):  # a month whose clock goes back
        raise ReplayRefused(f"A replay takes {MOST_DAYS} days at most.")
    count = revisions_in(Window(starts_at, ends_at)).count()
    if count > MOST_REVISIONS:
        raise ReplayRefused(
            f"These days hold {count:,} revisions, and a replay takes {MOST_REVISIONS:,}; choose fewer days."
        )


def _baseline(scope: str, *, is_draft: bool) -> Baseline:
    return Baseline.NONE if scope == ReplayScope.GIVEN and not is_draft else Baseline.IN_FORCE


def is_given(policy: ResponsePolicy) -> bool:
    """Say whether anybody has the policy."""
    return policy.assignments.exists() or Device.objects.filter(policy=policy.name).exists()


def _target(scope: str, target: str) -> tuple[str, str]:
    """Return the target as it is kept, and what people call it."""
    if scope in {ReplayScope.GIVEN, ReplayScope.FLEET}:
        return "", ""
    try:
        found = find_target(scope, target)
    except OverrideRefused as refused:
        raise ReplayRefused(str(refused)) from None
    if scope == ReplayScope.DEVICE:
        return found, str(Device.objects.get(external_id=found))
    if scope == ReplayScope.METER:
        return found, str(Meter.objects.get(meter_id=found))
    return found, str(MarketGroup.objects.get(market_group_id=found))


def _claim(*, now: datetime) -> PolicyReplay | None:
    """Take the oldest open replay, unless one is worked on; give those up that were tried too often."""
    with transaction.atomic():
        if not try_turn(Stage.REPLAYING):
            return None
        hopeless = open_replays(now=now).filter(tries__gte=MOST_TRIES)
        hopeless.update(
            state=ReplayState.FAILED,
            finished_at=now,
            checkpoint=None,
            claimed_until=None,
            detail=f"It broke off {MOST_TRIES} times; the log says why.",
        )
        replay = open_replays(now=now).order_by("pk").first()
        if replay is None:
            return None
        replay.claimed_until, replay.tries, replay.state = now + LEASE, replay.tries + 1, ReplayState.RUNNING
        replay.save(update_fields=["claimed_until", "tries", "state"])
    return replay


def _work(replay: PolicyReplay, *, seconds: float, now: datetime) -> None:
    """Replay from where it stands until the time is up, or to the end."""
    began = time.monotonic()
    loaded = load_past(replay, now=now)
    past = loaded.past
    tracks, reached = unpack(bytes(replay.checkpoint)) if replay.checkpoint else ([{}, {}], None)
    every = moments(past)
    left = [moment for moment in every if reached is None or moment.at > reached]
    known = Known(past)
    for done, moment in enumerate(left, start=len(every) - len(left) + 1):
        advance(tracks, past=past, known=known, terms=loaded.terms, moment=moment)
        if done < len(every) and time.monotonic() - began >= seconds:
            _leave(
                replay,
                checkpoint=pack(tracks, until=moment.at),
                progress=100 * done // len(every),
                detail=f"{done:,} of {len(every):,} receipts are replayed.",
            )
            return
    _finish(replay, tracks, loaded)


def _leave(replay: PolicyReplay, **fields: Any) -> None:
    """Store how far it has come, and have a worker go on after whatever else waits."""
    with transaction.atomic():
        _write(replay, **fields, tries=0, claimed_until=None, touched_at=timezone.now())
        queue.wake_replaying()


def _finish(replay: PolicyReplay, tracks: list[Tracks], loaded: Loaded) -> None:
    """Store the answer, and let the oldest ones go."""
    before, after = (finish(each, at=replay.ends_at) for each in tracks)
    found = compare(before, after, past=loaded.past, device_ids=loaded.device_ids, zones=loaded.zones)
    result = result_of(found, devices=len(loaded.device_ids), too_late=loaded.too_late)
    with transaction.atomic():
        _write(
            replay,
            state=ReplayState.DONE,
            result=result,
            progress=100,
            detail="",
            checkpoint=None,
            claimed_until=None,
            finished_at=timezone.now(),
        )
        finished = PolicyReplay.objects.filter(policy=replay.policy_id).exclude(state__in=OPEN_STATES)
        kept = list(finished.order_by("-pk").values_list("pk", flat=True)[:KEPT])
        finished.exclude(pk__in=kept).delete()
    logger.info("Replayed %s: %s events", replay.label, result["events"])


def _give_back(replay: PolicyReplay, error: Exception) -> None:
    """Let go of a replay that broke off; the dispatcher has it tried again, not for ever."""
    detail = f"It broke off ({type(error).__name__}) and is tried again."
    held = PolicyReplay.objects.filter(pk=replay.pk, claimed_until=replay.claimed_until)
    held.update(claimed_until=None, touched_at=timezone.now(), detail=detail)


def _write(replay: PolicyReplay, **fields: Any) -> None:
    """Write only what is still ours."""
    held = PolicyReplay.objects.filter(pk=replay.pk, claimed_until=replay.claimed_until)
    if held.update(**fields) != 1:
        raise _LeaseLost
