"""What the planned devices leave undone, and why. Writes `UnservedSet`, `Unserved`, `DeviceUnserved`.

Devices that fare alike share one plan, and here one set of slices: a hold of ten thousand devices over a day
of hourly events is 24 slices and a row a device. Only what differs is written. A set that no longer holds is
closed, not changed: what was undone until then stays as history.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q

from devices.bulk import insert_rows
from devices.domain.schedule import as_z
from dispatch.domain.plans import DevicePlan
from dispatch.lookups import batches
from dispatch.models import DeviceUnserved, Unserved, UnservedSet
from meters.among import Ids

Slice = tuple[int, datetime, datetime, str, bool]
"""Event row, start, end, reason, whether a twin is acted upon instead."""
Slices = tuple[Slice, ...]

COUNTS = Q(unserved_set__devices__until__isnull=True) | Q(unserved_set__devices__until__gt=F("starts_at"))
"""Keeps the slices, joined to the devices of their set, that count for the device; see `DeviceUnserved`."""
BY_DEVICE = "unserved_set__devices__device"


def save_unserved(plans: Mapping[int, DevicePlan], *, now: datetime) -> None:
    """Make what is to come of each device's set equal to what its plan leaves undone from now on."""
    desired = {id(plan): _slices(plan) for plan in plans.values()}
    to_come = {plan: _from(slices, now) for plan, slices in desired.items()}
    held = _held(plans)
    remaining = _remaining({set_id for _, set_id in held.values()}, now=now)
    nothing = (0, 0)
    changed = {
        device_id: desired[id(plan)]
        for device_id, plan in plans.items()
        if remaining.get(held.get(device_id, nothing)[1], ()) != to_come[id(plan)]
    }
    left = [held[device_id] for device_id in changed if device_id in held]
    _close(left, now=now)
    sets = _sets({id(slices): slices for slices in changed.values() if slices}.values())
    insert_rows(
        DeviceUnserved,
        ("device_id", "unserved_set_id"),
        ((device_id, sets[id(slices)]) for device_id, slices in changed.items() if slices),
        since=now,
    )
    _drop_empty({set_id for _, set_id in left})


def undone_by(device_id: int, *, since: datetime) -> list[Unserved]:
    """Return what a device leaves undone or left so since then, in order, each up to when it held.

    A slice that was planned again while it ran, and stayed as it was, is one. One query.
    """
    mine = Unserved.objects.filter(COUNTS, ends_at__gt=since, unserved_set__devices__device=device_id)
    rows = mine.annotate(until=F("unserved_set__devices__until")).select_related("event")
    found: dict[tuple[int, datetime, str], Unserved] = {}
    for row in rows.order_by("starts_at", "event_id", F("until").asc(nulls_last=True), "pk"):
        row.ends_at = min(row.ends_at, row.until or row.ends_at)
        if row.ends_at > since:
            found[row.event_id, row.starts_at, row.reason] = row
    return list(found.values())


def events_unserved(event_ids: Sequence[int]) -> set[int]:
    """Return the events that some device leaves undone somewhere, but for what a twin does instead."""
    holding = DeviceUnserved.objects.filter(unserved_set=OuterRef("unserved_set"))
    counts = holding.filter(Q(until__isnull=True) | Q(until__gt=OuterRef("starts_at")))
    return {
        event_id
        for batch in batches(event_ids)
        for event_id in Unserved.objects.filter(Exists(counts), event_id__among=Ids(batch), is_shaded=False)
        .order_by("event_id")
        .values_list("event_id", flat=True)
        .distinct()
    }


def _slices(plan: DevicePlan) -> Slices:
    """Return a plan's slices in order, one for each event and start."""
    by_start = {
        (each.event_id, each.window.start): (each.window.end, each.reason, each.is_shaded)
        for each in plan.unserved
    }
    return tuple((*start, *by_start[start]) for start in sorted(by_start))


def _held(device_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return the row that says which set a device has now, and that set, by device id."""
    rows = DeviceUnserved.objects.filter(until__isnull=True)
    columns = ("device_id", "pk", "unserved_set_id")
    return {
        device_id: (pk, set_id)
        for batch in batches(device_ids)
        for device_id, pk, set_id in rows.filter(device_id__among=Ids(batch)).values_list(*columns)
    }


def _remaining(set_ids: Collection[int], *, now: datetime) -> dict[int, Slices]:
    """Return what of the sets is to come."""
    slices: defaultdict[int, list[Slice]] = defaultdict(list)
    columns = ("unserved_set_id", "event_id", "starts_at", "ends_at", "reason", "is_shaded")
    for batch in batches(set_ids):
        rows = Unserved.objects.filter(unserved_set_id__among=Ids(batch), ends_at__gt=now)
        for set_id, *content in rows.order_by("event_id", "starts_at").values_list(*columns):
            slices[set_id].append(tuple(content))
    return {set_id: _from(each, now) for set_id, each in slices.items()}


def _from(slices: Iterable[Slice], now: datetime) -> Slices:
    """Leave out of slices what is past: since when something is undone is no difference."""
    return tuple(
        (event, max(start, now), end, reason, is_shaded)
        for event, start, end, reason, is_shaded in slices
        if end > now
    )


def _close(left: Collection[tuple[int, int]], *, now: datetime) -> None:
    """Let devices have their sets until now; where nothing had begun, as if they never had them."""
    begun = {
        set_id
        for batch in batches({set_id for _, set_id in left})
        for set_id in Unserved.objects.filter(unserved_set_id__among=Ids(batch), starts_at__lt=now)
        .values_list("unserved_set_id", flat=True)
        .distinct()
    }
    for batch in batches([pk for pk, set_id in left if set_id in begun]):
        DeviceUnserved.objects.filter(pk__among=Ids(batch)).update(until=now)
    for batch in batches([pk for pk, set_id in left if set_id not in begun]):
        DeviceUnserved.objects.filter(pk__among=Ids(batch)).delete()


def _sets(wanted: Iterable[Slices]) -> dict[int, int]:
    """Return the sets with this content, by the number of the content's object; new ones are stored."""
    by_digest: defaultdict[str, list[Slices]] = defaultdict(list)
    for slices in wanted:
        by_digest[_digest(slices)].append(slices)
    known = _known(by_digest)
    new = UnservedSet.objects.bulk_create(
        UnservedSet(digest=digest) for digest in by_digest if digest not in known
    )
    insert_rows(
        Unserved,
        ("unserved_set_id", "event_id", "starts_at", "ends_at", "reason", "is_shaded"),
        ((each.pk, *slice_) for each in new for slice_ in by_digest[each.digest][0]),
    )
    known |= {each.digest: each.pk for each in new}
    return {id(slices): known[digest] for digest, alike in by_digest.items() for slices in alike}


def _known(digests: Collection[str]) -> dict[str, int]:
    return {
        digest: pk
        for batch in batches(digests)
        for digest, pk in UnservedSet.objects.filter(digest__among=Ids(batch)).values_list("digest", "pk")
    }


def _digest(slices: Slices) -> str:
    content = [[event, as_z(start), as_z(end), *rest] for event, start, end, *rest in slices]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _drop_empty(set_ids: Collection[int]) -> None:
    """Forget the sets that no device has or had."""
    for batch in batches(set_ids):
        empty = UnservedSet.objects.filter(
            ~Exists(DeviceUnserved.objects.filter(unserved_set=OuterRef("pk")))
        )
        empty.filter(pk__among=Ids(batch)).delete()
