"""What is to be done beside the commands: when it is done next, and by whom.

A task that must look around from time to time has one row of `Watch`; whoever moves its time on does it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings

from devices import pruning
from devices.alert_models import AlertMessage
from devices.models import Device, SimulatedDevice
from devices.proof_models import Proof, Watch

RUNS: Final = "runs"
ALERTS: Final = "alerts"
REMINDERS: Final = "reminders"


def claim_look(name: str, *, again_at: datetime, now: datetime) -> bool:
    """Take a look that is due, and say whether it is ours; inside a transaction, only if that commits."""
    due = Watch.objects.filter(name=name, next_look_at__lte=now)
    if due.update(next_look_at=again_at):
        return True
    if Watch.objects.filter(name=name).exists():
        return False
    Watch.objects.bulk_create([Watch(name=name, next_look_at=now)], ignore_conflicts=True)
    return bool(due.update(next_look_at=again_at))


def hold_look(name: str) -> None:
    """Have others who write what they found wait until this transaction ends."""
    list(Watch.objects.select_for_update(no_key=True).filter(name=name).values("pk"))


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the names of the tasks of devices, but for commands, that have work at `now`; all indexed."""
    names = []
    if settings.SIMULATE and SimulatedDevice.objects.filter(due_at__lte=now).exists():
        names.append("devices.tasks.simulate_devices")
    if Proof.objects.filter(next_look_at__lte=now).exists() or _is_look_due(RUNS, now=now):
        names.append("devices.tasks.prove")
    if pruning.is_waiting(now=now):
        names.append("devices.tasks.prune")
    if _is_look_due(ALERTS, now=now):
        names.append("devices.tasks.watch_alerts")
    if _is_reminding_due(now=now):
        names.append("devices.tasks.remind")
    if _is_anything_to_send(now=now):
        names.append("devices.tasks.send_alerts")
    return tuple(names)


def sending_look(channel: str) -> str:
    """Name the look that says from when on a channel may be used."""
    return f"send {channel}"


def _is_anything_to_send(*, now: datetime) -> bool:
    """Say whether a message is due on a channel that nobody uses and that does not rest."""
    due = AlertMessage.objects.filter(next_attempt_at__lte=now).values_list("channel", flat=True).distinct()
    names = [sending_look(channel) for channel in due.order_by()]
    return bool(names) and Watch.objects.filter(name__in=names, next_look_at__gt=now).count() < len(names)


def _is_reminding_due(*, now: datetime) -> bool:
    """Say whether a look for reminders is due; where messages go nowhere there is none."""
    if not (settings.ALERT_EMAILS or settings.ALERT_WEBHOOK_URL):
        return False
    return not Watch.objects.filter(name=REMINDERS, next_look_at__gt=now).exists()


def _is_look_due(name: str, *, now: datetime) -> bool:
    """Say whether a look is due; where there are no devices there is nothing to look at."""
    is_done = Watch.objects.filter(name=name, next_look_at__gt=now).exists()
    return not is_done and Device.objects.exists()
