"""One more of everything that the pages of the portfolio show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from devices.alert_models import Alert
from devices.models import Command, CommandAttempt, DeviceSchedule, ScheduleSegment
from dispatch.domain.policies import NOTHING
from dispatch.models import (
    DeviceUnserved,
    DispatchNotification,
    NotificationItem,
    Overlap,
    Override,
    TestSend,
    Unserved,
    UnservedSet,
)
from dispatch.policy_models import PolicyAssignment, PolicyVersion, ResponsePolicy
from dispatch.replay_models import PolicyReplay
from dispatch.step_models import GroupDifference, OutOfStep
from meters.enrollment_models import Enrollment, RequiredAction
from meters.models import Meter
from meters.participation_models import IdlePeriod, ParticipationItem, ParticipationRequest
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.dispatch.onboarded import customers, job

MISSED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""One deadline for all, so that they are one group."""


def _result(*, event_id: int, device_id: int, starts_at: datetime, ends_at: datetime) -> dict[str, Any]:
    """What came of a replay in which one commitment would have been broken."""
    figures = {"delivered_kwh": 16_000.0, "device_hours": 2.0, "runs": 1, "commitments_kept": 1}
    figures |= {"commitments_broken": 0, "voluntary_served": 0, "voluntary_skipped": 0}
    after = figures | {"delivered_kwh": 4000.0, "commitments_kept": 0, "commitments_broken": 1}
    sides = {"before": figures, "after": after}
    because = {"reason": "Dropped: 1 h a day is used by CCA (rank 1).", "is_new_reason": True}
    event = {
        "id": event_id,
        "leap_event_id": "e",
        "program": "CCA",
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
        "is_voluntary": False,
    }
    return {
        "devices": 1,
        "events": 1,
        "cancelled_events": 1,
        "unnumbered_events": 1,
        "late_events": 1,
        "asked_kwh": 16_000.0,
        **sides,
        "others": sides,
        "programs": [{"program": "CCA", "events": 1, "unnumbered_events": 0, "asked_kwh": 8.0, **sides}],
        "days": [{"date": starts_at.date().isoformat(), "asked_kwh": 8.0, **sides, **because}],
        "changed_events": [{**event, **sides, **because}],
        "changed_devices": [{"id": device_id, "external_id": "d", "name": "Battery", **sides, **because}],
        "reasons": [
            {"reason": because["reason"], "before_device_hours": 0.0, "after_device_hours": 1.0},
        ],
    }


def participation(one: Meter) -> ParticipationRequest:
    """A request that a meter rest, not yet told to Leap, beside another period that Leap lists."""
    now = timezone.now()
    days = {"starts_on": now.date(), "ends_on": now.date() + timedelta(days=3)}
    asked = ParticipationRequest.objects.create(
        kind="IDLE", requested_by="otto", requested_at=now, next_attempt_at=now, **days
    )
    ParticipationItem.objects.create(
        request=asked, meter=one, timezone="UTC", starts_at=now, expires_at=now + timedelta(days=1)
    )
    IdlePeriod.objects.create(meter=one, **days)
    return asked


def grow(number: int) -> dict[str, object]:
    """A meter in a group, its battery that moves, an overlap, a gap, a hold, a notification; their ids."""
    now = timezone.now()
    later = now + timedelta(hours=1)
    one = meter(name=f"Meter {number}", programs=["CCA"])
    south = group(one, name=f"Group {number}", since=now - timedelta(days=1))
    battery = device(one, name=f"Battery {number}")
    asked = event(f"event-{number}", one, market_group_id=south.market_group_id, starts_at=now, ends_at=later)
    schedule = DeviceSchedule.objects.create(device=battery, version=1, created_at=now, digest="d")
    ScheduleSegment.objects.create(
        schedule=schedule,
        device=battery,
        starts_at=now,
        ends_at=later,
        mode="CURTAIL",
        is_commitment=True,
        leap_event_ids=[asked.leap_event_id],
    )
    command = Command.objects.create(
        device=battery, schedule=schedule, key=f"k{number}", created_at=now, due_at=now, expires_at=later
    )
    CommandAttempt.objects.create(command=command, started_at=now)
    Overlap.objects.create(device=battery, starts_at=now, ends_at=later, reason="Both.")
    undone = UnservedSet.objects.create(digest=f"{number:064d}")
    Unserved.objects.create(unserved_set=undone, event=asked, starts_at=now, ends_at=later, reason="Held.")
    DeviceUnserved.objects.create(device=battery, unserved_set=undone, since=now)
    differs = GroupDifference.objects.create(
        digest=f"{number:064d}", called=2, held=1, called_not_ours=["x", "y"], called_not_ours_count=2
    )
    OutOfStep.objects.create(event=asked, difference=differs, found_at=now)
    Override.objects.create(
        scope="METER",
        target=one.meter_id,
        action="HOLD",
        starts_at=now,
        ends_at=later,
        created_at=now,
        reason="Feeder fault",
        created_by="otto",
    )
    told = DispatchNotification.objects.create(received_at=now, body=b"{}", sha256=f"{number:064d}")
    NotificationItem.objects.create(
        notification=told, position=0, outcome="CREATED", leap_event_id=f"event-{number}", event=asked
    )
    TestSend.objects.create(
        kind="INTEGRATION",
        level="GROUP",
        market_group_id=south.market_group_id,
        meter_ids=[one.meter_id],
        leap_event_ids=[asked.leap_event_id],
        starts_at=asked.starts_at,
        ends_at=later,
        program="CCA",
        created_by="otto",
        created_at=now - timedelta(hours=1),
        state="ANSWERED",
        answered_at=now,
        detail="Our webhook answered 202.",
    )
    policy = ResponsePolicy.objects.create(name=f"Policy {number}", hours_a_day=4, blackouts="22:00-06:00")
    PolicyVersion.objects.create(
        policy=policy, number=1, content=NOTHING | {"hours_a_day": 4.0, "ignore_below_kw": 0}, changed_at=now
    )
    PolicyAssignment.objects.create(policy=policy, scope="METER", target=one.meter_id)
    replay = PolicyReplay.objects.create(
        policy=policy,
        label="Policy v1",
        content=policy.content() | {"hours_a_day": 4.0, "ignore_below_kw": 0},
        scope="FLEET",
        baseline="NONE",
        starts_at=now - timedelta(days=2),
        ends_at=now,
        requested_by="otto",
        requested_at=now,
        touched_at=now,
        state="DONE",
        result=_result(event_id=asked.pk, device_id=battery.pk, starts_at=now, ends_at=later),
    )
    period = {"meter": one, "program": "CCA", "delivery_period": "CCA_DEC"}
    RequiredAction.objects.create(
        party="PARTNER", action_type=f"K{number}", deadline_at=later, appeared_at=now, **period
    )
    RequiredAction.objects.create(
        party="PARTNER", action_type="ADDRESS", deadline_at=MISSED_AT, appeared_at=now, **period
    )
    Enrollment.objects.create(
        status="PENDING", starts_at=now, market_group_id=south.market_group_id, **period
    )
    asked_leap = participation(one)
    Alert.objects.create(device=battery, kind="FAILED", text="No answer.", raised_at=now)
    done, customer = job(number), customers(number)
    return {
        "job": done.pk,
        "connection": customer.pk,
        "meter": one.meter_id,
        "group": south.market_group_id,
        "device": battery.pk,
        "event": asked.pk,
        "notification": told.pk,
        "policy": policy.pk,
        "replay": replay.pk,
        "participation": asked_leap.pk,
    }
