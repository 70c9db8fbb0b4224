"""Resources of the REST API about meters and market groups. Writing needs the admin's right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from meters.api.csv_import import (
    COMMIT,
    CSV_BODY,
    CSV_PARSERS,
    ImportOut,
    Values,
    repeated,
    run_import,
    store_or_count,
)
from meters.api.filters import LeapIdFilter, MeterIdFilter, moment_asked, stored_leap_id
from meters.api.serializers import MarketGroupOut, MeterIn, MeterOut
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter
from meters.registering import register_meters

LEAP_ID = r"[A-Za-z0-9_.:-]{1,64}"


class MeterFilter(filters.FilterSet):
    """Which meters."""

    partner_reference = filters.CharFilter()
    transmission_region = filters.CharFilter(lookup_expr="iexact")
    enrollment_status = filters.CharFilter(lookup_expr="iexact")
    participation = filters.CharFilter(lookup_expr="iexact")
    market_group_id = LeapIdFilter(field_name="market_groups__market_group_id", distinct=True)
    archived = filters.BooleanFilter(field_name="archived_at", lookup_expr="isnull", exclude=True)
    mapped = filters.BooleanFilter(
        field_name="devices",
        lookup_expr="isnull",
        exclude=True,
        distinct=True,
        label="Has a device behind it?",
    )


@extend_schema_view(
    list=extend_schema(summary="List meters"),
    retrieve=extend_schema(summary="Show a meter"),
)
class MeterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Leap's units of dispatch. Devices are mapped to them at `devices/`, by `meter_ids`."""

    serializer_class = MeterOut
    filterset_class = MeterFilter
    lookup_field = "meter_id"
    lookup_value_regex = LEAP_ID
    write_permission = "dispatch.administer"
    queryset = (
        Meter.objects.select_related("site")
        .prefetch_related(
            Prefetch("memberships", MarketGroupMembership.objects.select_related("group").order_by("pk")),
            "devices",
        )
        .order_by("pk")
    )

    def get_serializer_context(self) -> dict[str, Any]:
        """Read the clock once a request."""
        return {**super().get_serializer_context(), "now": timezone.now()}

    def get_object(self) -> Meter:
        """Find the meter by Leap's id, in any case."""
        self.kwargs["meter_id"] = self.kwargs["meter_id"].lower()
        meter: Meter = super().get_object()
        return meter

    @extend_schema(summary="Add a meter", request=MeterIn, responses={201: MeterOut})
    def create(self, request: Request) -> Response:
        """Add a meter; what Leap asked of it before is planned now. 400 when the id is taken."""
        given = MeterIn(data=request.data)
        given.is_valid(raise_exception=True)
        meter_id = given.validated_data.pop("meter_id")
        if Meter.objects.filter(meter_id=meter_id).exists():
            raise serializers.ValidationError({"meter_id": ["A meter with this id exists."]})
        register_meters(wanted={meter_id: given.validated_data}, now=timezone.now())
        return Response(self.shown(meter_id), status=status.HTTP_201_CREATED)

    @extend_schema(summary="Change a meter", request=MeterIn(partial=True), responses=MeterOut)
    def partial_update(self, request: Request, **_: str) -> Response:
        """Change the given fields and plan its devices again. The id stays what it is."""
        meter = self.get_object()
        given = MeterIn(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        given.validated_data.pop("meter_id", None)
        register_meters(wanted={meter.meter_id: given.validated_data}, now=timezone.now())
        return Response(self.shown(meter.meter_id))

    def shown(self, meter_id: str) -> Any:
        """Read a meter back as the API shows it."""
        return self.get_serializer(self.get_queryset().get(meter_id=meter_id)).data

    @extend_schema(
        summary="Import meters",
        description="CSV with a header of the names a meter is written with; `meter_id` is the key. "
        "All rows or none. A dry run unless `commit=true`.",
        request=CSV_BODY,
        parameters=[COMMIT],
        responses=ImportOut,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", url_name="import", parser_classes=CSV_PARSERS)
    def import_rows(self, request: Request) -> Response:
        """Create or change meters from a CSV file."""
        return Response(
            run_import(
                request,
                row_serializer=MeterIn,
                check=lambda rows: repeated(rows, key="meter_id"),
                apply=apply_rows,
            )
        )


def apply_rows(rows: Sequence[Values], is_commit: bool) -> tuple[int, int]:  # noqa: FBT001 - the importer's callback
    """Store imported meters when asked to; count the new and the known either way."""
    return store_or_count(rows, key="meter_id", model=Meter, register=register_meters, is_commit=is_commit)


class MarketGroupFilter(filters.FilterSet):
    """Which market groups."""

    program = filters.CharFilter(lookup_expr="iexact")
    meter_id = MeterIdFilter(field_name="meters__meter_id", distinct=True)


AT = OpenApiParameter(
    "at", datetime, description="Who was, or is to be, in it at a time; now where none is given."
)


@extend_schema_view(
    list=extend_schema(summary="List market groups", parameters=[AT]),
    retrieve=extend_schema(summary="Show a market group", parameters=[AT]),
)
class MarketGroupViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Leap's sets of meters dispatched together. A dispatch's own list of meters wins over them."""

    serializer_class = MarketGroupOut
    filterset_class = MarketGroupFilter
    lookup_field = "market_group_id"
    lookup_value_regex = LEAP_ID
    queryset = MarketGroup.objects.order_by("pk")

    def get_queryset(self) -> QuerySet[MarketGroup]:
        """Bring along who is in each group at the time asked for. 400 for what is no time."""
        at = moment_asked(self.request, name="at") or timezone.now()
        held = MarketGroupMembership.objects.filter(in_effect(at)).select_related("meter")
        return (
            super()
            .get_queryset()
            .prefetch_related(
                Prefetch("memberships", held.order_by("meter__meter_id", "program", "starts_at", "pk"))
            )
        )

    def get_object(self) -> MarketGroup:
        """Find the group by Leap's id; a UUID in any case."""
        self.kwargs["market_group_id"] = stored_leap_id(self.kwargs["market_group_id"])
        group: MarketGroup = super().get_object()
        return group
