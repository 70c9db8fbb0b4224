"""A person's word over the plan: hold, opt-out, force. Writes overrides and asks for their devices' plans."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction

from devices.models import Device
from devices.scheduling import withhold
from dispatch import queue
from dispatch.domain.sentences import short
from dispatch.lookups import links_of
from dispatch.models import (
    DispatchEvent,
    Override,
    OverrideAction,
    OverrideScope,
    RecipientSet,
    TestKind,
)
from dispatch.queries import known_programs
from dispatch.rulings import devices_reached
from meters.among import Ids
from meters.models import MarketGroup, Meter

MOST_KW: Final = Decimal(100_000)
WATT: Final = Decimal("0.001")
BREAKS: Final = {
    OverrideAction.HOLD: "hold breaks",
    OverrideAction.OPT_OUT: "opt-out breaks",
    OverrideAction.FORCE: "force may break",
}


class OverrideRefused(ValueError):
    """The override cannot be; the message is one plain sentence for whoever asked."""


def add_override(
    *,
    scope: str,
    target: str,
    action: str,
    starts_at: datetime,
    ends_at: datetime,
    target_kw: Decimal | None,
    reason: str,
    created_by: str,
    confirm_commitment: bool,
    now: datetime,
) -> Override:
    """Store an override and have the devices it reaches planned anew; until then nothing starts one it stops.

    `target` is a device's external id (or number), a meter's or market group's Leap id, a program's code,
    empty for the fleet. A program's override is about its events alone. `target_kw` goes with FORCE alone;
    without it the rated power is meant.

    Raises:
        OverrideRefused: nothing is called so, the window is empty or over, the power makes no sense, or a
            commitment would be broken without a reason, by an opt-out without `confirm_commitment`.
    """
    _check(scope=scope, action=action, starts_at=starts_at, ends_at=ends_at, target_kw=target_kw, now=now)
    override = Override(
        scope=scope,
        target=find_target(scope, target),
        action=action,
        starts_at=starts_at,
        ends_at=ends_at,
        target_kw=None if target_kw is None else target_kw.quantize(WATT),
        reason=reason.strip(),
        created_by=created_by,
        created_at=now,
        is_commitment_confirmed=confirm_commitment,
        plan_requested_at=now,
    )
    with transaction.atomic():
        _check_commitments([override], now=now)
        override.save(force_insert=True)
        if action != OverrideAction.FORCE:
            withhold(device_ids=devices_reached([override], now=now), now=now)
        queue.wake_planning()
    return override


def opt_out_meters(
    *,
    windows: Mapping[str, tuple[datetime, datetime]],
    reason: str,
    created_by: str,
    confirm_commitment: bool,
    now: datetime,
) -> dict[str, int]:
    """Opt meters out, by Leap's id, each in a window of UTC that is not over; return the overrides' numbers.

    A constant number of statements for any number of meters.

    Raises:
        OverrideRefused: a commitment would be broken without `confirm_commitment` and a reason.
    """
    overrides = [
        Override(
            scope=OverrideScope.METER,
            target=meter_id,
            action=OverrideAction.OPT_OUT,
            starts_at=max(starts_at, now),
            ends_at=ends_at,
            reason=reason.strip(),
            created_by=created_by,
            created_at=now,
            is_commitment_confirmed=confirm_commitment,
            plan_requested_at=now,
        )
        for meter_id, (starts_at, ends_at) in windows.items()
    ]
    if not overrides:
        return {}
    with transaction.atomic():
        _check_commitments(overrides, now=now)
        Override.objects.bulk_create(overrides, batch_size=1000)
        withhold(device_ids=devices_reached(overrides, now=now), now=now)
        queue.wake_planning()
    return {override.target: override.pk for override in overrides}


def end_overrides(*, until: Mapping[datetime, Collection[int]], now: datetime, by: str) -> int:
    """Let overrides end at a time, or now where that is past; return how many did.

    The devices are planned anew. One that is over stays as it is; one that would begin only after its new end
    ends now.
    """
    ended = 0
    with transaction.atomic():
        for end, numbers in until.items():
            standing = Override.objects.filter(
                pk__among=Ids(numbers), ended_at__isnull=True, ends_at__gt=max(end, now)
            )
            if end > now:
                ended += standing.filter(starts_at__lt=end).update(ends_at=end, plan_requested_at=now)
                standing = standing.filter(starts_at__gte=end)
            ended += standing.update(ended_at=now, ended_by=by, plan_requested_at=now)
        if ended:
            queue.wake_planning()
    return ended


def end_override(*, override_id: int, now: datetime, by: str) -> Override:
    """End an override now and have the devices it reached planned anew.

    Raises:
        OverrideRefused: it has ended already, or never was.
    """
    with transaction.atomic():
        standing = Override.objects.filter(pk=override_id, ended_at__isnull=True, ends_at__gt=now)
        if standing.update(ended_at=now, ended_by=by, plan_requested_at=now) != 1:
            raise OverrideRefused("This override has ended already.")
        queue.wake_planning()
    return Override.objects.get(pk=override_id)


def find_target(scope: str, target: str) -> str:
    """Return the target as overrides keep it.

    Raises:
        OverrideRefused: nothing is called so.
    """
    target = target.strip()
    if scope == OverrideScope.FLEET:
        return ""
    if scope == OverrideScope.DEVICE:
        found = Device.objects.filter(external_id=target).values_list("external_id", flat=True).first()
        if not found and target.isascii() and target.isdigit() and len(target) < 16:
            found = Device.objects.filter(pk=int(target)).values_list("external_id", flat=True).first()
    elif scope == OverrideScope.METER:
        found = Meter.objects.filter(meter_id=target.lower()).values_list("meter_id", flat=True).first()
    elif scope == OverrideScope.PROGRAM:
        found = _program_called(target)
    else:
        named = MarketGroup.objects.filter(market_group_id__in=[target, target.lower()])
        found = named.values_list("market_group_id", flat=True).first()
    if not found:
        raise OverrideRefused(f"No {OverrideScope(scope).label.lower()} is called “{target}”.")
    return found


def _program_called(target: str) -> str:
    """Return Leap's code of a program that events or market groups have, in whatever case it was typed."""
    return next((program for program in known_programs() if program.lower() == target.lower()), "")


