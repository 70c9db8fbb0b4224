"""Devices that live in the database, for the demo and the tests: each keeps what it accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db import transaction
from django.utils import timezone

from devices.domain.schedule import ScheduleMessage
from devices.drivers.base import Answer, BatchDriver, Capabilities, Delivery, DriverError, Result
from devices.models import SimulatedDevice, SimulatedFault


class SimulatorDriver(BatchDriver):
    """Hands schedules to `SimulatedDevice` rows, a whole batch in four statements.

    Unlike a driver that leaves the machine it works in the database, so it never runs in threads.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(holds_schedule=True, telemetry=True)
    concurrency = 500
    works_in_database = True

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """See `Driver.check_settings`; `says_charge: false` keeps a battery's charge to itself."""
        is_known = isinstance(settings.get("says_charge", True), bool)
        return [] if is_known else ["“says_charge” must be true or false."]

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Have every device take its message in one transaction, and yield all answers at once."""
        with transaction.atomic():
            devices = _lock([delivery.device.pk for delivery in deliveries])
            now = timezone.now()
            results = [
                (position, _take(devices[delivery.device.pk], delivery.message, now=now))
                for position, delivery in enumerate(deliveries)
            ]
            SimulatedDevice.objects.bulk_create(
                devices.values(),
                update_conflicts=True,
                unique_fields=["device"],
                update_fields=[
                    "accepted_version",
                    "message",
                    "accepted_at",
                    "accepted_count",
                    "refused_count",
                ],
            )
        yield results


def _lock(device_ids: Sequence[int]) -> dict[int, SimulatedDevice]:
    """Return the devices' rows by device id, made where missing, held to the end of the transaction."""
    rows = (
        SimulatedDevice.objects.select_for_update(no_key=True)
        .filter(device_id__in=device_ids)
        .order_by("device_id")
    )
    found = {row.device_id: row for row in rows}
    missing = [device_id for device_id in device_ids if device_id not in found]
    if not missing:
        return found
    SimulatedDevice.objects.bulk_create(
        [SimulatedDevice(device_id=device_id) for device_id in missing], ignore_conflicts=True
    )
    return {row.device_id: row for row in rows.all()}


def _take(device: SimulatedDevice, message: ScheduleMessage, *, now: datetime) -> Result:
    """Be the device: keep a newer version, refuse an older one, and be as faulty as it was told to be."""
    if device.fault in {SimulatedFault.SILENT, SimulatedFault.OFFLINE}:
        return DriverError("The device did not answer.", permanent=False)
    if device.fault == SimulatedFault.ERROR:
        return DriverError("The device answered with an error.", permanent=False)
    version = message["version"]
    if device.fault == SimulatedFault.REJECT or version < device.accepted_version:
        device.refused_count += 1
        return Answer(is_accepted=False, detail=_refusal(device, version=version))
    if version > device.accepted_version:
        device.accepted_version = version
        device.message = dict(message)
        device.accepted_at = now
        device.accepted_count += 1
    return Answer(is_accepted=True)


def _refusal(device: SimulatedDevice, *, version: int) -> str:
    if device.fault == SimulatedFault.REJECT:
        return "The device refuses every schedule."
    return f"Version {version} is older than version {device.accepted_version}, which was accepted."
