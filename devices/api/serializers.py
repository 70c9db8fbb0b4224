"""How devices, schedules and commands look on the wire; one serializer for each direction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.models import (
    AttemptOutcome,
    CommandKind,
    CommandState,
    Device,
    DeviceKind,
    ScheduleState,
    SegmentMode,
)
from devices.proof_models import ProofHow, ProofKind, ProofState
from meters.api.fields import CodeField, JsonObjectField, KilowattField

CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""By how much a device's clock may be ahead."""


class DeviceOut(serializers.Serializer):
    """One thing that can be told what to do."""

    id = serializers.IntegerField(help_text="The portal's own number.")
    external_id = serializers.CharField(help_text="Yours; the name drivers call it by.")
    name = serializers.CharField()
    kind = CodeField(DeviceKind)
    driver = serializers.CharField(help_text="How it is reached: simulator, http, mqtt, modbus …")
    site = serializers.CharField(source="site.name", default=None, allow_null=True)
    meter_ids = serializers.SerializerMethodField(help_text="Leap's ids of the meters it sits behind.")
    rated_power_kw = serializers.FloatField(help_text="Power it can reduce or give, in kW.")
    energy_capacity_kwh = serializers.FloatField(allow_null=True, help_text="Of storage, in kWh.")
    may_export = serializers.BooleanField(help_text="Its site may send power to the grid.")
    policy = serializers.CharField(help_text="The response policy of this device alone, by name; or empty.")
    commitments_only = serializers.BooleanField(help_text="The customer's standing wish: nothing voluntary.")
    state_of_charge_percent = serializers.FloatField(
        allow_null=True, help_text="As it was last said; null where it never was."
    )
    state_of_charge_at = serializers.DateTimeField(allow_null=True, help_text="Of which time that is.")
    online = serializers.BooleanField(source="is_online")
    last_seen_at = serializers.DateTimeField(allow_null=True)

    def get_meter_ids(self, device: Device) -> list[str]:
        """List Leap's ids of the meters it sits behind."""
        return sorted(meter.meter_id for meter in device.meters.all())


