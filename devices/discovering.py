"""Stage: what devices announce at the broker → rows: devices without a meter, which nothing can move.

Writes `FoundDevice` and, of `Device`, only new rows and what it wrote there itself while nobody had mapped
the device. Devices that somebody registered are none of its business.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from devices.discovery_models import FoundConfig, FoundDevice
from devices.domain.discovery import Announcement, Found
from devices.models import Device, DeviceKind
from devices.registering import register_devices

logger = logging.getLogger(__name__)

DRIVER: Final = "mqtt"
MOST_WAITING: Final = 1_000
"""How many found devices may wait to be mapped or dismissed: whoever can publish could announce more."""
MOST_CONFIGS: Final = 50
"""Of how many topics of one device it is remembered who announced there."""


def waiting_devices() -> QuerySet[FoundDevice]:
    """Return the found devices that nobody has mapped or dismissed."""
    return FoundDevice.objects.filter(dismissed_at__isnull=True, device__meter_devices__isnull=True)


@transaction.atomic
def record_announcements(announcements: Sequence[Announcement], *, now: datetime) -> int:
    """Write what was announced, each topic once, and return how many devices are new.

    A constant number of statements, always in the same order: other listeners write the same.
    1. What was taken back: who announces nothing more has gone, and is offline.
    2. Who is new becomes a device, as long as not too many wait.
    3. Who announces something else than before is changed, where nobody else wrote.
    """
    wanted = _together(announcements)
    taken_back = [each.topic for each in announcements if each.found is None]
    theirs = FoundConfig.objects.filter(topic__in=taken_back).values_list("found__device_id", flat=True)
    concerned = Q(external_id__in=wanted) | Q(pk__in=set(theirs))
    rows = Device.objects.select_for_update(no_key=True).filter(concerned).order_by("pk")
    known = {device.external_id: device for device in rows}
    _take_back(taken_back, now=now)
    new = _add({name: found for name, found in wanted.items() if name not in known}, now=now)
    devices = [each for each in (*known.values(), *new) if each.external_id in wanted]
    held = {each.device_id: each for each in FoundDevice.objects.filter(device__in=devices)}
    found = {each.external_id: held[each.pk] for each in devices if each.pk in held}
    _follow({name: wanted[name] for name in found if name in known}, found=found, known=known, now=now)
    _remember_topics(announcements, found=found)
    return len(new)


@transaction.atomic
def dismiss(*, device_id: int, now: datetime) -> bool:
    """Hear no more of a found device; it stays, without a meter. Return whether it still waited."""
    return bool(waiting_devices().filter(device_id=device_id).update(dismissed_at=now))


def _take_back(topics: Collection[str], *, now: datetime) -> None:
    configs = list(FoundConfig.objects.filter(topic__in=topics).values_list("pk", "found_id"))
    if not configs:
        return
    FoundConfig.objects.filter(pk__in=[pk for pk, _ in configs]).delete()
    silent = FoundDevice.objects.filter(pk__in={found_id for _, found_id in configs}, configs__isnull=True)
    gone = dict(silent.values_list("pk", "device_id"))
    FoundDevice.objects.filter(pk__in=gone).update(gone_at=now)
    Device.objects.filter(pk__in=gone.values()).update(is_online=False)


def _together(announcements: Sequence[Announcement]) -> dict[str, Found]:
    """Return what each device says under all its topics; what one leaves out another may say."""
    wanted: dict[str, Found] = {}
    for each in announcements:
        if each.found is not None:
            before = wanted.get(each.found.external_id)
            wanted[each.found.external_id] = _merged(before, each.found) if before else each.found
    return wanted


def _merged(before: Found, new: Found) -> Found:
    return replace(
        new,
        name=new.name or before.name,
        manufacturer=new.manufacturer or before.manufacturer,
        model=new.model or before.model,
        kind=new.kind or before.kind,
        rated_kw=new.rated_kw or before.rated_kw,
        capacity_kwh=new.capacity_kwh or before.capacity_kwh,
        may_export=new.may_export or before.may_export,
    )


def _add(wanted: Mapping[str, Found], *, now: datetime) -> list[Device]:
    """Make devices of those that nobody knows. Another listener may make the same at the same time."""
    if not wanted:
        return []
    room = max(0, MOST_WAITING - waiting_devices().count())
    names = sorted(wanted)[:room]
    if left := len(wanted) - len(names):
        logger.warning(
            "%s devices announced at the broker are left out: %s wait to be mapped or dismissed",
            left,
            MOST_WAITING,
        )
    Device.objects.bulk_create(
        [
            Device(external_id=name, driver=DRIVER, is_online=False, **_fields(_said(wanted[name], {})))
            for name in names
        ],
        ignore_conflicts=True,
    )
    return _note_found(wanted, names=names, now=now)


def _note_found(wanted: Mapping[str, Found], *, names: Collection[str], now: datetime) -> list[Device]:
    """Write who found the devices of these names that are new, and return them."""
    made = list(Device.objects.filter(external_id__in=names, driver=DRIVER, found__isnull=True))
    FoundDevice.objects.bulk_create(
        [
            FoundDevice(
                device=device,
                manufacturer=wanted[device.external_id].manufacturer,
                model=wanted[device.external_id].model,
                said=_said(wanted[device.external_id], {}),
                found_at=now,
            )
            for device in made
        ],
        ignore_conflicts=True,
    )
    if made:
        logger.info("Found at the broker: %s devices", len(made))
    return made


def _follow(
    wanted: Mapping[str, Found],
    *,
    found: Mapping[str, FoundDevice],
    known: Mapping[str, Device],
    now: datetime,
) -> None:
    """Change what is announced anew; of the device only what it said before, while it has no meter."""
    changed = []
    fields: dict[str, dict[str, Any]] = {}
    mapped = _mapped([known[name].pk for name in wanted])
    for name, new in wanted.items():
        row, said = found[name], _said(new, found[name].said)
        maker, model = new.manufacturer or row.manufacturer, new.model or row.model
        if (said, maker, model, None) == (row.said, row.manufacturer, row.model, row.gone_at):
            continue
        device = known[name]
        if device.pk not in mapped:
            untouched = {key for key, value in row.said.items() if _stands(device, key) == value}
            own = {key: value for key, value in said.items() if key in untouched and value != row.said[key]}
            if own:
                fields[name] = _fields(own)
        row.said, row.manufacturer, row.model, row.gone_at = said, maker, model, None
        changed.append(row)
    FoundDevice.objects.bulk_update(changed, ["said", "manufacturer", "model", "gone_at"], batch_size=200)
    if fields:
        register_devices(wanted=fields, now=now)


def _mapped(device_ids: Collection[int]) -> set[int]:
    counted = Device.objects.filter(pk__in=device_ids).annotate(meter_count=Count("meter_devices"))
    return set(counted.filter(meter_count__gt=0).values_list("pk", flat=True))


def _remember_topics(announcements: Sequence[Announcement], *, found: Mapping[str, FoundDevice]) -> None:
    """Keep under which topics each device announces, so that it is known who took something back."""
    rows = {
        each.topic: found[each.found.external_id].pk
        for each in announcements
        if each.found is not None and each.found.external_id in found
    }
    held = FoundConfig.objects.filter(found__in=set(rows.values())).values_list("topic", "found_id")
    topics = dict(held)
    counts: dict[int, int] = {}
    for found_id in topics.values():
        counts[found_id] = counts.get(found_id, 0) + 1
    new = []
    for topic, found_id in sorted(rows.items()):
        if topic not in topics and counts.get(found_id, 0) < MOST_CONFIGS:
            counts[found_id] = counts.get(found_id, 0) + 1
            new.append(FoundConfig(topic=topic, found_id=found_id))
    FoundConfig.objects.bulk_create(new, ignore_conflicts=True)


def _said(found: Found, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a device says by the fields of `Device`, as JSON; what it leaves out is as before."""
    said = {
        "name": found.name,
        "kind": found.kind,
        "rated_power_kw": f"{found.rated_kw:.3f}" if found.rated_kw else "",
        "energy_capacity_kwh": f"{found.capacity_kwh:.3f}" if found.capacity_kwh else "",
        "may_export": found.may_export or "",
    }
    usual = {
        "name": "",
        "kind": str(DeviceKind.LOAD),
        "rated_power_kw": "0.000",
        "energy_capacity_kwh": None,
        "may_export": False,
    }
    return {key: value or before.get(key, usual[key]) for key, value in said.items()}


def _fields(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: Decimal(value) if key in {"rated_power_kw", "energy_capacity_kwh"} and value else value
        for key, value in said.items()
    }


def _stands(device: Device, key: str) -> Any:
    """Return what stands at a device, as `_said` writes it."""
    value = getattr(device, key)
    return f"{value:.3f}" if isinstance(value, Decimal) else value
