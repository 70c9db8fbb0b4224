"""Stage: what devices say by themselves → rows: signs of life, what they measured, answers that came late.

Writes `Device`; answers go to `devices.commanding`, readings to `devices.telemetry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from devices.commanding import hear_answers, try_at_once
from devices.domain.reports import Acknowledgement, Reading, read_acknowledgement, read_reading, read_status
from devices.drivers.base import Answer
from devices.models import Device
from devices.registering import register_devices
from devices.telemetry import DeviceReading, kept_since, record_readings


@dataclass(frozen=True, slots=True)
class Status:
    """A device says that it is there, or whoever kept its last will that it is not.

    `has_come`: it was away until now, as far as can be told, so what waits for it need wait no longer.
    """

    is_online: bool
    has_come: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What one device said. `is_kept`: some time ago, and kept for whoever came later."""

    external_id: str
    said: Acknowledgement | Reading | Status
    is_kept: bool = False

    @property
    def is_online(self) -> bool | None:
        """Whether the device is there, as far as this says."""
        if isinstance(self.said, Acknowledgement):
            return True
        return None if self.is_kept and isinstance(self.said, Reading) else self.said.is_online

    @property
    def is_sign_of_life(self) -> bool:
        """Say whether the device itself spoke just now."""
        return not self.is_kept and (not isinstance(self.said, Status) or self.said.is_online)


def read_report(*, external_id: str, part: str, payload: bytes, is_kept: bool) -> Report | None:
    """Return what a device said under `ack`, `telemetry` or `status`; None if that is nothing of use.

    An acknowledgement that was kept was said of an earlier try and counts for nothing.
    """
    said: Acknowledgement | Reading | Status | None = None
    if part == "ack" and not is_kept:
        said = read_acknowledgement(payload)
    elif part == "telemetry":
        said = read_reading(payload)
    elif part == "status" and (is_online := read_status(payload)) is not None:
        said = Status(is_online, has_come=is_online and not is_kept)
    return Report(external_id, said, is_kept=is_kept) if said else None


@transaction.atomic
def record_reports(reports: Sequence[Report], *, driver_name: str, now: datetime) -> int:
    """Write what devices of one driver said, in that order; return how many reports counted.

    A constant number of statements. Devices nobody registered, or of another driver, are passed over.
    1. Who is there, and when each was last heard; what waits for those that have come is due at once.
    2. What they measured; what cannot be is passed over. A reading too old to be kept may still be the
    newest word on how full a device is.
    3. Answers to what was sent, also after the try had ended.
    """
    names = {report.external_id for report in reports}
    rows = Device.objects.select_for_update(no_key=True).filter(driver=driver_name, external_id__in=names)
    known = {device.external_id: device for device in rows.order_by("pk")}
    heard = [report for report in reports if report.external_id in known]
    if not heard:
        return 0
    _note_presence(heard, known=known, now=now)
    if charges := _old_charges(heard, known=known, before=kept_since(now=now)):
        register_devices(wanted=charges, now=now)
    if readings := _readings(heard, known=known):
        record_readings(readings, tells_presence=False, now=now)
    answers = {
        (report.external_id, report.said.version): Answer(report.said.is_accepted, report.said.detail)
        for report in heard
        if isinstance(report.said, Acknowledgement)
    }
    if answers:
        hear_answers(answers, driver_name=driver_name, now=now)
    return len(heard)


def _note_presence(heard: Sequence[Report], *, known: dict[str, Device], now: datetime) -> None:
    presence = {report.external_id: report.is_online for report in heard if report.is_online is not None}
    for is_online in (True, False):
        turned = [
            known[name].pk
            for name, is_there in presence.items()
            if is_there is is_online and known[name].is_online is not is_online
        ]
        if turned:
            Device.objects.filter(pk__in=turned).update(is_online=is_online)
    alive = {known[report.external_id].pk for report in heard if report.is_sign_of_life}
    if alive:
        Device.objects.filter(pk__in=alive).update(last_seen_at=now)
    came = {
        report.external_id for report in heard if isinstance(report.said, Status) and report.said.has_come
    }
    # The last word counts: who has come and is gone again is not there.
    if come := [known[name].pk for name in came if presence[name]]:
        try_at_once(come, now=now)


def _readings(heard: Sequence[Report], *, known: dict[str, Device]) -> list[DeviceReading]:
    return [
        DeviceReading.said_by(known[report.external_id].pk, report.said)
        for report in heard
        if isinstance(report.said, Reading)
    ]


def _old_charges(
    heard: Sequence[Report], *, known: dict[str, Device], before: datetime
) -> dict[str, dict[str, Any]]:
    """Return the newest charge of each device that is of before a time and newer than what is known of it."""
    newest: dict[str, tuple[datetime, Decimal]] = {}
    for report in heard:
        reading = report.said
        if not isinstance(reading, Reading) or reading.state_of_charge_percent is None:
            continue
        known_at = known[report.external_id].state_of_charge_at
        latest_at = newest[report.external_id][0] if report.external_id in newest else known_at
        if reading.at < before and (latest_at is None or reading.at > latest_at):
            newest[report.external_id] = (reading.at, reading.state_of_charge_percent)
    return {
        name: {"state_of_charge_percent": percent, "state_of_charge_at": at}
        for name, (at, percent) in newest.items()
    }