class DeviceIn(serializers.Serializer):
    """A device to create, or the fields of one to change."""

    external_id = serializers.RegexField(
        r"^[^\s/#+]+$",
        max_length=128,
        help_text="Yours; no blanks and none of / # +, as it is part of topics and addresses.",
    )
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    kind = CodeField(DeviceKind, required=False)
    driver = serializers.CharField(max_length=64, required=False)
    settings = JsonObjectField(
        required=False,
        help_text="The driver's own, such as an address; the whole of them, and never shown. A secret that "
        "is left out or empty stays what it is; null takes it away.",
    )
    site = serializers.CharField(
        max_length=200, required=False, allow_null=True, help_text="The name of a known site."
    )
    meter_ids = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=1000,
        help_text="Leap's ids of known meters; the whole list, so what is left out is unmapped.",
    )
    rated_power_kw = KilowattField(help_text="In kW.")
    energy_capacity_kwh = KilowattField(required=False, allow_null=True, help_text="In kWh.")
    may_export = serializers.BooleanField(required=False)
    policy = serializers.CharField(
        max_length=64,
        required=False,
        allow_blank=True,
        help_text="A response policy for this device alone, by name; an unknown one counts for nothing.",
    )
    commitments_only = serializers.BooleanField(
        required=False, help_text="The customer's standing wish: nothing voluntary."
    )
    state_of_charge_percent = serializers.DecimalField(
        max_digits=5,
        decimal_places=2,
        min_value=0,
        max_value=100,
        required=False,
        allow_null=True,
        help_text="Of the energy capacity, 0 to 100. Planned anew only where it bears on the plan.",
    )
    state_of_charge_at = serializers.DateTimeField(
        required=False, help_text="Of which time the state of charge is; now when left out."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a time that no state of charge is of, or that has not come."""
        at = attrs.get("state_of_charge_at")
        if at and attrs.get("state_of_charge_percent") is None:
            raise serializers.ValidationError({"state_of_charge_at": ["Give the state of charge, too."]})
        if at and at > timezone.now() + CLOCKS_DIFFER:
            raise serializers.ValidationError({"state_of_charge_at": ["That time has not come yet."]})
        return attrs

    def validate_driver(self, value: str) -> str:
        """Accept the drivers that are set up."""
        if value not in settings.DEVICE_DRIVERS:
            raise serializers.ValidationError(f"Give one of: {', '.join(settings.DEVICE_DRIVERS)}.")
        return value

    def validate_meter_ids(self, value: list[str]) -> list[str]:
        """Lower the ids, as they are stored."""
        return [meter_id.lower() for meter_id in value]


class SegmentOut(serializers.Serializer):
    """What a device does during `[start, end)`."""

    start = serializers.DateTimeField(source="starts_at")
    end = serializers.DateTimeField(source="ends_at")
    target_kw = serializers.FloatField(
        allow_null=True,
        help_text="Power at the meter in kW, positive reduces load or exports; null is the maximum.",
    )
    cap = serializers.CharField(help_text="How far beyond the target is paid for, as Leap writes it.")
    commitment = serializers.BooleanField(source="is_commitment")
    mode = CodeField(SegmentMode)
    leap_event_ids = serializers.ListField(child=serializers.CharField(), help_text="The events it serves.")
    reason = serializers.CharField(help_text="Why it is so, in words.")
    precondition_from = serializers.DateTimeField(
        allow_null=True, help_text="Prepares from then until the start, as by pre-cooling; null does not."
    )
    ramp_seconds = serializers.IntegerField(
        allow_null=True, help_text="From the start to its power; null is at once."
    )
    recover_until = serializers.DateTimeField(
        allow_null=True, help_text="Goes back to normal step by step until then; null is at the end."
    )


class ProofOut(serializers.Serializer):
    """Whether a device does what it was told, by what it holds, takes and gives."""

    state = CodeField(ProofState, help_text="Unknown: it says nothing, or what it took before is not known.")
    how = CodeField(ProofHow, allow_null=True, help_text="What that rests on; null where nothing is known.")
    detail = serializers.CharField(help_text="The same in words, with numbers.")


class LatestProofOut(ProofOut):
    """The newest proof of a device."""

    kind = CodeField(ProofKind, help_text="Of a run, or of the return to normal after one.")
    since = serializers.DateTimeField(help_text="From when on the device was to do so.")
    target_kw = serializers.FloatField(allow_null=True, help_text="As in the segment; null is the maximum.")
    measured_kw = serializers.FloatField(
        allow_null=True, help_text="What it took (positive) or gave (negative), in kW."
    )
    baseline_kw = serializers.FloatField(
        allow_null=True, help_text="Its mean power in the quarter of an hour before the run, in kW."
    )
    proven_at = serializers.DateTimeField(allow_null=True, help_text="When it was first proven.")


class ScheduleOut(serializers.Serializer):
    """A device's whole desired schedule under one version, and how far it got."""

    device_id = serializers.IntegerField(source="device.pk")
    external_id = serializers.CharField(source="device.external_id")
    meter_ids = serializers.ListField(child=serializers.CharField(), help_text="Leap's ids of its meters.")
    version = serializers.IntegerField(
        source="schedule.version", default=0, help_text="Only grows; 0 before the first."
    )
    segments = SegmentOut(
        source="schedule.segments", many=True, default=list, help_text="In order, never overlapping."
    )
    state = CodeField(
        ScheduleState,
        source="schedule.state",
        default=None,
        allow_null=True,
        help_text="Null before the first.",
    )
    proof = LatestProofOut(
        default=None, allow_null=True, help_text="Whether the device does so; null where it cannot be told."
    )
    created_at = serializers.DateTimeField(source="schedule.created_at", default=None, allow_null=True)
    acknowledged_at = serializers.DateTimeField(
        source="schedule.acknowledged_at", default=None, allow_null=True
    )
    policy = serializers.CharField(
        source="schedule.policy", default="", help_text="Response policy and version it was made under."
    )


class AttemptOut(serializers.Serializer):
    """One try to deliver a command."""

    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    outcome = CodeField(AttemptOutcome)
    detail = serializers.CharField()


class CommandOut(serializers.Serializer):
    """One instruction to one device, due at a time and void after another."""

    id = serializers.IntegerField()
    device_id = serializers.IntegerField()
    external_id = serializers.CharField(source="device.external_id")
    kind = CodeField(CommandKind)
    schedule_version = serializers.IntegerField(source="schedule.version")
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="Never null: no command is without an end.")
    state = CodeField(CommandState)
    proof = serializers.SerializerMethodField(
        help_text="Whether the device does what it was told; null where it cannot be told."
    )
    detail = serializers.CharField()
    attempts = AttemptOut(many=True)

    @extend_schema_field(ProofOut(allow_null=True))
    def get_proof(self, command: Any) -> Any:
        """Show the proof of `proof_queries.with_proofs`, or what the command itself read back."""
        if command.proven is None and command.proven_at:
            held = {"state": ProofState.PROVEN, "how": ProofHow.READ_BACK, "detail": command.proof}
            return ProofOut(held).data
        return ProofOut(command.proven).data if command.proven else None
