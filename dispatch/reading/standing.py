"""Where meters stand now: one cause per meter in SQL, for lists and counts, and all of them for those shown.

`with_cause` gives the gravest cause by the same rule as `dispatch.domain.standing.causes_of` gives all of
them; a test holds both against one table of cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)

from devices.models import Device, MeterDevice
from dispatch.domain.events import Window
from dispatch.domain.standing import Code, Facts, How
from dispatch.models import Override, OverrideAction, OverrideScope
from dispatch.reading.blackouts import NOTHING, Blackouts, read_blackouts, zone_of_device
from dispatch.reading.holds import running
from dispatch.step_models import OutOfStep
from meters.among import Ids
from meters.enrollment_models import Enrollment
from meters.grouping import in_effect
from meters.models import EnrollmentStatus, MarketGroupMembership, Meter, Participation

EVERYTHING = ~NOTHING
STOPS = (OverrideAction.HOLD, OverrideAction.OPT_OUT)


@dataclass(frozen=True, slots=True)
class Present:
    """What bears on every meter at one time.

    The overrides that run, who is in a blackout, and by Leap's ids whom a call that is not over names for a
    market group that they are not in here.
    """

    now: datetime
    overrides: tuple[Override, ...]
    blackouts: Blackouts
    out_of_step: frozenset[str]

    def held(self, device: str = "") -> Q:
        """Say whether a device is under a hold or an opt-out; `device` is the way to it."""
        return self._reached(STOPS, device)

    def forced(self, device: str = "") -> Q:
        """Say whether a person forces a device."""
        return self._reached((OverrideAction.FORCE,), device)

    def odd(self, device: str = "") -> Q:
        """Say whether anything is the matter with a device, so that it cannot move now."""
        quiet = Q(**{f"{device}is_online": False}) | Q(**{f"{device}failing_since__isnull": False})
        return quiet | self.held(device) | self.blackouts.condition(device)

    def _reached(self, actions: Iterable[str], device: str) -> Q:
        running = [each for each in self.overrides if each.action in actions]
        targets = {scope: {each.target for each in running if each.scope == scope} for scope in OverrideScope}
        if targets[OverrideScope.FLEET]:
            return EVERYTHING
        way = f"{device.removesuffix('__')}_id" if device else "pk"
        behind = MeterDevice.objects.filter(device=OuterRef(way))
        reached = NOTHING
        if targets[OverrideScope.DEVICE]:
            reached |= Q(**{f"{device}external_id__in": sorted(targets[OverrideScope.DEVICE])})
        if targets[OverrideScope.METER]:
            reached |= Q(Exists(behind.filter(meter__meter_id__in=sorted(targets[OverrideScope.METER]))))
        if targets[OverrideScope.MARKET_GROUP]:
            members = present_memberships(now=self.now).filter(
                group__market_group_id__in=sorted(targets[OverrideScope.MARKET_GROUP])
            )
            reached |= Q(Exists(behind.filter(meter__in=members.values("meter"))))
        return reached


def read_present(*, now: datetime, during: Window | None = None) -> Present:
    """Read what bears on every meter now, or at any time of a window. Three to six queries."""
    calls = OutOfStep.objects.filter(
        settled_at__isnull=True, event__is_cancelled=False, event__ends_at__gt=now
    )
    lists = calls.values_list("difference__called_not_ours", flat=True)
    out_of_step = frozenset(meter_id for meter_ids in lists for meter_id in meter_ids)
    overrides = running(now=now) if during is None else _overrides_in(during)
    return Present(now, tuple(overrides), read_blackouts(now=now, window=during), out_of_step)


def _overrides_in(window: Window) -> list[Override]:
    rows = Override.objects.filter(starts_at__lt=window.end, ends_at__gt=window.start, ended_at__isnull=True)
    return list(rows.order_by("-created_at", "-id"))


def present_memberships(*, now: datetime) -> QuerySet[MarketGroupMembership]:
    """Select the memberships in effect."""
    return MarketGroupMembership.objects.filter(in_effect(now))


def is_enrolled(*, now: datetime) -> Q:
    """Say whether a meter is active in a program now, by Leap's word of it as a whole or of a period."""
    begun = Enrollment.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=now),
        meter=OuterRef("pk"),
        status=EnrollmentStatus.ACTIVE,
        starts_at__lte=now,
    )
    return Q(enrollment_status__iexact=EnrollmentStatus.ACTIVE) | Q(Exists(begun))


