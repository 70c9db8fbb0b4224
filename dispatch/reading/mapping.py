"""What a rule or a file would change of the mapping, with names, before anything is changed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from devices.domain.mapping_rules import Ambiguous, Doubt, Pair, Rule
from devices.mapping_batches import read_proposal
from devices.mapping_files import FileDiff
from devices.models import Device, MeterDevice
from dispatch.models import DispatchEvent, RecipientMember
from meters.among import Ids
from meters.models import Meter

SHOWN = 200
LEFT_SHOWN = 50
DOUBTS = {
    Doubt.SAME_REFERENCE: "Several meters have this reference.",
    Doubt.SEVERAL_DEVICES: "Several devices fit it.",
    Doubt.SEVERAL_METERS: "The device fits another meter's reference, too.",
    Doubt.SEVERAL_SITES: "Several sites have this name.",
    Doubt.ONE_DEVICE_OF_A_SITE: "Leap says that it is one device, and the site has several.",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A meter or a device as a page names it, with where it leads."""

    id: int
    key: str
    name: str
    under: str = ""


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair that would be added or removed; what else each of the two has already."""

    meter: Named
    device: Named
    also_meters: tuple[str, ...]
    also_devices: tuple[str, ...]
    is_removed: bool = False

    @property
    def value(self) -> str:
        """Name the pair in a form."""
        return f"{self.meter.id}-{self.device.id}"


@dataclass(frozen=True, slots=True)
class DoubtRow:
    """What a rule leaves to people, and why."""

    reference: str
    why: str
    meters: tuple[Named, ...]
    devices: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What adding the pairs would bring: devices that no meter had, their kW, and events to plan again."""

    meters: int
    devices: int
    new_kw: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class RuleDiff:
    """What a rule would add, and what it leaves; `digest` names this very answer."""

    pairs: int
    held: int
    archived: int
    rows: tuple[PairRow, ...]
    doubts: tuple[DoubtRow, ...]
    doubt_count: int
    meters_left: tuple[Named, ...]
    meters_left_count: int
    devices_left: tuple[Named, ...]
    devices_left_count: int
    impact: Impact
    digest: str


def read_rule(rule: Rule, *, now: datetime) -> RuleDiff:
    """Read what a rule would add. Ten queries, whatever there is."""
    found = read_proposal(rule)
    shown, doubts = found.pairs[:SHOWN], found.ambiguous[:SHOWN]
    meters_left, devices_left = found.unmatched_meters[:LEFT_SHOWN], found.unmatched_devices[:LEFT_SHOWN]
    names = _Names(
        meters={meter for meter, _ in shown} | set(meters_left) | {m for each in doubts for m in each.meters},
        devices={device for _, device in shown}
        | set(devices_left)
        | {d for each in doubts for d in each.devices},
    )
    return RuleDiff(
        pairs=len(found.pairs),
        held=found.held,
        archived=found.archived,
        rows=names.rows(shown),
        doubts=tuple(_doubt(each, names) for each in doubts),
        doubt_count=len(found.ambiguous),
        meters_left=tuple(names.meters[pk] for pk in meters_left),
        meters_left_count=len(found.unmatched_meters),
        devices_left=tuple(names.devices[pk] for pk in devices_left),
        devices_left_count=len(found.unmatched_devices),
        impact=read_impact(found.pairs, now=now),
        digest=digest_of(found.pairs),
    )


def digest_of(pairs: Iterable[Pair]) -> str:
    """Name a set of pairs, so that what is applied is what was seen."""
    return hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()[:16]


def read_impact(pairs: Collection[Pair], *, now: datetime) -> Impact:
    """Say what adding pairs would bring. Two queries."""
    meters, devices = {meter for meter, _ in pairs}, {device for _, device in pairs}
    unmapped = Device.objects.filter(pk__among=Ids(devices), meter_devices__isnull=True)
    members = RecipientMember.objects.filter(
        meter_id__in=Meter.objects.filter(pk__among=Ids(meters)).values("meter_id")
    )
    coming = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now)
    return Impact(
        meters=len(meters),
        devices=len(devices),
        new_kw=unmapped.aggregate(kw=Sum("rated_power_kw"))["kw"] or Decimal(0),
        events=coming.filter(recipients__in=members.values("recipients_id")).count() if meters else 0,
    )


@dataclass(frozen=True, slots=True)
class FileRows:
    """What a file would change, with names."""

    added: int
    removed: int
    unchanged: int
    rows: tuple[PairRow, ...]
    impact: Impact


def read_file(diff: FileDiff, *, now: datetime) -> FileRows:
    """Name what a file would change; what it removes stands first. Five queries."""
    removed = diff.removed[:SHOWN]
    added = diff.added[: SHOWN - len(removed)]
    names = _Names(
        meters={meter for meter, _ in (*removed, *added)}, devices={d for _, d in (*removed, *added)}
    )
    return FileRows(
        added=len(diff.added),
        removed=len(diff.removed),
        unchanged=diff.unchanged,
        rows=names.rows(removed, is_removed=True) + names.rows(added, gone=frozenset(diff.removed)),
        impact=read_impact(diff.added, now=now),
    )


class _Names:
    """The meters and devices that a page names, and how each is mapped now. Four queries."""

    def __init__(self, *, meters: Collection[int], devices: Collection[int]) -> None:
        self.meters = {
            meter.pk: Named(meter.pk, meter.meter_id, str(meter), meter.partner_reference)
            for meter in Meter.objects.filter(pk__among=Ids(meters))
        }
        self.devices = {
            device.pk: Named(device.pk, device.external_id, str(device), device.external_id)
            for device in Device.objects.filter(pk__among=Ids(devices))
        }
        self._meters_of = _others("device_id", devices, "meter_id", "meter__name", "meter__meter_id")
        self._devices_of = _others("meter_id", meters, "device_id", "device__name", "device__external_id")

    def rows(
        self, pairs: Iterable[Pair], *, is_removed: bool = False, gone: Collection[Pair] = frozenset()
    ) -> tuple[PairRow, ...]:
        """Name pairs, with what else each of the two has and keeps: `gone` are pairs that go meanwhile."""
        return tuple(
            PairRow(
                meter=self.meters[meter],
                device=self.devices[device],
                also_meters=tuple(
                    name for pk, name in self._meters_of.get(device, ()) if (pk, device) not in gone
                ),
                also_devices=tuple(
                    name for pk, name in self._devices_of.get(meter, ()) if (meter, pk) not in gone
                ),
                is_removed=is_removed,
            )
            for meter, device in pairs
        )


def _others(
    field: str, ids: Collection[int], other: str, *names: str
) -> Mapping[int, Sequence[tuple[int, str]]]:
    """Return by meter or device what it is mapped to, with its name, else its id. One query."""
    found: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    rows = MeterDevice.objects.filter(**{f"{field}__among": Ids(ids)}).order_by("pk")
    for one, pk, *named in rows.values_list(field, other, *names):
        found[one].append((pk, next(filter(None, named))))
    return found


def _doubt(each: Ambiguous, names: _Names) -> DoubtRow:
    return DoubtRow(
        reference=each.reference,
        why=DOUBTS[each.doubt],
        meters=tuple(names.meters[pk] for pk in each.meters),
        devices=tuple(names.devices[pk] for pk in each.devices),
    )
