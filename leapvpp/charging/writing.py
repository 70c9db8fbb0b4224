"""The central system's only way to the database: one thread, whole batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.db import Error, connection
from django.utils import timezone

from devices.domain.metering import Metered
from devices.drivers.ocpp import ChargerSettings, read_settings
from devices.models import Device
from devices.reporting import Report, Status, record_reports
from devices.telemetry import DeviceReading, record_readings
from leapvpp.health import OCPP_SERVER
from leapvpp.writing import Beat, is_dealt_with

DRIVER: Final = "ocpp"
MISSED_AFTER: Final = timedelta(minutes=2)
"""How long after the start chargers may take to come back before those that did not are offline."""
LOOK_FOR_MISSING_EVERY: Final = timedelta(minutes=1)
BATCH: Final = 500
SHARE: Final = 5
"""How many readings of one charger are written in one batch."""
MOST_OF_ONE: Final = 200


class Away(Exception):
    """The database does not answer."""


@dataclass(frozen=True, slots=True)
class Known:
    """A registered charger; `version` is the newest that was made for it."""

    device_id: int
    external_id: str
    version: int
    settings: ChargerSettings | None

    def is_let_in_as(self, now_known: Known | None) -> bool:
        """Say whether what is known now would let the same charger in with the same password."""
        if now_known is None or self.settings is None or now_known.settings is None:
            return False
        return (self.device_id, self.settings.password) == (now_known.device_id, now_known.settings.password)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one charger's meters said at a time."""

    known: Known
    metered: Metered


@dataclass(slots=True)
class Outbox:
    """What waits to be written: of each charger whether it is there, and readings up to a limit.

    Readings are taken out a few of each charger at a time, so that one that says very much hides no other.
    """

    presence: dict[str, Status] = field(default_factory=dict)
    readings: dict[str, deque[Heard]] = field(default_factory=dict)
    dropped: int = 0

    def note_presence(self, external_id: str, *, is_online: bool, has_come: bool = False) -> None:
        """Keep whether a charger is there, in place of what waited; that it has come waits with it."""
        waiting = self.presence.get(external_id)
        has_come = is_online and (has_come or (waiting is not None and waiting.has_come))
        self.presence[external_id] = Status(is_online, has_come=has_come)

    def note_reading(self, known: Known, metered: Metered) -> None:
        """Keep a reading; drop it when too many of this charger wait."""
        waiting = self.readings.setdefault(known.external_id, deque())
        if len(waiting) >= MOST_OF_ONE:
            self.dropped += 1
            return
        waiting.append(Heard(known, metered))

    def take(self) -> tuple[dict[str, Status], list[Heard]]:
        """Take out a batch to write; who has more stands behind the others."""
        presence = {name: self.presence.pop(name) for name in list(self.presence)[:BATCH]}
        readings: list[Heard] = []
        for name in list(self.readings):
            if len(readings) >= BATCH:
                break
            waiting = self.readings.pop(name)
            readings += [waiting.popleft() for _ in range(min(SHARE, len(waiting)))]
            if waiting:
                self.readings[name] = waiting
        return presence, readings

    def put_back(self, presence: dict[str, Status], readings: Sequence[Heard]) -> None:
        """Put back what could not be written; what was said anew meanwhile stays."""
        newer, self.presence = self.presence, dict(presence)
        for name, status in newer.items():
            self.note_presence(name, is_online=status.is_online, has_come=status.has_come)
        for heard in reversed(readings):
            waiting = self.readings.setdefault(heard.known.external_id, deque())
            if len(waiting) < MOST_OF_ONE:
                waiting.appendleft(heard)


class Writer:
    """Reads and writes rows, always from one thread."""

    def __init__(self) -> None:
        self.began_at = timezone.now()
        self.beat = Beat(OCPP_SERVER)
        self.looked_at = self.began_at

    def look_up(self, names: Collection[str]) -> dict[str, Known]:
        """Return the registered chargers of these names, in one query.

        Raises:
            Away: the database does not answer.
        """
        rows = Device.objects.filter(driver=DRIVER, external_id__in=names)
        try:
            values = list(rows.values_list("external_id", "pk", "schedule_version", "settings"))
        except Error as error:
            connection.close()
            raise Away from error
        return {
            name: Known(device_id, name, version, _settings(settings))
            for name, device_id, version, settings in values
        }

    def write(
        self,
        presence: dict[str, Status],
        readings: Sequence[Heard],
        *,
        connected: Collection[str],
    ) -> bool:
        """Write a batch and, when it is time, the heartbeat; return whether the batch is dealt with."""
        return is_dealt_with(
            lambda: self._write(presence, readings, connected=connected, now=timezone.now()),
            what=f"{len(presence) + len(readings)} reports of chargers",
        )

    def _write(
        self,
        presence: dict[str, Status],
        readings: Sequence[Heard],
        *,
        connected: Collection[str],
        now: datetime,
    ) -> None:
        if presence:
            reports = [Report(name, status) for name, status in presence.items()]
            record_reports(reports, driver_name=DRIVER, now=now)
        if readings:
            record_readings(_as_readings(readings, connected=connected), now=now)
        self.beat.note(now=now)
        self._note_missing(connected, now=now)

    def _note_missing(self, connected: Collection[str], *, now: datetime) -> None:
        """Note as offline who was there when an earlier central system was killed, and never came back."""
        if now - self.looked_at < LOOK_FOR_MISSING_EVERY or now - self.began_at < MISSED_AFTER:
            return
        self.looked_at = now
        there = Device.objects.filter(driver=DRIVER, is_online=True)
        missing = [pk for pk, name in there.values_list("pk", "external_id") if name not in connected]
        if missing:
            Device.objects.filter(pk__in=missing).update(is_online=False)


def _settings(stored: object) -> ChargerSettings | None:
    try:
        return read_settings(stored) if isinstance(stored, dict) else None
    except msgspec.ValidationError:
        return None


def _as_readings(readings: Sequence[Heard], *, connected: Collection[str]) -> list[DeviceReading]:
    """Return telemetry; what a charger said before it went does not make it be there."""
    return [
        DeviceReading(
            device_id=heard.known.device_id,
            at=heard.metered.at,
            power_kw=heard.metered.power_kw,
            energy_kwh=heard.metered.energy_kwh,
            state_of_charge_percent=heard.metered.charge_percent,
            is_online=heard.known.external_id in connected,
        )
        for heard in readings
    ]
