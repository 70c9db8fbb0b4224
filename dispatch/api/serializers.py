"""How what Leap asked, and what became of it, looks on the wire; one serializer for each direction."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.api.serializers import SegmentOut
from dispatch.domain.comparing import EventChange, Fate
from dispatch.domain.events import to_kw
from dispatch.domain.readiness import Readiness
from dispatch.levels import load_policy
from dispatch.models import (
    DispatchEvent,
    Doubt,
    ItemOutcome,
    Level,
    NotificationStatus,
    OverrideAction,
    OverrideScope,
    RevisionKind,
    Source,
    TestKind,
)
from dispatch.policy_models import (
    BeyondChoice,
    DischargeChoice,
    PolicyScope,
    ResponsePolicy,
    VoluntaryChoice,
    WhenShortChoice,
)
from dispatch.preview import PlanPreview
from dispatch.queries import EventStatus, status_of
from dispatch.reading.levels import read_twins
from dispatch.reading.out_of_step import standing_of
from dispatch.reading.readiness import causes_of
from meters.api.fields import CodeField, KilowattField

CAP_HELP = "How far beyond the request is paid for: up-to-nomination, up-to-site-load, grid-exports-allowed …"


class EventStatusField(CodeField):
    """Where an event stands at the time of the answer."""

    def __init__(self) -> None:
        super().__init__(EventStatus, source="*", read_only=True, help_text="At the time of the answer.")

    def to_representation(self, value: Any) -> Any:
        """Say where the event stands."""
        return super().to_representation(status_of(value, now=self.context["now"]))


class EventOut(serializers.Serializer):
    """What Leap asks for during `[start_time, end_time)`: the fields of its current revision."""

    id = serializers.IntegerField(help_text="The portal's own number.")
    level = CodeField(Level)
    leap_event_id = serializers.CharField(help_text="Leap's meter_event_id or market_group_event_id.")
    market_group_id = serializers.CharField(allow_null=True, help_text="Null at meter level.")
    meter_ids = serializers.ListField(
        source="recipients.meter_ids",
        child=serializers.CharField(),
        help_text="Whom it names, known to the portal or not.",
    )
    start_time = serializers.DateTimeField(source="starts_at")
    end_time = serializers.DateTimeField(source="ends_at")
    status = EventStatusField()
    cancelled = serializers.BooleanField(source="is_cancelled")
    energy_kw = serializers.FloatField(
        allow_null=True, help_text="Power asked for, in kW (the name is Leap's); null is the maximum."
    )
    nomination_kw = serializers.FloatField(allow_null=True, help_text="Power committed to, in kW.")
    priority = serializers.IntegerField(source="priority_rank", help_text="1 is the highest.")
    is_voluntary = serializers.BooleanField(help_text="False is a commitment.")
    performance_compensation_cap = serializers.CharField(source="cap", help_text=CAP_HELP)
    dispatch_event_types = serializers.ListField(child=serializers.CharField())
    programs = serializers.ListField(child=serializers.CharField())
    test = CodeField(
        TestKind, allow_null=True, help_text="Null is no test. Integration moves armed meters only."
    )
    confirmed = serializers.BooleanField(
        source="is_confirmed", help_text="False while a suspect body awaits Leap's answer."
    )
    revision = serializers.IntegerField(help_text="Numbered from 1, in order of receipt.")
    extra = serializers.DictField(help_text="Fields of Leap's that the portal does not know.")
    flags = serializers.ListField(child=serializers.CharField(), help_text="What was odd about the body.")
    overlapping = serializers.BooleanField(
        source="is_overlapping", help_text="Another live event asks the same devices at the same time."
    )
    unserved = serializers.BooleanField(source="is_unserved", help_text="Somewhere it is not served.")
    shortfall_kw = serializers.FloatField(
        allow_null=True, help_text="Power asked for beyond what its devices can give, in kW."
    )
    unmapped_meters = serializers.IntegerField(help_text="How many of its meters have no device.")
    first_received_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    planned_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: DispatchEvent) -> dict[str, object]:
        """Write the event; no group is null."""
        shown = super().to_representation(instance)
        return shown | {"market_group_id": shown["market_group_id"] or None}


class OutOfStepOut(serializers.Serializer):
    """How those called for a group's event differ from who is in the group here as it begins."""

    found_at = serializers.DateTimeField()
    called = serializers.IntegerField(source="difference.called", help_text="How many meters Leap calls.")
    held = serializers.IntegerField(
        source="difference.held", help_text="How many members the portal holds for that time."
    )
    group_unknown = serializers.BooleanField(
        source="difference.is_group_unknown",
        help_text="No member of the group was ever held; both lists are empty then.",
    )
    called_not_ours = serializers.ListField(
        source="difference.called_not_ours",
        child=serializers.CharField(),
        help_text="Leap's ids of those called that are no members here.",
    )
    ours_not_called = serializers.ListField(
        source="difference.ours_not_called",
        child=serializers.CharField(),
        help_text="Leap's ids of the members here that are not called.",
    )
    unknown = serializers.ListField(
        child=serializers.CharField(),
        help_text="Those of `called_not_ours` that the portal does not know at all.",
    )


