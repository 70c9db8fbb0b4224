"""Which devices sit behind which meters, as pairs, in the REST API: one by one, or as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from devices import mapping_files
from devices.mapping import Pair
from devices.mapping_batches import apply_batch
from devices.models import Device, MeterDevice
from meters.among import Ids
from meters.api.csv_export import csv_file
from meters.api.csv_import import COMMIT, CSV_BODY, CSV_PARSERS, read_rows
from meters.api.filters import MeterIdFilter
from meters.mapping_models import MappingSource
from meters.models import Meter

MOST_SHOWN = 1000
WHOLE = OpenApiParameter(
    "whole",
    bool,
    description="The file is the whole truth for the meters it names.",
)


class PairIn(serializers.Serializer):
    """One row of a file of pairs. What is for people is passed over."""

    meter_id = serializers.CharField(
        max_length=80, trim_whitespace=False, error_messages={"required": "Write Leap's id of the meter."}
    )
    external_id = serializers.CharField(
        max_length=160, trim_whitespace=False, error_messages={"required": "Write the device's external id."}
    )
    meter_name = serializers.CharField(required=False)
    partner_reference = serializers.CharField(required=False)
    device_name = serializers.CharField(required=False)


class PairOut(serializers.Serializer):
    """A device behind a meter."""

    meter_id = serializers.CharField(source="meter.meter_id", help_text="Leap's id.")
    external_id = serializers.CharField(source="device.external_id", help_text="The device's.")
    meter_name = serializers.CharField(source="meter.name")
    partner_reference = serializers.CharField(source="meter.partner_reference")
    device_name = serializers.CharField(source="device.name")


class PairChangeOut(serializers.Serializer):
    """A pair that a file adds or removes."""

    change = serializers.ChoiceField(choices=["added", "removed"])
    meter_id = serializers.CharField()
    external_id = serializers.CharField()


class MappingImportOut(serializers.Serializer):
    """What a file of pairs did, or would do."""

    applied = serializers.BooleanField(help_text="False is a dry run.")
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    changes = PairChangeOut(many=True, help_text=f"The first {MOST_SHOWN:,} pairs that change.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field that is called so
        help_text='`{row: {column: ["why"]}}`, the header being row 1.'
    )


class PairsAsCsv(JSONRenderer):
    """The type in which a client asks for a file. What is no file, an error, is JSON all the same."""

    media_type = "text/csv"
    format = "csv"


class PairFilter(filters.FilterSet):
    """Which pairs."""

    meter_id = MeterIdFilter(field_name="meter__meter_id")
    external_id = filters.CharFilter(field_name="device__external_id")


class MappingViewSet(GenericViewSet):
    """Which devices sit behind which meters. One pair changes at `devices/`, by `meter_ids`."""

    serializer_class = PairOut
    filterset_class = PairFilter
    write_permission = "dispatch.administer"
    renderer_classes = [*GenericViewSet.renderer_classes, PairsAsCsv]
    queryset = MeterDevice.objects.select_related("meter", "device").order_by("pk")

    @extend_schema(
        summary="List which devices sit behind which meters",
        description="As CSV (`format=csv`, or `Accept: text/csv`) all of them, as `import/` takes them: to "
        "write a file and read it changes nothing.",
        responses={(200, "application/json"): PairOut(many=True), (200, "text/csv"): OpenApiTypes.STR},
    )
    def list(self, request: Request) -> Response | HttpResponse:
        """List pairs, or write them as a file."""
        pairs = self.filter_queryset(self.get_queryset())
        if getattr(request.accepted_renderer, "format", "") == PairsAsCsv.format:
            return csv_file("mapping.csv", mapping_files.COLUMNS, mapping_files.cells_of(pairs))
        page = self.paginate_queryset(pairs)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Import the mapping",
        description="CSV with the columns `meter_id` and `external_id`, a row a pair; names are passed over. "
        "All rows or none. A dry run unless `commit=true`. Pairs are only added, unless `whole=true`.",
        request=CSV_BODY,
        parameters=[COMMIT, WHOLE],
        responses=MappingImportOut,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", url_name="import", parser_classes=CSV_PARSERS)
    def import_rows(self, request: Request) -> Response:
        """Map devices from a CSV file."""
        pairs, errors = read_pairs(read_rows(request, row_serializer=PairIn))
        is_commit, is_whole = _flag(request, "commit"), _flag(request, "whole")
        by_row = {str(position + mapping_files.FIRST_ROW): each for position, each in sorted(errors.items())}
        if by_row and is_commit:
            raise serializers.ValidationError(by_row)
        diff = mapping_files.compare([] if by_row else pairs, is_whole=is_whole)
        if is_commit:
            apply_batch(
                add=diff.added,
                remove=diff.removed,
                source=MappingSource.FILE,
                by=request.user.get_username(),
                now=timezone.now(),
            )
        return Response(
            {
                "applied": is_commit,
                "added": len(diff.added),
                "removed": len(diff.removed),
                "unchanged": diff.unchanged,
                "changes": _changes(diff),
                "errors": by_row,
            }
        )


def read_pairs(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Pair], dict[int, Any]]:
    """Check the rows of a file one by one and together; return the pairs, and errors by position."""
    checked = PairIn(data=rows, many=True)
    if not checked.is_valid():
        return [], dict(checked.errors)
    return mapping_files.resolve(checked.validated_data)


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"true", "1"}


def _changes(diff: mapping_files.FileDiff) -> list[dict[str, str]]:
    """Name the first pairs that change. Two queries."""
    listed = [("removed", pair) for pair in diff.removed] + [("added", pair) for pair in diff.added]
    shown = listed[:MOST_SHOWN]
    meters = Meter.objects.filter(pk__among=Ids({meter for _, (meter, _) in shown}))
    devices = Device.objects.filter(pk__among=Ids({device for _, (_, device) in shown}))
    meter_ids = dict(meters.values_list("pk", "meter_id"))
    external_ids = dict(devices.values_list("pk", "external_id"))
    return [
        {"change": change, "meter_id": meter_ids[meter], "external_id": external_ids[device]}
        for change, (meter, device) in shown
    ]
