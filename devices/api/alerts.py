"""The REST API's resource of alerts: listing is reading, acknowledging is operating."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from devices.alert_models import Alert, AlertKind
from devices.alerting import LONGEST_NOTE, acknowledge
from meters.api.fields import CodeField
from meters.api.filters import CodeFilter, MomentFilter, RowIdFilter

ROW_ID = "[0-9]{1,18}"


class AlertFilter(filters.FilterSet):
    """Which alerts."""

    device_id = RowIdFilter(field_name="device_id")
    external_id = filters.CharFilter(field_name="device__external_id")
    kind = CodeFilter(AlertKind)
    open = filters.BooleanFilter(field_name="cleared_at", lookup_expr="isnull", label="Does it still hold?")
    acknowledged = filters.BooleanFilter(
        field_name="acknowledged_at", lookup_expr="isnull", exclude=True, label="Has somebody seen it?"
    )
    raised_after = MomentFilter(field_name="raised_at", lookup_expr="gte")
    raised_before = MomentFilter(field_name="raised_at", lookup_expr="lt")


class AlertOut(serializers.Serializer):
    """One thing that is, or was, wrong with one device."""

    id = serializers.IntegerField()
    device_id = serializers.IntegerField()
    external_id = serializers.CharField(source="device.external_id")
    kind = CodeField(AlertKind)
    text = serializers.CharField(help_text="What is wrong, in words with numbers; the latest while it holds.")
    raised_at = serializers.DateTimeField()
    cleared_at = serializers.DateTimeField(allow_null=True, help_text="Null while it holds.")
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField(help_text="Empty where nobody has.")
    note = serializers.CharField()


class AcknowledgeIn(serializers.Serializer):
    """What whoever acknowledges notes."""

    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


@extend_schema_view(
    list=extend_schema(
        summary="List alerts",
        description="Newest first. What holds now: `open=true`; what nobody has seen: "
        "`open=true&acknowledged=false`.",
    ),
    retrieve=extend_schema(summary="Show an alert"),
)
class AlertViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """What needs a person, device by device. Alerts clear by themselves and are kept."""

    serializer_class = AlertOut
    filterset_class = AlertFilter
    lookup_value_regex = ROW_ID
    queryset = Alert.objects.select_related("device").order_by("-pk")

    @extend_schema(summary="Acknowledge an alert", request=AcknowledgeIn, responses=AlertOut)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, **_: Any) -> Response:
        """Note who has seen it. 400 when it has cleared, or somebody has acknowledged it before."""
        alert = self.get_object()
        given = AcknowledgeIn(data=request.data)
        given.is_valid(raise_exception=True)
        by, note = request.user.get_username(), given.validated_data["note"]
        if not acknowledge(Alert.objects.filter(pk=alert.pk), by=by, note=note, now=timezone.now()):
            sentence = "This alert has cleared, or is acknowledged already."
            raise serializers.ValidationError({"non_field_errors": [sentence]})
        return Response(self.get_serializer(self.get_queryset().get(pk=alert.pk)).data)