class EventDetailOut(EventOut):
    """An event by itself: also where Leap asks the same at the other level, and if its group is in step."""

    shadowed_by = serializers.SerializerMethodField(
        help_text="Leap's ids of the events at the other level that are acted upon in its stead, where they "
        "cover it."
    )

    out_of_step = serializers.SerializerMethodField(
        help_text="Null while its group is in step with Leap, or it has none."
    )

    @extend_schema_field(OutOfStepOut(allow_null=True))
    def get_out_of_step(self, event: DispatchEvent) -> dict[str, Any] | None:
        """Show the difference that stands."""
        row = standing_of(event.pk)
        return OutOfStepOut(row).data if row else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_shadowed_by(self, event: DispatchEvent) -> list[str]:
        """Name the twins it yields to."""
        twins = read_twins(event, policy=load_policy())
        return [twin.leap_event_id for twin in twins if twin.covers_for]


class RevisionOut(serializers.Serializer):
    """One accepted version of an event's fields."""

    revision = serializers.IntegerField(source="number", help_text="Numbered from 1, in order of receipt.")
    received_at = serializers.DateTimeField()
    source = CodeField(Source)  # type: ignore[assignment]  # a field that is called so
    kind = CodeField(RevisionKind)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="`{field: [old, new]}`"
    )
    notification_id = serializers.IntegerField(allow_null=True)


class DoubtOut(serializers.Serializer):
    """A suspect body about an event: what it says, and how it was settled."""

    id = serializers.IntegerField()
    event_id = serializers.IntegerField()
    leap_event_id = serializers.CharField(source="event.leap_event_id")
    notification_id = serializers.IntegerField(allow_null=True)
    raised_at = serializers.DateTimeField()
    why = serializers.CharField()
    says = serializers.SerializerMethodField(help_text="The event's fields as the suspect body has them.")
    settled_at = serializers.DateTimeField(allow_null=True, help_text="Null while the event is unconfirmed.")
    settled_by = serializers.CharField(help_text="Who; empty for Leap's search.")
    verdict = serializers.CharField(help_text="kept, taken or overtaken; empty while open.")

    def get_says(self, doubt: Doubt) -> dict[str, Any]:
        """Show the fields under the names of an event, but for the set of meters."""
        return {name: value for name, value in doubt.fields.items() if name != "meter_ids"}

    def to_representation(self, instance: Doubt) -> dict[str, object]:
        """Write the doubt; the verdict in lower case."""
        shown = super().to_representation(instance)
        return shown | {"verdict": shown["verdict"].lower()}


class SettleIn(serializers.Serializer):
    """An operator's answer to a doubt."""

    verdict = serializers.ChoiceField(
        ["keep", "take"],
        error_messages={"invalid_choice": "Give one of: keep, take."},
        help_text="Keep what is held, or take what is doubted.",
    )


