"""Stage: devices, their commands and proofs → alerts, and the messages that say so.

Writes `Alert` and `AlertMessage` alone. An alert is raised once, clears itself when what it says no longer
holds, and is kept; a person acknowledges it with a note. `devices.alert_sending` carries the messages.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from devices.alert_models import Alert, AlertKind, AlertMessage, Channel
from devices.bulk import update_rows
from devices.domain import alerts as domain
from devices.domain.alerts import Doubtful, Facts, Held, Key, Kind, Line, Turns
from devices.domain.proving import Verdict
from devices.domain.schedule import as_z
from devices.models import (
    OPEN_COMMAND_STATES,
    Command,
    CommandKind,
    CommandState,
    Device,
)
from devices.outcomes import CHANGED
from devices.proof_models import Proof, ProofKind, ProofState
from devices.queries import moving_segments
from devices.watching import ALERTS, claim_look, hold_look
from meters.among import Ids

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = timedelta(seconds=10)
MOST_IN_PAYLOAD: Final = 100
LONGEST_NOTE: Final = 500


def watch_alerts(*, now: datetime) -> Turns | None:
    """Raise what is wrong and clear what is not any more; None if that was looked at just before.

    1. Find what is wrong, outside of the transaction that writes.
    2. Compare it with the open alerts and write the difference, one look at a time.
    3. Write messages about what nobody was told yet, at most one a minute of a kind and channel.
    """
    if not claim_look(ALERTS, again_at=now + LOOK_EVERY, now=now):
        return None
    found = _write(domain.wrong_now(_facts(now=now), now=now), now=now)
    if found.raised or found.cleared:
        logger.info("Alerts raised: %s, cleared: %s", len(found.raised), len(found.cleared))
    return found


def acknowledge(alerts: QuerySet[Alert], *, by: str, note: str, now: datetime) -> int:
    """Note who has seen these open alerts; those that somebody acknowledged before stay as they are."""
    return alerts.filter(cleared_at__isnull=True, acknowledged_at__isnull=True).update(
        acknowledged_at=now, acknowledged_by=by[:150], note=note[:LONGEST_NOTE]
    )


def channels() -> list[Channel]:
    """Return how messages leave, as the settings say; none is quiet."""
    found = []
    if settings.ALERT_EMAILS:
        found.append(Channel.EMAIL)
    if settings.ALERT_WEBHOOK_URL:
        found.append(Channel.WEBHOOK)
    return found


def _facts(*, now: datetime) -> Facts:
    """Read what can be wrong. Six queries, whatever there is."""
    moving = moving_segments(now=now).filter(schedule__superseded_at__isnull=True)
    failing = Device.objects.filter(failing_since__isnull=False).filter(
        Exists(moving.filter(device=OuterRef("pk")))
    )
    failing_ids = list(failing.values_list("pk", flat=True))
    offline = moving.filter(device__is_online=False, begins__lte=now + domain.BEFORE_A_RUN)
    return Facts(
        failing={**dict.fromkeys(failing_ids, ""), **_last_words(failing_ids)},
        offline=dict(offline.values_list("device_id").annotate(Min("begins")).order_by()),
        doubtful=_doubtful(),
        unrestored=_unrestored(now=now),
    )


def _last_words(device_ids: Collection[int]) -> dict[int, str]:
    """Return what came of the newest commands of devices."""
    rows = Command.objects.filter(
        device_id__among=Ids(device_ids),
        state__in=[CommandState.FAILED, CommandState.SENT, CommandState.EXPIRED],
        schedule__superseded_at__isnull=True,
    )
    return dict(rows.exclude(detail="").order_by("pk").values_list("device_id", "detail"))


def _doubtful() -> list[Doubtful]:
    rows = list(
        Proof.objects.filter(~Q(state=ProofState.PROVEN) | Q(is_changed_by_others=True), is_open=True)
    )
    changed = Command.objects.filter(
        device_id__among=Ids(row.device_id for row in rows if row.is_changed_by_others),
        schedule__superseded_at__isnull=True,
        detail__startswith=CHANGED.format(""),
    )
    words = dict(changed.order_by("pk").values_list("device_id", "detail"))
    return [
        Doubtful(
            device_id=row.device_id,
            is_normal=row.kind == ProofKind.NORMAL,
            verdict=Verdict(row.state),
            sentence=row.detail,
            since=row.since,
            found_changed=words.get(row.device_id, "") if row.is_changed_by_others else "",
            was_proven=row.proven_at is not None,
        )
        for row in rows
    ]


def _unrestored(*, now: datetime) -> dict[int, tuple[datetime, str]]:
    """Return the devices that did not take the command to stop. Two queries, as each has its index."""
    stops = Command.objects.filter(
        Q(is_restoring=True) | Q(kind=CommandKind.CLEAR),
        state__in=OPEN_COMMAND_STATES,
        due_at__lte=now - domain.RESTORED_WITHIN,
        expires_at__gt=now,
        schedule__version=F("device__schedule_version"),
    )
    tried = stops.filter(next_attempt_at__isnull=False)
    refused = stops.filter(next_attempt_at__isnull=True, device__failing_since__isnull=False)
    columns = ("device_id", "due_at", "detail")
    rows = [*tried.values_list(*columns), *refused.values_list(*columns)]
    return {device_id: (due_at, detail) for device_id, due_at, detail in rows}


def _held() -> dict[Key, Held]:
    rows = Alert.objects.filter(cleared_at__isnull=True).values_list("device_id", "kind", "pk", "text")
    return {(device_id, Kind(kind)): Held(pk, text) for device_id, kind, pk, text in rows}


@transaction.atomic
def _write(wrong: Mapping[Key, str], *, now: datetime) -> Turns:
    hold_look(ALERTS)
    found = domain.turns(wrong, _held())
    back = _cleared_lately(found, now=now)
    Alert.objects.filter(pk__among=Ids(back.values())).update(cleared_at=None)
    update_rows(Alert, ["text"], ((found.raised[key], pk) for key, pk in back.items()))
    Alert.objects.bulk_create(
        (
            Alert(device_id=device_id, kind=kind.value, text=text, raised_at=now)
            for (device_id, kind), text in found.raised.items()
            if (device_id, kind) not in back
        ),
        batch_size=500,
    )
    Alert.objects.filter(pk__among=Ids(found.cleared)).update(cleared_at=now)
    update_rows(Alert, ["text"], ((text, pk) for pk, text in found.reworded.items()))
    _tell(now=now)
    return found


def _cleared_lately(found: Turns, *, now: datetime) -> dict[Key, int]:
    """Return the rows of alerts that come back soon after they cleared."""
    rows = Alert.objects.filter(
        device_id__among=Ids({device_id for device_id, _ in found.raised}),
        cleared_at__gt=now - domain.SAME_WITHIN,
    ).order_by("pk")
    cleared = {
        (device_id, Kind(kind)): pk for device_id, kind, pk in rows.values_list("device_id", "kind", "pk")
    }
    return {key: pk for key, pk in cleared.items() if key in found.raised}


def _tell(*, now: datetime) -> None:
    """Write messages about alerts that nobody was told; where no channel is set they count as told."""
    untold = Alert.objects.filter(told_at__isnull=True).select_related("device").order_by("pk")
    by_kind: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in untold:
        by_kind[alert.kind].append(alert)
    if not by_kind:
        return
    recent = AlertMessage.objects.filter(created_at__gt=now - domain.MESSAGE_EVERY)
    said_lately = set(recent.values_list("kind", flat=True))
    ready = {kind: alerts for kind, alerts in by_kind.items() if kind not in said_lately}
    AlertMessage.objects.bulk_create(
        _message(channel, kind, alerts, now=now) for kind, alerts in ready.items() for channel in channels()
    )
    told = [alert.pk for alerts in ready.values() for alert in alerts]
    Alert.objects.filter(pk__among=Ids(told)).update(told_at=now)


def _message(channel: Channel, kind: str, alerts: Sequence[Alert], *, now: datetime) -> AlertMessage:
    label = str(AlertKind(kind).label)
    lines = [Line(str(alert.device), alert.text, alert.cleared_at is not None) for alert in alerts]
    return AlertMessage(
        channel=channel,
        kind=kind,
        subject=domain.subject_of(label, lines),
        text=domain.text_of(label, lines),
        payload=_payload(kind, alerts, now=now) if channel == Channel.WEBHOOK else {},
        created_at=now,
        next_attempt_at=now,
    )


def _payload(kind: str, alerts: Sequence[Alert], *, now: datetime) -> dict[str, Any]:
    """Return what a webhook carries beside the text: the first alerts, and how many there are."""
    return {
        "type": "alerts.raised",
        "timestamp": as_z(now),
        "data": {
            "kind": kind.lower(),
            "count": len(alerts),
            "alerts": [
                {
                    "id": alert.pk,
                    "device_id": alert.device_id,
                    "external_id": alert.device.external_id,
                    "device": str(alert.device),
                    "text": alert.text,
                    "raised_at": as_z(alert.raised_at),
                }
                for alert in alerts[:MOST_IN_PAYLOAD]
            ],
        },
    }
