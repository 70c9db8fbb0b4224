"""A device that takes set-points, what it was told, and what it is known to do."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from devices.drivers.base import Answer, Capabilities, Driver, SetPoint
from devices.models import Command, CommandAttempt, Device, DeviceSchedule, ScheduleSegment
from devices.proof_models import Proof
from dispatch.models import DispatchEvent
from tests.dispatch.rows import at


class InverterDriver(Driver):
    """Takes set-points under a lease and says what it holds."""

    capabilities = Capabilities(holds_schedule=False, reads_back=True, lease_seconds=180)

    def apply(self, set_point: SetPoint, device: Device, *, not_after: datetime) -> Answer:
        """Take it."""
        return Answer(is_accepted=True, proof=f"Reads {set_point.mode}.")


DRIVERS = {"inverter": f"{__name__}.InverterDriver"}


def told(of: Device, event: DispatchEvent, *, kw: str = "4.5", state: str = "ACKNOWLEDGED") -> Command:
    """Tell a device an event's set-point; its return to normal waits. The set-point's command."""
    Device.objects.filter(pk=of.pk).update(driver="inverter", schedule_version=1)
    schedule = DeviceSchedule.objects.create(
        device=of, version=1, created_at=at(-8), digest="d", state="PENDING" if state == "PENDING" else state
    )
    ScheduleSegment.objects.create(
        schedule=schedule,
        device=of,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        mode="DISCHARGE",
        target_kw=Decimal(kw),
        leap_event_ids=[event.leap_event_id],
    )
    command(
        schedule,
        key="clear",
        kind="CLEAR",
        due_at=event.ends_at,
        expires_at=event.ends_at + timedelta(days=1),
        is_restoring=True,
    )
    return command(
        schedule,
        key="set",
        kind="SETPOINT",
        starts_at=event.starts_at,
        due_at=event.starts_at,
        expires_at=event.ends_at,
        state=state,
    )


def command(schedule: DeviceSchedule, *, key: str, **fields: Any) -> Command:
    """A command of a schedule; one that is not pending was tried once."""
    values = {"created_at": schedule.created_at, "state": "PENDING"} | fields
    tries = 0 if values["state"] == "PENDING" else 1
    made = Command.objects.create(
        device_id=schedule.device_id,
        schedule=schedule,
        key=f"{schedule.pk}:{key}",
        **{"attempt_count": tries} | values,
    )
    if tries:
        CommandAttempt.objects.create(
            command=made, started_at=made.due_at, finished_at=made.due_at, outcome="ACKNOWLEDGED"
        )
    return made


def proof(of: Device, event: DispatchEvent, *, state: str, **fields: Any) -> Proof:
    """What is known of a device's run in an event."""
    return Proof.objects.create(
        **{
            "device": of,
            "kind": "RUN",
            "version": 1,
            "mode": "DISCHARGE",
            "since": event.starts_at,
            "settles_at": event.starts_at,
            "ends_at": event.ends_at,
            "state": state,
            "judged_at": at(0.6),
            "proven_at": at(0.5),
            "detail": f"It was looked at: {state.lower()}.",
        }
        | fields
    )