class ItemOut(serializers.Serializer):
    """What one timeslot of a body led to."""

    leap_event_id = serializers.CharField(help_text="Empty when the timeslot had none.")
    event_id = serializers.IntegerField(allow_null=True)
    outcome = CodeField(ItemOutcome)
    reason = serializers.CharField()


class NotificationOut(serializers.Serializer):
    """One body as received, and what became of it."""

    id = serializers.IntegerField()
    received_at = serializers.DateTimeField()
    source = CodeField(Source)  # type: ignore[assignment]  # a field that is called so
    level = CodeField(Level, allow_null=True)
    sha256 = serializers.CharField(help_text="Of the body's bytes, in hexadecimal.")
    status = CodeField(NotificationStatus)
    reason = serializers.CharField(help_text="Why nothing in it could be used; empty otherwise.")
    repeat_count = serializers.IntegerField(help_text="How often the same bytes came again.")
    recorded_at = serializers.DateTimeField(allow_null=True)
    items = ItemOut(many=True)


class NotServedOut(serializers.Serializer):
    """An event that a device does not serve, and why."""

    leap_event_id = serializers.CharField()
    reason = serializers.CharField()


class OverlapOut(serializers.Serializer):
    """Live events that meet on one device during `[start, end)`: what was chosen, and why."""

    device_id = serializers.IntegerField()
    start = serializers.DateTimeField(source="starts_at")
    end = serializers.DateTimeField(source="ends_at")
    event_ids = serializers.ListField(child=serializers.IntegerField(), help_text="Best first.")
    leap_event_ids = serializers.ListField(child=serializers.CharField(), help_text="Best first.")
    served = serializers.ListField(
        child=serializers.CharField(), help_text="Leap's ids of the events served."
    )
    not_served = NotServedOut(many=True)
    reason = serializers.CharField()


class OverrideOut(serializers.Serializer):
    """A person's word over the plan during `[starts_at, ends_at)`. Ends by itself."""

    id = serializers.IntegerField()
    scope = CodeField(OverrideScope)
    target = serializers.CharField(
        help_text="The device's external_id, the meter's or group's Leap id, the program's code; "
        "empty for the fleet."
    )
    action = CodeField(OverrideAction)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    target_kw = serializers.FloatField(allow_null=True, help_text="Of force, in kW; null is rated power.")
    reason = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="When someone ended it before its time.")
    ended_by = serializers.CharField()


class AssignmentOut(serializers.Serializer):
    """Whom a policy is for."""

    scope = CodeField(PolicyScope)
    target = serializers.CharField(help_text="Leap's id of the meter or group; empty for the fleet.")


class PolicyOut(serializers.Serializer):
    """What devices may be asked. The nearest counts: device, meter, market group, fleet."""

    id = serializers.IntegerField()
    name = serializers.CharField(help_text="What a device's own `policy` names.")
    version = serializers.IntegerField(help_text="Numbered from 1; each change is one.")
    strategies = serializers.SerializerMethodField(
        help_text="Leap's letters: A answers everything, B limits, C storage, D flexibility."
    )
    longest_run_minutes = serializers.IntegerField(allow_null=True, help_text="Null is no limit.")
    rest_minutes = serializers.IntegerField(help_text="Between two runs.")
    hours_a_day = serializers.FloatField(
        allow_null=True, help_text="In the site's local day; null is no limit."
    )
    events_a_day = serializers.IntegerField(
        allow_null=True, help_text="Runs that begin in the site's local day; null is no limit."
    )
    blackouts = serializers.SerializerMethodField(help_text="As 22:00-06:00 or 07:00-09:00 Mon Tue.")
    notice_minutes = serializers.IntegerField(help_text="From hearing of an event to serving it.")
    ignore_below_kw = serializers.FloatField(help_text="Less is not moved for, in kW.")
    plans_energy = serializers.BooleanField(help_text="Whether the fields up to `when_short` count.")
    reserve_percent = serializers.IntegerField(help_text="Kept for the site, of the energy capacity.")
    lowest_percent = serializers.IntegerField()
    highest_percent = serializers.IntegerField()
    expected_percent = serializers.IntegerField(
        allow_null=True, help_text="Taken where the device does not say; null is the highest."
    )
    recharge_minutes = serializers.IntegerField(allow_null=True, help_text="From lowest to highest.")
    may_export = serializers.BooleanField()
    discharge = CodeField(DischargeChoice)
    expected_load_kw = serializers.FloatField(allow_null=True)
    beyond_award = CodeField(BeyondChoice)
    when_short = CodeField(WhenShortChoice)
    voluntary = CodeField(VoluntaryChoice, help_text="While one of the next conditions holds.")
    keep_percent = serializers.IntegerField(allow_null=True, help_text="Of the power, where it is reduced.")
    below_charge_percent = serializers.IntegerField(allow_null=True)
    voluntary_hours = serializers.SerializerMethodField(help_text="As 17:00-21:00 or 07:00-09:00 Sat Sun.")
    comfort_price = serializers.FloatField(allow_null=True, help_text="In dollars per kWh.")
    ramp_minutes = serializers.IntegerField()
    precondition_minutes = serializers.IntegerField(help_text="Before a run.")
    recovery_minutes = serializers.IntegerField(help_text="After a run.")
    assigned_to = AssignmentOut(
        source="assignments", many=True, help_text="Devices of their own name it in `policy` instead."
    )

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_blackouts(self, policy: ResponsePolicy) -> list[str]:
        """List them."""
        return policy.blackouts.splitlines()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_voluntary_hours(self, policy: ResponsePolicy) -> list[str]:
        """List them."""
        return policy.voluntary_hours.splitlines()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_strategies(self, policy: ResponsePolicy) -> list[str]:
        """List them."""
        return list(policy.to_value().strategies)