def _check_commitments(overrides: Sequence[Override], *, now: datetime) -> None:
    """Refuse to break a commitment unless its maker says why, and of an opt-out that it may be broken.

    A force at the rated power breaks none; a lower one may. Several overrides differ in whom and when alone.
    """
    override = overrides[0]
    action = OverrideAction(override.action)
    is_confirmed = override.is_commitment_confirmed or action != OverrideAction.OPT_OUT
    if action == OverrideAction.FORCE and override.target_kw is None:
        return
    if override.reason and is_confirmed:
        return
    broken = _commitments(overrides, now=now)
    if not broken:
        return
    names = ", ".join(map(short, broken[:3])) + (" and others" if len(broken) > 3 else "")
    missing = "a reason" if is_confirmed else "a confirmation and a reason"
    raise OverrideRefused(f"This {BREAKS[action]} a commitment ({names}); it needs {missing}.")


def _commitments(overrides: Sequence[Override], *, now: datetime) -> list[str]:
    """Return Leap's ids of the commitments that the overrides' devices serve in their windows, as one."""
    programs = {each.target for each in overrides if each.scope == OverrideScope.PROGRAM}
    events = DispatchEvent.objects.filter(
        is_cancelled=False,
        is_voluntary=False,
        starts_at__lt=max(each.ends_at for each in overrides),
        ends_at__gt=max(min(each.starts_at for each in overrides), now),
    ).exclude(test=TestKind.INTEGRATION)
    columns = ("leap_event_id", "recipients_id", "programs")
    rows = [
        (leap_event_id, recipients)
        for leap_event_id, recipients, called in events.order_by("starts_at", "leap_event_id").values_list(
            *columns
        )
        if not programs or not programs.isdisjoint(called)
    ]
    if not rows or any(each.scope == OverrideScope.FLEET for each in overrides):
        return [leap_event_id for leap_event_id, _ in rows]
    meter_ids = _meters_behind(overrides, now=now)
    sets = RecipientSet.objects.filter(pk__in={recipients for _, recipients in rows})
    reached = {pk for pk, named in sets.values_list("pk", "meter_ids") if not meter_ids.isdisjoint(named)}
    return [leap_event_id for leap_event_id, recipients in rows if recipients in reached]


def _meters_behind(overrides: Sequence[Override], *, now: datetime) -> set[str]:
    """Return every meter through which the overrides' devices may be asked for something."""
    reached = devices_reached(overrides, now=now)
    return {meter_id for meter_id, _ in links_of(device_ids=reached)}


def _check(
    *,
    scope: str,
    action: str,
    starts_at: datetime,
    ends_at: datetime,
    target_kw: Decimal | None,
    now: datetime,
) -> None:
    """Refuse what makes no sense whoever is meant."""
    if scope not in OverrideScope or action not in OverrideAction:
        raise OverrideRefused(
            "An override holds, opts out or forces a fleet, program, market group, meter or device."
        )
    if ends_at <= starts_at:
        raise OverrideRefused("The override ends before it begins.")
    if ends_at <= now:
        raise OverrideRefused("The override would be over already.")
    if target_kw is None:
        return
    if action != OverrideAction.FORCE:
        raise OverrideRefused("Only a force takes a power.")
    if not target_kw.is_finite() or not 0 < target_kw <= MOST_KW:
        raise OverrideRefused("The power must be above 0 kW and at most 100,000 kW.")
