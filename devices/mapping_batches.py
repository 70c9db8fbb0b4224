"""Stage: many pairs at once, by a rule or a file → `MeterDevice`, in batches that can be undone.

Reads meters, devices and pairs; writes `MappingBatch`, `MappingRule`, and pairs by `devices.mapping`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Max, Q

from devices.domain.mapping_rules import DeviceNamed, Form, MeterNamed, Pair, Proposal, Rule, propose
from devices.mapping import MappingChange, change_mapping
from devices.models import Device, MeterDevice
from meters.among import Ids
from meters.mapping_models import MappingBatch, MappingRule, MappingSource
from meters.models import Meter
from meters.sync_models import MeterSync

MAP_NEW_METERS: Final = "devices.tasks.map_new_meters"


class NothingToUndo(ValueError):
    """The batch is not the latest, or was undone before."""


def read_proposal(rule: Rule) -> Proposal:
    """Say what a rule would add now. Three queries."""
    meters = Meter.objects.order_by("pk").values_list("pk", "partner_reference", "meter_type", "archived_at")
    devices = Device.objects.order_by("pk").values_list("pk", "external_id", "site__name")
    return propose(
        rule=rule,
        meters=[
            MeterNamed(id=pk, reference=reference, meter_type=kind, is_archived=archived_at is not None)
            for pk, reference, kind, archived_at in meters
        ],
        devices=[DeviceNamed(id=pk, external_id=name, site=site or "") for pk, name, site in devices],
        mapped=set(MeterDevice.objects.values_list("meter_id", "device_id")),
    )


@transaction.atomic
def apply_batch(
    *,
    add: Collection[Pair] = (),
    remove: Collection[Pair] = (),
    source: MappingSource,
    rule: Mapping[str, object] | None = None,
    by: str,
    now: datetime,
) -> MappingChange:
    """Change pairs and remember what really changed; nothing is remembered where nothing did."""
    change = change_mapping(add=add, remove=remove, now=now)
    if change.new or change.gone:
        MappingBatch.objects.create(
            source=source,
            rule=dict(rule or {}),
            added=sorted(change.new),
            removed=sorted(change.gone),
            up_to=MeterDevice.objects.aggregate(latest=Max("pk"))["latest"] or 0,
            applied_by=by,
            applied_at=now,
        )
    return change


def rule_as_json(rule: Rule) -> dict[str, object]:
    """Write a rule as a batch keeps it."""
    return asdict(rule)


def latest_batch() -> MappingBatch | None:
    """Return the batch that can be undone: the latest, unless it was."""
    latest = MappingBatch.objects.order_by("-pk").first()
    return latest if latest and latest.undone_at is None else None


@transaction.atomic
def undo(batch_id: int, *, by: str, now: datetime) -> MappingChange:
    """Take back the latest batch: pairs that were added since by hand stay, as do those removed since.

    Raises:
        NothingToUndo: another batch came after it, or somebody undid it.
    """
    batch = latest_batch()
    open_batches = MappingBatch.objects.filter(pk=batch_id, undone_at__isnull=True)
    if batch is None or batch.pk != batch_id or not open_batches.update(undone_at=now, undone_by=by):
        raise NothingToUndo("Another change came after it, or somebody undid it already.")
    added = {(meter, device) for meter, device in batch.added}
    rows = MeterDevice.objects.filter(
        pk__lte=batch.up_to, meter_id__among=Ids({meter for meter, _ in added})
    ).values_list("meter_id", "device_id")
    return change_mapping(add=_still_there(batch.removed), remove=added & set(rows), now=now)


def _still_there(pairs: Collection[Collection[int]]) -> list[Pair]:
    """Keep the pairs of which both ends exist."""
    named = [(meter, device) for meter, device in pairs]
    meters = set(Meter.objects.filter(pk__among=Ids({m for m, _ in named})).values_list("pk", flat=True))
    devices = set(Device.objects.filter(pk__among=Ids({d for _, d in named})).values_list("pk", flat=True))
    return [(meter, device) for meter, device in named if meter in meters and device in devices]


def keep_rule(rule: Rule | None, *, by: str, now: datetime) -> None:
    """Have a rule map new meters from now on, or none."""
    if rule is None:
        MappingRule.objects.all().delete()
        return
    MappingRule.objects.update_or_create(
        only=1, defaults=asdict(rule) | {"changed_by": by, "changed_at": now, "looked_at": now}
    )


def kept_rule() -> Rule | None:
    """Return the rule that maps new meters, if there is one."""
    kept = MappingRule.objects.first()
    if kept is None:
        return None
    return Rule(form=Form(kept.form), ignores_case=kept.ignores_case, separator=kept.separator)


def is_news() -> bool:
    """Say whether a sync brought meters since the kept rule last looked. At most two questions.

    One that failed or died counts, too: what it brought is news to no later one.
    """
    kept = MappingRule.objects.values_list("looked_at", flat=True).first()
    if kept is None:
        return False
    brought = Q(appeared__gt=0) | Q(changed__gt=0)
    return MeterSync.objects.filter(brought, turn__isnull=True, finished_at__gt=kept).exists()


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task to wake when new meters are to be mapped."""
    return (MAP_NEW_METERS,) if is_news() else ()


def map_new_meters(*, now: datetime) -> int:
    """Map meters without a device by the kept rule; return how many pairs are new.

    A meter that has a device is left to people, whatever the rule says of it.
    """
    rule = kept_rule()
    if rule is None or not is_news():
        return 0
    with transaction.atomic():
        MappingRule.objects.update(looked_at=now)
        pairs = read_proposal(rule).pairs
        rows = MeterDevice.objects.filter(meter_id__among=Ids({meter for meter, _ in pairs}))
        mapped = set(rows.values_list("meter_id", flat=True))
        free = [pair for pair in pairs if pair[0] not in mapped]
        change = apply_batch(
            add=free, source=MappingSource.NEW_METERS, rule=rule_as_json(rule), by="", now=now
        )
    return change.added
