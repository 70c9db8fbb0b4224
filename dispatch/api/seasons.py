"""How programs and their delivery periods look on the wire."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from dispatch.reading import programs as reading
from dispatch.reading.seasons import Season, read_seasons
from meters.enrollment_models import Enrollment, Program


class LackOut(serializers.Serializer):
    """What meters of a period lack; a meter may lack several things."""

    code = serializers.CharField(help_text="NO_DEVICE, SILENT, PENDING …")
    text = serializers.CharField()
    meters = serializers.IntegerField()
    kw = serializers.FloatField(help_text="Nominated, else rated.")
    holds_back = serializers.BooleanField(source="is_grave", help_text="Such meters do not count as ready.")


class SeasonDeadlineOut(serializers.Serializer):
    """A deadline of enrollment that is still to come."""

    deadline_at = serializers.DateTimeField(source="at", help_text="When all must be done.")
    activation_at = serializers.DateTimeField(
        allow_null=True, help_text="When meters eligible then become active."
    )
    meters_not_active = serializers.IntegerField(source="meters")


class SeasonOut(serializers.Serializer):
    """A delivery period `[starts_at, ends_at)` of a program, and how ready its meters are."""

    program = serializers.CharField(source="period.program", help_text="As Leap writes it.")
    delivery_period = serializers.CharField(source="period.delivery_period", help_text="As Leap writes it.")
    starts_at = serializers.DateTimeField(source="period.starts_at")
    ends_at = serializers.DateTimeField(allow_null=True)
    is_running = serializers.BooleanField()
    is_ready = serializers.SerializerMethodField(help_text="All of its meters are.")
    meters = serializers.IntegerField(source="verdict.meters", help_text="Archived ones left out.")
    ready_meters = serializers.IntegerField(source="verdict.ready")
    kw = serializers.FloatField(source="verdict.kw", help_text="Nominated, else rated, of all its meters.")
    ready_kw = serializers.FloatField(source="verdict.ready_kw", help_text="Of the ready ones.")
    statuses = serializers.SerializerMethodField(help_text="Meters by Leap's word for the period.")
    market_groups = serializers.IntegerField(source="groups")
    lacks = LackOut(source="items", many=True)
    deadlines = SeasonDeadlineOut(many=True)

    def get_is_ready(self, season: Season) -> bool:
        """Say whether nothing holds any of its meters back."""
        return season.verdict.ready == season.verdict.meters

    def get_statuses(self, season: Season) -> dict[str, int]:
        """Count meters by status."""
        return dict(season.verdict.statuses)


class LeapProgramOut(serializers.Serializer):
    """One of Leap's programs: what Leap's pages say of it, and how we stand in it. Empty is not known."""

    code = serializers.CharField(source="program.code", help_text="As Leap writes it.")
    name = serializers.CharField(source="program.name")
    region = serializers.CharField(source="program.region", help_text="As Leap's overview says it.")
    transmission_region = serializers.CharField(source="program.transmission_region")
    meter_kind = serializers.CharField(source="program.meter_kind", help_text="UTILITY_METER or DEVICE.")
    interval_source = serializers.CharField(
        source="program.interval_source", help_text="UTILITY, ISO or PARTNER."
    )
    onboard_method = serializers.CharField(
        source="program.onboard_method", help_text="CUSTOMER, PARTNER or EITHER."
    )
    note = serializers.CharField(source="program.note")
    first_heard_at = serializers.DateTimeField(
        source="program.first_heard_at", allow_null=True, help_text="When something of Leap's first named it."
    )
    is_ours = serializers.BooleanField(help_text="Meters, market groups or dispatches name it.")
    meters = serializers.IntegerField(source="standing.meters")
    nominated_kw = serializers.FloatField(source="standing.kw")
    dispatchable_kw = serializers.FloatField(
        source="able_kw", help_text="Rated power that could move now, each device once."
    )
    market_groups = serializers.IntegerField(source="groups")
    current_period = serializers.SerializerMethodField(help_text="Null while none runs.")
    next_period = serializers.SerializerMethodField(help_text="Null while none begins within 60 days.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_current_period(self, row: reading.Row) -> str | None:
        """Name the period that runs."""
        return row.running.period.delivery_period if row.running else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_next_period(self, row: reading.Row) -> str | None:
        """Name the period that begins next."""
        return row.coming.period.delivery_period if row.coming else None


@extend_schema_view(list=extend_schema(summary="List programs"))
class ProgramViewSet(GenericViewSet):
    """Leap's programs, ours first. One that is only heard of appears with its code alone."""

    serializer_class = LeapProgramOut
    queryset = Program.objects.all()
    filter_backends = ()
    lookup_field = "code"
    lookup_value_regex = "[^/]{1,64}"

    def list(self, request: Request) -> Response:
        """List them."""
        found = reading.read_programs(now=timezone.now())
        page = self.paginate_queryset([*found.ours, *found.others])
        return self.get_paginated_response(LeapProgramOut(page, many=True).data)

    @extend_schema(summary="Show a program")
    def retrieve(self, request: Request, code: str) -> Response:
        """Show one by Leap's code."""
        found = reading.read_program(code, now=timezone.now())
        if found is None:
            raise NotFound("Nobody has heard of this program.")
        return Response(LeapProgramOut(found.row).data)


@extend_schema_view(list=extend_schema(summary="List delivery periods"))
class SeasonViewSet(GenericViewSet):
    """Delivery periods that run, or begin within 60 days: those that begin next first."""

    serializer_class = SeasonOut
    queryset = Enrollment.objects.all()
    filter_backends = ()

    def list(self, request: Request) -> Response:
        """List them."""
        page = self.paginate_queryset(read_seasons(now=timezone.now()))
        return self.get_paginated_response(SeasonOut(page, many=True).data)