def with_cause(meters: QuerySet[Meter], *, present: Present) -> QuerySet[Any]:
    """Add `cause`: the gravest thing that stands in the way of a meter, READY for none."""
    way = "device__"
    links = MeterDevice.objects.filter(meter=OuterRef("pk"))
    kinds = (
        (Code.HELD, Code.PARTLY_HELD, present.held(way)),
        (Code.BLACKOUT, Code.PARTLY_BLACKOUT, present.blackouts.condition(way)),
        (Code.OFFLINE, Code.PARTLY_OFFLINE, Q(device__is_online=False)),
        (Code.FAILING, Code.PARTLY_FAILING, Q(device__failing_since__isnull=False)),
    )
    found = [kind for kind in kinds if kind[2] != NOTHING]
    of_devices = Case(
        *(When(~Exists(links.filter(~is_so)), then=Value(all_of)) for all_of, _, is_so in found),
        When(~Exists(links.filter(~present.odd(way))), then=Value(Code.NONE_ABLE)),
        *(When(Exists(links.filter(is_so)), then=Value(some_of)) for _, some_of, is_so in found),
        output_field=CharField(),
    )
    return meters.annotate(
        cause=Case(
            When(archived_at__lte=present.now, then=Value(Code.ARCHIVED)),
            When(participation__iexact=Participation.IDLE, then=Value(Code.IDLE)),
            When(participation__iexact=Participation.DISENROLL, then=Value(Code.DISENROLLED)),
            When(~Exists(links), then=Value(Code.NO_DEVICE)),
            When(Exists(links.filter(present.odd(way))), then=of_devices),
            When(meter_id__among=Ids(sorted(present.out_of_step)), then=Value(Code.OUT_OF_STEP)),
            When(at_leap__gone_at__isnull=False, then=Value(Code.NOT_LISTED)),
            When(~is_enrolled(now=present.now), then=Value(Code.NOT_ACTIVE)),
            When(Exists(links.filter(present.forced(way))), then=Value(Code.FORCED)),
            When(test_armed_until__gt=present.now, then=Value(Code.ARMED)),
            default=Value(Code.READY),
            output_field=CharField(),
        )
    )


def with_facts(meters: QuerySet[Meter], *, present: Present) -> QuerySet[Any]:
    """Bring along what `facts_of` needs, devices included. One query more for any number of meters."""
    devices = Device.objects.annotate(
        is_held=_flag(present.held()),
        is_dark=_flag(present.blackouts.condition()),
        is_forced=_flag(present.forced()),
        policy_pk=present.blackouts.policy_of(),
        zone=zone_of_device(),
    )
    shown = Prefetch("devices", devices.order_by("name", "id"), to_attr="mapped_devices")
    return meters.annotate(
        is_enrolled=_flag(is_enrolled(now=present.now)),
        gone_at=F("at_leap__gone_at"),
        turns_at=F("at_leap__turns_at"),
    ).prefetch_related(shown)


def _flag(condition: Q) -> Case:
    return Case(When(condition, then=Value(value=True)), default=Value(value=False))


def facts_of(meter: Any, *, present: Present) -> Facts:
    """Return what is known of a meter that was read with its facts."""
    now = present.now
    devices = meter.mapped_devices
    participation = meter.participation.upper()
    return Facts(
        is_archived=meter.archived_at is not None and meter.archived_at <= now,
        is_idle=participation == Participation.IDLE,
        is_disenrolled=participation == Participation.DISENROLL,
        has_device=bool(devices),
        offline=_how([not each.is_online for each in devices]),
        failing=_how([each.failing_since is not None for each in devices]),
        held=_how([each.is_held for each in devices]),
        dark=_how([each.is_dark for each in devices]),
        is_able=any(is_able(each) for each in devices),
        is_out_of_step=meter.meter_id in present.out_of_step,
        is_gone=meter.gone_at is not None,
        is_active=meter.is_enrolled,
        is_forced=any(each.is_forced for each in devices),
        is_armed=meter.test_armed_until is not None and meter.test_armed_until > now,
    )


def is_able(device: Any) -> bool:
    """Say whether a device that was read with its facts can move now."""
    return device.is_online and not (device.failing_since or device.is_held or device.is_dark)


def able_kw(meter: Any) -> Decimal:
    """Sum the rated power of the meter's devices that can move now."""
    able = (each.rated_power_kw for each in meter.mapped_devices if is_able(each))
    return sum(able, Decimal(0))


def _how(flags: list[bool]) -> How:
    if not any(flags):
        return How.NONE
    return How.ALL if all(flags) else How.SOME


def able_links(*, present: Present) -> QuerySet[MeterDevice]:
    """Select the pairs through which a device can be moved now: meters that take part, devices that can."""
    in_part = ~Q(meter__participation__iexact=Participation.IDLE) & ~Q(
        meter__participation__iexact=Participation.DISENROLL
    )
    is_there = Q(meter__archived_at__isnull=True) | Q(meter__archived_at__gt=present.now)
    return MeterDevice.objects.filter(~present.odd("device__"), in_part, is_there)


def dispatchable_kw(*, present: Present, **behind: Any) -> Decimal:
    """Sum the rated power of the devices that could move now, each once; `behind` narrows their meters."""
    able = able_links(present=present).filter(**behind).values("device")
    found = Device.objects.filter(pk__in=able).aggregate(kw=Sum("rated_power_kw"))
    return found["kw"] or Decimal(0)


def able_kw_by(column: str, *, present: Present) -> dict[str, Decimal]:
    """Sum the rated power that could move now for each value of a column of the meters; lists count for each.

    Each device once a value, through however many meters it can be moved. Two queries.
    """
    able = able_links(present=present)
    others = able.filter(device=OuterRef("device")).exclude(pk=OuterRef("pk"))
    way = f"meter__{column}"
    single = able.filter(~Exists(others)).order_by().values_list(way)
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for value, kw in single.annotate(kw=Sum("device__rated_power_kw")):
        for each in _values(value):
            found[each] += kw
    shared = able.filter(Exists(others)).values_list(way, "device_id", "device__rated_power_kw")
    pairs = {(each, device_id): kw for value, device_id, kw in shared for each in _values(value)}
    for (each, _), kw in pairs.items():
        found[each] += kw
    return dict(found)


def _values(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def count_causes(meters: QuerySet[Meter], *, present: Present) -> dict[str, int]:
    """Count meters by their gravest cause. One query."""
    rows = with_cause(meters, present=present).order_by().values_list("cause")
    return dict(rows.annotate(count=Count("pk")))
