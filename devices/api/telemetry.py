"""What devices measured, in the REST API: readings in bulk, and the energy of a device by interval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from devices.domain.intervals import Energy
from devices.domain.reports import NoReading, read_row
from devices.models import Device
from devices.telemetry import DeviceReading, Refused, record_many
from devices.telemetry_models import PowerInterval, ReadingMode
from meters.api.filters import moment_asked

MOST_READINGS: Final = 10_000
DEVICE = OpenApiParameter("device_id", int, OpenApiParameter.PATH)
INTERVALS: Final = {"1": 1, "15": 15}


class ReadingIn(serializers.Serializer):
    """What one device measured at one moment. Described here, read by `devices.domain.reports`."""

    device = serializers.CharField(help_text="Its external id.")
    at = serializers.DateTimeField(help_text="With its offset, or Z.")
    power_kw = serializers.FloatField(help_text="Positive when it takes power, negative when it gives.")
    energy_kwh = serializers.FloatField(
        required=False, allow_null=True, help_text="Its counter: all it ever took minus all it gave."
    )
    soc_percent = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=100)
    mode = serializers.ChoiceField(
        ReadingMode.choices, required=False, allow_null=True, help_text="What it says it does."
    )
    online = serializers.BooleanField(required=False, help_text="False when a gateway speaks for it.")


class ReadingsIn(serializers.Serializer):
    """Readings of any devices, in any order."""

    readings = ReadingIn(many=True)


class RefusedOut(serializers.Serializer):
    """A reading that was not stored."""

    index = serializers.IntegerField(help_text="Its place in the list, from 0.")
    reason = serializers.CharField()


class RecordedOut(serializers.Serializer):
    """What became of the readings; all that is good is stored."""

    stored = serializers.IntegerField()
    duplicates = serializers.IntegerField(
        help_text="Of a device and millisecond that are known; the first stays."
    )
    refused = RefusedOut(many=True)


class TelemetryView(APIView):
    """What devices measured."""

    @extend_schema(
        summary="Send readings",
        description=f"Up to {MOST_READINGS:,}, as a list or under `readings`. Safe to repeat.",
        request=ReadingsIn,
        responses={202: RecordedOut},
        examples=[
            OpenApiExample(
                "One reading",
                value={"readings": [{"device": "pack-7", "at": "2026-07-14T20:00:00Z", "power_kw": -1.5}]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Store what is good and say what is not."""
        rows = _rows(request.data)
        readings, places, refused = _read(rows)
        told = record_many(readings, now=timezone.now())
        refused += [Refused(places[one.index], one.reason) for one in told.refused]
        refused.sort(key=lambda one: one.index)
        answer = {"stored": told.stored, "duplicates": told.duplicates, "refused": refused}
        return Response(RecordedOut(answer).data, status=status.HTTP_202_ACCEPTED)


def _rows(body: object) -> Sequence[object]:
    """Return the list that a body is or holds.

    Raises:
        serializers.ValidationError: it is neither, or too long.
    """
    rows = body.get("readings") if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise serializers.ValidationError({"readings": ["Give a list of readings."]})
    if len(rows) > MOST_READINGS:
        raise serializers.ValidationError({"readings": [f"Give at most {MOST_READINGS:,} at a time."]})
    return rows


def _read(rows: Sequence[object]) -> tuple[list[DeviceReading], list[int], list[Refused]]:
    """Return the readings, at which place each was, and what is none; devices are looked up at once."""
    read, refused = [], []
    for place, row in enumerate(rows):
        try:
            read.append((place, *read_row(row)))
        except NoReading as wrong:
            refused.append(Refused(place, str(wrong)))
    names = {name for _, name, _ in read if name.isprintable()}
    known = dict(Device.objects.filter(external_id__in=names).values_list("external_id", "pk"))
    refused += [Refused(place, "No such device.") for place, name, _ in read if name not in known]
    found = [(place, known[name], said) for place, name, said in read if name in known]
    readings = [DeviceReading.said_by(device_id, said) for _, device_id, said in found]
    return readings, [place for place, _, _ in found], refused


class IntervalOut(serializers.Serializer):
    """The energy of `[start, end)`, positive when the device took it."""

    start = serializers.DateTimeField(source="starts_at")
    end = serializers.SerializerMethodField()
    kwh = serializers.SerializerMethodField(help_text="Of the time that is covered.")
    mean_kw = serializers.SerializerMethodField(help_text="While it is covered; null where nothing is.")
    coverage = serializers.SerializerMethodField(help_text="The share that was measured, 0 to 1.")
    watt_milliseconds = serializers.IntegerField(help_text="The same energy, exact: 3.6 × 10⁹ are a kWh.")
    covered_milliseconds = serializers.IntegerField()
    state_of_charge_percent = serializers.FloatField(allow_null=True, help_text="The latest said within it.")

    def get_end(self, row: PowerInterval) -> datetime:
        """Return when it ends."""
        return row.starts_at + timedelta(minutes=row.minutes)

    def get_kwh(self, row: PowerInterval) -> float:
        """Return the energy in kWh."""
        return float(Energy(row.watt_milliseconds, row.covered_milliseconds).kwh)

    def get_mean_kw(self, row: PowerInterval) -> float | None:
        """Return the mean power while it was measured."""
        mean: Decimal | None = Energy(row.watt_milliseconds, row.covered_milliseconds).mean_kw
        return None if mean is None else float(mean)

    def get_coverage(self, row: PowerInterval) -> float:
        """Return the measured share."""
        return row.covered_milliseconds / (row.minutes * 60_000)


@extend_schema_view(
    list=extend_schema(
        summary="List a device's energy by interval",
        description="Newest first. An interval that is not listed is a gap.",
        parameters=[
            DEVICE,
            OpenApiParameter("minutes", OpenApiTypes.INT, enum=[1, 15], default=15),
            OpenApiParameter("from", datetime, description="Intervals that begin then or later."),
            OpenApiParameter("to", datetime, description="Intervals that begin earlier."),
        ],
    )
)
class IntervalViewSet(mixins.ListModelMixin, GenericViewSet):
    """What a device took and gave, by minute or quarter of an hour."""

    serializer_class = IntervalOut
    queryset = PowerInterval.objects.none()
    filter_backends: Sequence[Any] = ()

    def get_queryset(self) -> QuerySet[PowerInterval]:
        """Return the intervals asked for. 404 without the device, 400 for a time or length that is none."""
        device = get_object_or_404(Device, pk=self.kwargs["device_id"])
        minutes = INTERVALS.get(self.request.query_params.get("minutes", "15"))
        if minutes is None:
            raise serializers.ValidationError({"minutes": ["Give 1 or 15."]})
        found = PowerInterval.objects.filter(device=device, minutes=minutes)
        if start := moment_asked(self.request, name="from"):
            found = found.filter(starts_at__gte=start)
        if end := moment_asked(self.request, name="to"):
            found = found.filter(starts_at__lt=end)
        return found.order_by("-starts_at")
