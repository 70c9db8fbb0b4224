"""How meters and market groups look on the wire; one serializer for output, one for input."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from rest_framework import serializers

from meters.models import EnrollmentStatus, MarketGroup, Meter, Participation
from meters.readiness import reason_not_dispatchable

NO_DEVICE = "No device is mapped to this meter."


class MeterOut(serializers.Serializer):
    """One of Leap's meters, its devices, and whether a dispatch of it would move anything."""

    meter_id = serializers.CharField(help_text="Leap's id, a UUID in lower case.")
    partner_reference = serializers.CharField(help_text="Yours; may change, never a key.")
    name = serializers.CharField()
    site = serializers.CharField(source="site.name", default=None, allow_null=True)
    transmission_region = serializers.CharField(
        help_text="CAISO, NYISO, ERCOT, ISONE, PJM …, as Leap writes it."
    )
    meter_type = serializers.CharField(help_text="UTILITY_METER, SUBMETER or DEVICE, as Leap writes it.")
    enrollment_status = serializers.CharField(help_text="As Leap writes it: ACTIVE, ELIGIBLE, PENDING …")
    participation = serializers.CharField(help_text="As Leap writes it: PARTICIPATE, IDLE or DISENROLL.")
    programs = serializers.ListField(
        child=serializers.CharField(), help_text="Program codes, as Leap writes them."
    )
    market_groups = serializers.SerializerMethodField(help_text="Leap's ids of the groups it is in now.")
    timezone = serializers.CharField(help_text="IANA name of the meter's local clock.")
    nomination_kw = serializers.FloatField(allow_null=True, help_text="Power in kW.")
    devices = serializers.SerializerMethodField(help_text="External ids of the devices behind it.")
    dispatchable = serializers.SerializerMethodField(help_text="Would a dispatch of it move a device now?")
    not_dispatchable_because = serializers.SerializerMethodField(
        help_text="One sentence; empty when dispatchable."
    )
    archived_at = serializers.DateTimeField(allow_null=True)

    def get_market_groups(self, meter: Meter) -> list[str]:
        """List Leap's ids of the groups whose membership holds now."""
        now = self.context["now"]
        held = (row.group.market_group_id for row in meter.memberships.all() if row.holds_at(now))
        return list(dict.fromkeys(held))

    def get_devices(self, meter: Meter) -> list[str]:
        """List the external ids of the devices behind the meter."""
        devices: Any = meter.devices
        return sorted(device.external_id for device in devices.all())

    def get_not_dispatchable_because(self, meter: Meter) -> str:
        """Say in one sentence why a dispatch would move nothing; empty when it would."""
        reason = reason_not_dispatchable(meter=meter, now=self.context["now"])
        return reason or ("" if self.get_devices(meter) else NO_DEVICE)

    def get_dispatchable(self, meter: Meter) -> bool:
        """Tell whether a dispatch of the meter would move a device."""
        return not self.get_not_dispatchable_because(meter)


class MeterIn(serializers.Serializer):
    """A meter to create, or the fields of one to change."""

    meter_id = serializers.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$",
        max_length=64,
        help_text="Leap's id; stored in lower case, never changed.",
    )
    partner_reference = serializers.CharField(max_length=256, required=False, allow_blank=True)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    transmission_region = serializers.CharField(max_length=32, required=False, allow_blank=True)
    meter_type = serializers.CharField(max_length=32, required=False, allow_blank=True)
    enrollment_status = serializers.CharField(max_length=32, required=False)
    participation = serializers.CharField(max_length=32, required=False)
    programs = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=100
    )
    timezone = serializers.CharField(max_length=64, required=False)
    nomination_kw = serializers.DecimalField(
        max_digits=12,
        decimal_places=3,
        min_value=0,
        required=False,
        allow_null=True,
        help_text="Power in kW.",
    )

    def validate_meter_id(self, value: str) -> str:
        """Lower the id, as it is stored."""
        return value.lower()

    def validate_enrollment_status(self, value: str) -> str:
        """Write a word known to us the way Leap does; keep any other."""
        return value.upper() if value.upper() in EnrollmentStatus.values else value

    def validate_participation(self, value: str) -> str:
        """Write a word known to us the way Leap does; keep any other."""
        return value.upper() if value.upper() in Participation.values else value

    def validate_timezone(self, value: str) -> str:
        """Accept the zones this machine knows."""
        if value not in available_timezones():
            raise serializers.ValidationError("Give an IANA name, such as America/New_York.")
        return value


class MembershipOut(serializers.Serializer):
    """A meter in a group during `[starts_at, ends_at)`, for one program's delivery period."""

    meter_id = serializers.CharField(source="meter.meter_id")
    program = serializers.CharField(help_text="As Leap writes it; empty where a person put the meter there.")
    delivery_period = serializers.CharField(help_text="As Leap writes it.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Null is open.")


class MarketGroupOut(serializers.Serializer):
    """One of Leap's sets of meters dispatched together, in effect during `[starts_at, ends_at)`."""

    market_group_id = serializers.CharField(help_text="Leap's id.")
    name = serializers.CharField()
    program = serializers.CharField(help_text="As Leap writes it; empty when unknown.")
    zone = serializers.CharField()
    timezone = serializers.CharField()
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    meter_ids = serializers.SerializerMethodField(
        help_text="Leap's ids of the meters in it, each once: now, or at the time asked for by `at`."
    )
    memberships = MembershipOut(
        many=True, help_text="The same by program and delivery period: a meter may stand here several times."
    )

    def get_meter_ids(self, group: MarketGroup) -> list[str]:
        """List Leap's ids of the meters whose membership holds at the time asked for."""
        return sorted({row.meter.meter_id for row in group.memberships.all()})
