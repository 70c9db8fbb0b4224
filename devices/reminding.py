"""Stage: required actions whose deadline nears → one message a day for each channel of the alerts.

Writes `ReminderSent` and `AlertMessage`, in one transaction and before anything is sent, so that whoever is
killed neither forgets a reminder nor writes it twice. `devices.alert_sending` carries the messages.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Max

from devices.alert_models import REQUIRED_ACTIONS, AlertMessage, Channel, ReminderSent
from devices.alerting import channels
from devices.domain import reminders as domain
from devices.domain.reminders import Owners, Reminder
from devices.domain.schedule import as_z
from devices.unblocking import GROUPED_BY, due_actions, read_groups
from devices.watching import REMINDERS, claim_look, hold_look
from meters.domain.actions import REMINDED_DAYS, Key

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = timedelta(minutes=15)
KEPT_FOR: Final = timedelta(days=2)
"""How long it is remembered, after its deadline, that people were reminded of something."""


def remind(*, now: datetime) -> int:
    """Write today's message, if there is anything to be reminded of; return of how many groups.

    Where messages go nowhere none is written, so that a channel set up later still tells what is due.
    """
    if not channels() or not claim_look(REMINDERS, again_at=now + LOOK_EVERY, now=now):
        return 0
    with transaction.atomic():
        hold_look(REMINDERS)
        latest = ReminderSent.objects.aggregate(at=Max("written_at"))["at"]
        found = _due(now=now) if domain.is_time(latest=latest, now=now) else ()
        if found:
            _write(found, now=now)
    if found:
        logger.info("Reminder written of %s groups of required actions", len(found))
    return len(found)


def _due(*, now: datetime) -> tuple[Reminder, ...]:
    actions = due_actions(until=now + timedelta(days=max(REMINDED_DAYS)), now=now)
    groups = [one.group for one in read_groups(actions)]
    sent = set(ReminderSent.objects.values_list("digest", "days"))
    return domain.due_reminders(groups, sent=sent, now=now)


def _write(found: Sequence[Reminder], *, now: datetime) -> None:
    ReminderSent.objects.filter(deadline_at__lte=now - KEPT_FOR).delete()
    ReminderSent.objects.bulk_create(
        ReminderSent(digest=one.digest, days=one.days, deadline_at=one.deadline_at, written_at=now)
        for one in found
    )
    owners = _owners(found[: domain.MOST_LINES], now=now)
    AlertMessage.objects.bulk_create(_message(channel, found, owners, now=now) for channel in channels())


def _owners(found: Sequence[Reminder], *, now: datetime) -> dict[Key, dict[str, int]]:
    """Return who has the actions of groups, by name. One query."""
    last = max(one.deadline_at for one in found)
    names = ("owner__username", "owner__first_name", "owner__last_name")
    rows = due_actions(until=last, now=now).order_by().values(*GROUPED_BY, *names).annotate(count=Count("pk"))
    owners: defaultdict[Key, dict[str, int]] = defaultdict(dict)
    for row in rows:
        username, *full = (row[name] or "" for name in names)
        name = " ".join(filter(None, full)) or username
        of_group = owners[Key(**{field: row[field] for field in GROUPED_BY})]
        of_group[name] = of_group.get(name, 0) + row["count"]
    return dict(owners)


def _message(
    channel: Channel, found: Sequence[Reminder], owners: Mapping[Key, Owners], *, now: datetime
) -> AlertMessage:
    return AlertMessage(
        channel=channel,
        kind=REQUIRED_ACTIONS,
        subject=domain.subject_of(found),
        text=domain.text_of(found, owners),
        payload=_payload(found, owners, now=now) if channel == Channel.WEBHOOK else {},
        created_at=now,
        next_attempt_at=now,
    )


def _payload(found: Sequence[Reminder], owners: Mapping[Key, Owners], *, now: datetime) -> dict[str, Any]:
    """Return what a webhook carries beside the text: the first groups, and how many there are."""
    return {
        "type": "required_actions.due",
        "timestamp": as_z(now),
        "data": {
            "count": len(found),
            "actions": [
                {
                    "action_type": (key := one.group.key).action_type,
                    "action_code": key.action_code,
                    "program": key.program,
                    "delivery_period": key.delivery_period,
                    "deadline_at": as_z(one.deadline_at),
                    "within_days": one.days,
                    "meters": one.group.meters,
                    "alone_kw": float(one.group.alone_kw),
                    "total_kw": float(one.group.total_kw),
                    "owners": {name: count for name, count in owners.get(key, {}).items() if name},
                }
                for one in found[: domain.MOST_LINES]
            ],
        },
    }
