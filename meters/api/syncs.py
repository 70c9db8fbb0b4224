"""Syncs of meters with Leap in the REST API."""

from __future__ import annotations

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from meters.api.fields import CodeField
from meters.api.filters import CodeFilter
from meters.sync_models import ChangeKind, MeterChange, MeterSync, SyncKind, SyncState


class MeterSyncOut(serializers.Serializer):
    """One run of the sync with Leap."""

    id = serializers.IntegerField()
    kind = CodeField(
        SyncKind, help_text="Everything Leap lists, what changed since the last run, or meters by name."
    )
    state = CodeField(SyncState, help_text="`lost`: whoever ran it died; the next begins anew.")
    requested_by = serializers.CharField(help_text="Empty: the portal itself.")
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True, help_text="Of changes: since when they were asked.")
    pages = serializers.IntegerField()
    meters = serializers.IntegerField(help_text="Meters read, with and without changes.")
    appeared = serializers.IntegerField()
    changed = serializers.IntegerField()
    archived = serializers.IntegerField()
    vanished = serializers.IntegerField(help_text="No longer listed by Leap.")
    unreadable = serializers.IntegerField()
    detail = serializers.CharField(help_text="Why it failed, or what else is worth knowing.")


class MeterChangeOut(serializers.Serializer):
    """What a run changed of one meter."""

    meter_id = serializers.CharField(source="meter.meter_id")
    kind = CodeField(ChangeKind, help_text="`appeared` also of a meter that is listed again.")
    changes = serializers.DictField(
        source="fields", child=serializers.ListField(), help_text="`{field: [old, new]}`, in Leap's words."
    )


class MeterSyncFilter(filters.FilterSet):
    """Which runs."""

    kind = CodeFilter(choices=SyncKind)
    state = CodeFilter(choices=SyncState)


@extend_schema_view(
    list=extend_schema(summary="List syncs of meters, newest first"),
    retrieve=extend_schema(summary="Show a sync of meters"),
)
class MeterSyncViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Runs that brought meters in step with Leap."""

    serializer_class = MeterSyncOut
    filterset_class = MeterSyncFilter
    lookup_value_regex = r"[0-9]{1,18}"
    queryset = MeterSync.objects.order_by("-pk")

    @extend_schema(summary="List what a sync changed", responses=MeterChangeOut(many=True), filters=False)
    @action(detail=True, filterset_class=None, filter_backends=[])
    def changes(self, request: Request, **_: str) -> Response:
        """List the meters that a run changed, with each field before and after."""
        rows = MeterChange.objects.filter(sync=self.get_object()).select_related("meter").order_by("pk")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(MeterChangeOut(page, many=True).data)
