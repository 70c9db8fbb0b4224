"""What a plan that was only tried would do, device by device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devices.domain.schedule import Mode
from devices.models import Device, SegmentMode
from dispatch.preview import DevicePreview
from dispatch.reading.devices import MODE_WORDS


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device and what it would do."""

    id: int
    name: str
    external_id: str
    segments: tuple[dict[str, Any], ...]
    not_served: tuple[dict[str, Any], ...]


def device_rows(devices: Sequence[DevicePreview]) -> tuple[DeviceRow, ...]:
    """Name the devices; one query."""
    names = Device.objects.in_bulk([device.device_id for device in devices])
    return tuple(
        DeviceRow(
            id=device.device_id,
            name=str(names[device.device_id]),
            external_id=device.external_id,
            segments=tuple(
                {
                    "start": segment.start,
                    "end": segment.end,
                    "mode": MODE_WORDS[SegmentMode(segment.mode)],
                    "is_idle": segment.mode is Mode.IDLE,
                    "target_kw": segment.target_kw,
                    "is_commitment": segment.is_commitment,
                    "reason": segment.reason,
                    "precondition_from": segment.precondition_from,
                    "ramp_seconds": segment.ramp_seconds,
                    "recover_until": segment.recover_until,
                }
                for segment in device.segments
            ),
            not_served=tuple(
                {
                    "leap_event_id": undone.leap_event_id,
                    "start": undone.window.start,
                    "end": undone.window.end,
                    "reason": undone.reason,
                }
                for undone in device.not_served
            ),
        )
        for device in devices
    )
