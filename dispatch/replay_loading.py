"""Stored revisions, overrides and policies → the past that a replay goes through. Writes nothing.

Meters, nominations, devices and levels are as they are now: their history is not kept. What a battery says it
holds is left out for the same reason. Integration tests are left out: they move nothing that is not armed.
The number of statements does not depend on the number of rows, but for one more per ten thousand ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Q, QuerySet

from devices.models import Device
from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import LOOK_BACK, Fleet
from dispatch.domain.overruling import Ruling
from dispatch.domain.policies import NOTHING, policy_of
from dispatch.domain.replaying import Heard, Past, Spoken, as_if_in_time, is_too_late
from dispatch.domain.revisions import fields_from_content
from dispatch.domain.terms import Policy, Terms
from dispatch.levels import load_policy
from dispatch.loading import devices_of, meters_of, recipients_of, traits_of
from dispatch.lookups import columns_of, links_of, sets_named
from dispatch.models import DispatchEvent, EventRevision, Override, TestKind
from dispatch.replay_models import Baseline, PolicyReplay, ReplayScope
from dispatch.rulings import FOR_EVER, Reach, devices_reached, load_rulings
from dispatch.terms import nearest_policies, terms_under, zones_of

_REVISION_COLUMNS: Final = (
    "received_at",
    "fields",
    "event_id",
    "event__leap_event_id",
    "event__level",
    "event__first_received_at",
)


@dataclass(frozen=True)
class Loaded:
    """The past, the terms to compare with and those in question, and whom the policy is tried on.

    `too_late`: how many events came once they were over.
    """

    past: Past
    terms: tuple[Mapping[int, Terms], Mapping[int, Terms]]
    device_ids: frozenset[int]
    zones: Mapping[int, str]
    too_late: int


def events_in(window: Window) -> QuerySet[DispatchEvent]:
    """Return the events that a replay of a window may touch: they are in it, or were told anew in it."""
    inside = Q(starts_at__lt=window.end, ends_at__gt=window.start)
    told = EventRevision.objects.filter(received_at__gte=window.start, received_at__lt=window.end)
    events = DispatchEvent.objects.filter(inside | Q(pk__in=told.values("event_id")))
    return events.exclude(test=TestKind.INTEGRATION).order_by("pk")


def revisions_in(window: Window) -> QuerySet[EventRevision]:
    """Return the revisions that a replay of a window goes through, in order of receipt."""
    known = EventRevision.objects.filter(event__in=events_in(window).values("pk"))
    return known.order_by("received_at", "event_id", "number")


def count_late(window: Window) -> tuple[int, int]:
    """Count the events of a window that came once they were over, and all of them."""
    events = events_in(window)
    return events.filter(first_received_at__gte=F("ends_at")).count(), events.count()


def load_past(replay: PolicyReplay, *, now: datetime) -> Loaded:
    """Read everything that a replay is made of."""
    window = Window(replay.starts_at, replay.ends_at)
    heard = _heard(revisions_in(window))
    recipients = recipients_of({each.event.recipients for each in heard})
    meters = meters_of({meter_id for named in recipients.values() for meter_id in named}, now=now)
    devices = devices_of({device_id for meter in meters.values() for device_id in meter.device_ids})
    meant = _meant(replay, devices, now=now)
    named = _sets_of(meant, recipients)
    fleet = Fleet(
        events=(),
        recipients=recipients,
        meters=meters,
        devices={device.pk: traits_of(device) for device in devices},
        policy=load_policy(),
    )
    heard = [each for each in heard if each.event.recipients in named]
    past = Past(
        window=window,
        heard=as_if_in_time(heard) if replay.taking_late else heard,
        fleet=fleet,
        spoken=_spoken(devices, window=window),
    )
    return Loaded(
        past=past,
        terms=_both_terms(replay, devices, meant, now=now),
        device_ids=meant,
        zones=zones_of(devices),
        too_late=_count_too_late(heard, window=window),
    )


def _heard(revisions: QuerySet[EventRevision]) -> list[Heard]:
    """Return the revisions as values. Those of a set of recipients that is no longer known are left out."""
    rows = [
        (at, fields_from_content(fields), *event)
        for at, fields, *event in revisions.values_list(*_REVISION_COLUMNS)
        if fields
    ]
    sets = dict(sets_named({fields.recipients for _, fields, *_ in rows}))
    return [
        Heard(
            at,
            Event(
                event_id=event_id,
                leap_event_id=leap_event_id,
                recipients=sets[fields.recipients],
                window=Window(fields.starts_at, fields.ends_at),
                energy_kw=fields.energy_kw,
                nomination_kw=fields.nomination_kw,
                rank=fields.priority_rank,
                is_voluntary=fields.is_voluntary,
                cap=fields.cap,
                is_cancelled=fields.is_cancelled,
                is_test=bool(fields.test),
                level=level,
                programs=fields.programs,
                heard_at=heard_at,
            ),
        )
        for at, fields, event_id, leap_event_id, level, heard_at in rows
        if fields.recipients in sets
    ]


def _meant(replay: PolicyReplay, devices: Sequence[Device], *, now: datetime) -> frozenset[int]:
    """Return whom of the devices the policy is tried on."""
    if replay.scope == ReplayScope.GIVEN:
        nearest = nearest_policies(devices, now=now)
        return frozenset(pk for pk, policy in nearest.items() if policy.pk == replay.policy_id)
    reached = devices_reached([Reach(replay.scope, replay.target)], now=now)
    return reached.intersection(device.pk for device in devices)


def _sets_of(device_ids: Collection[int], recipients: Mapping[int, Sequence[str]]) -> set[int]:
    """Return the sets of recipients that name a meter of the devices."""
    behind = {meter_id for meter_id, _ in links_of(device_ids=device_ids)}
    return {pk for pk, meter_ids in recipients.items() if not behind.isdisjoint(meter_ids)}


def _both_terms(
    replay: PolicyReplay, devices: Sequence[Device], meant: frozenset[int], *, now: datetime
) -> tuple[dict[int, Terms], dict[int, Terms]]:
    """Return the terms to compare with, and those under the policy in question."""
    nearest = nearest_policies(devices, now=now)
    values = {policy.pk: policy.to_value() for policy in nearest.values()}
    held = {pk: values[policy.pk] for pk, policy in nearest.items()}
    tried = dict.fromkeys(meant, read_policy(replay.content, label=replay.label))
    if replay.baseline == Baseline.NONE:
        held |= dict.fromkeys(meant, Policy())
    return _terms(devices, held), _terms(devices, {**held, **tried})


def read_policy(content: Mapping[str, Any], *, label: str) -> Policy:
    """Return what stored content says: numbers with a point as decimals, and nothing of what is missing."""
    said = {key: Decimal(str(each)) if isinstance(each, float) else each for key, each in content.items()}
    return policy_of({**NOTHING, **said}, label=label)


def _terms(devices: Sequence[Device], under: Mapping[int, Policy]) -> dict[int, Terms]:
    """Return terms as far as they hold of the past: not what ran in truth, nor what a battery holds today."""
    return {
        pk: replace(terms, battery=replace(terms.battery, percent=None, at=None)) if terms.battery else terms
        for pk, terms in terms_under(devices, under, did={}, pasts={}).items()
    }


def _spoken(devices: Sequence[Device], *, window: Window) -> dict[int, tuple[Spoken, ...]]:
    """Return what overrides said about the devices; devices of which the same was said share it."""
    rulings = load_rulings(devices, now=window.start + LOOK_BACK)
    made = {
        pk: (created_at, ends_at, ended_at)
        for pk, created_at, ends_at, ended_at in columns_of(
            {each.override_id for of in rulings.values() for each in of},
            lambda ids: Override.objects.filter(pk__in=ids),
            ("pk", "created_at", "ends_at", "ended_at"),
        )
    }
    shared: dict[tuple[Ruling, ...], tuple[Spoken, ...]] = {}
    for of in rulings.values():
        if of not in shared:
            shared[of] = tuple(each for ruling in of for each in _forms(ruling, *made[ruling.override_id]))
    return {device_id: shared[of] for device_id, of in rulings.items()}


def _forms(
    ruling: Ruling, created_at: datetime, ends_at: datetime, ended_at: datetime | None
) -> Iterable[Spoken]:
    """Yield a ruling as it was known: to its end as planned, and since it was ended to that time."""
    if ended_at is None or ruling.window.end != ended_at:
        yield Spoken(Window(created_at, FOR_EVER), ruling)
        return
    planned = replace(ruling, window=Window(ruling.window.start, ends_at))
    yield Spoken(Window(created_at, ended_at), planned)
    yield Spoken(Window(ended_at, FOR_EVER), ruling)


def _count_too_late(heard: Iterable[Heard], *, window: Window) -> int:
    first: dict[int, Heard] = {}
    for each in heard:
        first.setdefault(each.event.event_id, each)
    return sum(
        is_too_late(each) and each.event.window.start < window.end and each.event.window.end > window.start
        for each in first.values()
    )