class ProgramPriceOut(serializers.Serializer):
    """What a program pays, as an admin knows it."""

    program = serializers.CharField(help_text="Leap's code.")
    usd_per_kwh = serializers.FloatField(help_text="In dollars per kWh.")


class OverrideIn(serializers.Serializer):
    """An override to make. Hold and opt-out stop devices; force runs them."""

    scope = CodeField(OverrideScope)
    target = serializers.CharField(
        max_length=128,
        allow_blank=True,
        default="",
        help_text="The device's external_id or id, the meter's or group's Leap id, the program's code "
        "(its events alone are meant); empty for the fleet.",
    )
    action = CodeField(OverrideAction)
    starts_at = serializers.DateTimeField(required=False, help_text="Now when left out.")
    ends_at = serializers.DateTimeField()
    target_kw = KilowattField(required=False, allow_null=True, default=None, help_text="Of force, in kW.")
    reason = serializers.CharField(
        max_length=2000, allow_blank=True, default="", help_text="Breaking a commitment needs one."
    )
    confirm_commitment = serializers.BooleanField(
        default=False, help_text="Opting out of a commitment needs this said."
    )


class PlannedSegmentOut(SegmentOut):
    """What a device would do during `[start, end)`."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class UndoneOut(NotServedOut):
    """A window of an event that a device would not serve, and why."""

    start = serializers.DateTimeField(source="window.start")
    end = serializers.DateTimeField(source="window.end")


class PlannedDeviceOut(serializers.Serializer):
    """What one device would do."""

    device_id = serializers.IntegerField()
    external_id = serializers.CharField()
    segments = PlannedSegmentOut(many=True)
    not_served = UndoneOut(many=True)
    before = PlannedSegmentOut(many=True, help_text="What it is to do now, without what is tried.")
    changed = serializers.BooleanField(source="is_changed", help_text="It would do something else than now.")


class RefusalOut(serializers.Serializer):
    """Why devices do not serve an event somewhere, and how many."""

    reason = serializers.CharField()
    devices = serializers.IntegerField()


class FateOut(serializers.Serializer):
    """What an event gets; a maximum counts as rated power."""

    devices = serializers.IntegerField(help_text="How many serve it somewhere.")
    planned_kw = serializers.SerializerMethodField(help_text="What they do at the fullest, in kW.")
    planned_kwh = serializers.SerializerMethodField(help_text="And their energy, in kWh.")
    shortfall_kw = serializers.SerializerMethodField(
        help_text="Power asked for beyond what its devices can give, in kW; null for a maximum."
    )
    not_served = RefusalOut(source="refusals", many=True)

    def get_planned_kw(self, fate: Fate) -> float:
        """Write the power in kW."""
        return float(to_kw(fate.watts))

    def get_planned_kwh(self, fate: Fate) -> float:
        """Write the energy in kWh."""
        return fate.watt_seconds / 3_600_000

    def get_shortfall_kw(self, fate: Fate) -> float | None:
        """Write the shortfall in kW."""
        return None if fate.shortfall_watts is None else float(to_kw(fate.shortfall_watts))


class EventChangeOut(serializers.Serializer):
    """An event on these devices, and what it gets before and after; null where it asks for nothing."""

    id = serializers.SerializerMethodField(help_text="The portal's own number; null for what is tried alone.")
    leap_event_id = serializers.CharField(source="event.leap_event_id")
    level = CodeField(Level, source="event.level")
    start_time = serializers.DateTimeField(source="event.window.start")
    end_time = serializers.DateTimeField(source="event.window.end")
    changed = serializers.BooleanField(source="is_changed")
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()

    def get_id(self, change: EventChange) -> int | None:
        """Leave out the number of what is not stored."""
        return change.event.event_id if change.event.event_id > 0 else None

    @extend_schema_field(FateOut(allow_null=True))
    def get_before(self, change: EventChange) -> object:
        """Write what it gets now."""
        return FateOut(change.before).data if change.was else None

    @extend_schema_field(FateOut(allow_null=True))
    def get_after(self, change: EventChange) -> object:
        """Write what it would get."""
        return FateOut(change.after).data if change.becomes else None


class PreviewOut(serializers.Serializer):
    """What a dispatch would lead to."""

    devices = PlannedDeviceOut(many=True)
    events = EventChangeOut(many=True, help_text="Live events on these devices, those that change first.")
    problems = serializers.SerializerMethodField(help_text="Timeslots that cannot be used, and why.")
    unmapped_meters = serializers.IntegerField(help_text="How many of the meters named have no device.")
    as_if_armed = serializers.BooleanField(
        source="is_as_if_armed", help_text="Shown as if its meters were armed for the integration test it is."
    )

    @extend_schema_field(NotServedOut(many=True))
    def get_problems(self, plan: PlanPreview) -> list[dict[str, str]]:
        """Name the timeslots that cannot be used."""
        return [{"leap_event_id": leap_event_id, "reason": reason} for leap_event_id, reason in plan.problems]


class ReadinessOut(serializers.Serializer):
    """How ready an event is, by the schedules in effect."""

    devices = serializers.IntegerField(help_text="That are to run.")
    ready = serializers.IntegerField(help_text="Confirmed or reachable.")
    is_ready = serializers.BooleanField(help_text="All of them, and no meter is without a device.")
    confirmed = serializers.IntegerField(
        source="counts.CONFIRMED", help_text="Acknowledged the schedule, or hold the set-point."
    )
    reachable = serializers.IntegerField(
        source="counts.REACHABLE",
        help_text="Take set-points, which go out when the event begins, and are online.",
    )
    unacknowledged = serializers.IntegerField(source="counts.UNACKNOWLEDGED")
    failing = serializers.IntegerField(source="counts.FAILING", help_text="Refuse, or do not answer.")
    offline = serializers.IntegerField(source="counts.OFFLINE", help_text="Offline and took nothing.")
    unheard = serializers.IntegerField(help_text="Of the confirmed: offline now, they hold the schedule.")
    meters_without_device = serializers.IntegerField()
    asked_kw = serializers.FloatField(allow_null=True, help_text="Null is the maximum.")
    planned_kw = serializers.FloatField(help_text="Of all devices; a maximum counts as rated power.")
    ready_kw = serializers.FloatField(help_text="Of those ready, up to what is asked.")
    causes = serializers.SerializerMethodField(help_text="What stands in the way, in words.")

    def get_causes(self, found: Readiness) -> list[str]:
        """List what stands in the way."""
        return [cause.text for cause in causes_of(found)]
