"""Resources of the REST API about devices and what they were told. Writing needs the admin's right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from devices.api.filters import CommandFilter, DeviceFilter, ScheduleFilter
from devices.api.serializers import CommandOut, DeviceIn, DeviceOut, ScheduleOut
from devices.driver_settings import settle
from devices.models import Command, CommandAttempt, Device, DeviceSchedule, ScheduleSegment
from devices.proof_models import Proof
from devices.proof_queries import with_proofs
from devices.registering import register_devices
from meters.api.csv_import import (
    COMMIT,
    CSV_BODY,
    CSV_PARSERS,
    ImportOut,
    RowErrors,
    Values,
    repeated,
    run_import,
    store_or_count,
)
from meters.api.filters import moment_asked
from meters.models import Meter, Site

ROW_ID = "[0-9]{1,18}"


@extend_schema_view(
    list=extend_schema(summary="List devices"),
    retrieve=extend_schema(summary="Show a device"),
)
class DeviceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """What can be told what to do, and the meters it sits behind."""

    serializer_class = DeviceOut
    filterset_class = DeviceFilter
    lookup_value_regex = ROW_ID
    write_permission = "dispatch.administer"
    queryset = Device.objects.select_related("site").prefetch_related("meters").order_by("pk")

    @extend_schema(summary="Add a device", request=DeviceIn, responses={201: DeviceOut})
    def create(self, request: Request) -> Response:
        """Add a device and plan it. 400 when the external id is taken, or a meter or site is unknown."""
        values = self.checked(DeviceIn(data=request.data))
        if Device.objects.filter(external_id=values["external_id"]).exists():
            raise serializers.ValidationError({"external_id": ["A device with this id exists."]})
        external_id = values.pop("external_id")
        refuse_wrong_settings(external_id, values)
        register_devices(wanted={external_id: values}, now=timezone.now())
        return Response(self.shown(external_id), status=status.HTTP_201_CREATED)

    @extend_schema(summary="Change a device", request=DeviceIn(partial=True), responses=DeviceOut)
    def partial_update(self, request: Request, **_: str) -> Response:
        """Change the given fields and plan the device again. Its external id stays what it is."""
        device = self.get_object()
        values = self.checked(DeviceIn(data=request.data, partial=True))
        values.pop("external_id", None)
        refuse_wrong_settings(device.external_id, values)
        register_devices(wanted={device.external_id: values}, now=timezone.now())
        return Response(self.shown(device.external_id))

    @extend_schema(
        summary="Import devices",
        description="CSV with a header of the names a device is written with; `external_id` is the key, "
        "`meter_ids` are split at blanks and `;`. All rows or none. A dry run unless `commit=true`.",
        request=CSV_BODY,
        parameters=[COMMIT],
        responses=ImportOut,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", url_name="import", parser_classes=CSV_PARSERS)
    def import_rows(self, request: Request) -> Response:
        """Create or change devices from a CSV file."""
        return Response(run_import(request, row_serializer=DeviceIn, check=check_rows, apply=apply_rows))

    def checked(self, given: DeviceIn) -> Values:
        """Return what was given, with rows in place of names."""
        given.is_valid(raise_exception=True)
        values: Values = given.validated_data
        if errors := resolve([values]):
            raise serializers.ValidationError(errors[0])
        return values

    def shown(self, external_id: str) -> Any:
        """Read a device back as the API shows it."""
        return self.get_serializer(self.get_queryset().get(external_id=external_id)).data


def resolve(rows: Sequence[Values]) -> RowErrors:
    """Put sites and meters in place of their names, in two queries; answer what is unknown, by position."""
    site_names = {row["site"] for row in rows if row.get("site")}
    meter_ids = {meter_id for row in rows for meter_id in row.get("meter_ids", ())}
    sites = {site.name: site for site in Site.objects.filter(name__in=site_names)}
    meters = {meter.meter_id: meter for meter in Meter.objects.filter(meter_id__in=meter_ids)}
    errors: RowErrors = {}
    for position, row in enumerate(rows):
        wrong: dict[str, list[str]] = {}
        if row.get("site") and row["site"] not in sites:
            wrong["site"] = [f"No site is called “{row['site']}”."]
        if unknown := [name for name in row.get("meter_ids", ()) if name not in meters]:
            wrong["meter_ids"] = [f"No meter has the id “{name}”." for name in unknown]
        if wrong:
            errors[position] = wrong
            continue
        if "site" in row:
            row["site"] = sites.get(row["site"])
        if "meter_ids" in row:
            row["meters"] = [meters[name] for name in row.pop("meter_ids")]
    return errors


def refuse_wrong_settings(external_id: str, values: Values) -> None:
    """Complete the driver's settings of a device that is to be written.

    Raises:
        serializers.ValidationError: the driver cannot work with them.
    """
    if wrong := settle({external_id: values}):
        raise serializers.ValidationError({"settings": wrong[external_id]})


def check_rows(rows: Sequence[Values]) -> RowErrors:
    """Find what is wrong with rows taken together."""
    return repeated(rows, key="external_id") or resolve(rows) or _wrong_settings(rows)


def _wrong_settings(rows: Sequence[Values]) -> RowErrors:
    wrong = settle({row["external_id"]: row for row in rows})
    return {
        position: {"settings": wrong[row["external_id"]]}
        for position, row in enumerate(rows)
        if row["external_id"] in wrong
    }


def apply_rows(rows: Sequence[Values], is_commit: bool) -> tuple[int, int]:  # noqa: FBT001 - the importer's callback
    """Store imported devices when asked to; count the new and the known either way."""
    return store_or_count(
        rows, key="external_id", model=Device, register=register_devices, is_commit=is_commit
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """A device beside the schedule that was in effect, if any."""

    device: Device
    schedule: DeviceSchedule | None
    proof: Proof | None

    @classmethod
    def of(cls, device: Any) -> Shown:
        """Take the one schedule and the newest proof that the query brought along."""
        proof = next(iter(device.newest_proof), None)
        return cls(device=device, schedule=next(iter(device.in_effect), None), proof=proof)

    @property
    def meter_ids(self) -> list[str]:
        """Leap's ids of the meters the device sits behind."""
        return sorted(meter.meter_id for meter in self.device.meters.all())


class ScheduleViewSet(GenericViewSet):
    """What each device is to do: the whole desired schedule under its newest version."""

    serializer_class = ScheduleOut
    filterset_class = ScheduleFilter
    queryset = Device.objects.order_by("pk")

    @extend_schema(
        summary="List schedules",
        description="One entry a device. One that was never told anything has version 0 and no segments.",
        parameters=[
            OpenApiParameter(
                "as_of", datetime, description="The versions in effect at that time, instead of the newest."
            )
        ],
    )
    def list(self, request: Request) -> Response:
        """List schedules, in the order of their devices."""
        as_of = moment_asked(request, name="as_of")
        page = self.paginate_queryset(
            self.filter_queryset(self.get_queryset()).prefetch_related(*in_effect(as_of))
        )
        shown = [Shown.of(device) for device in page or ()]
        return self.get_paginated_response(self.get_serializer(shown, many=True).data)


def in_effect(as_of: datetime | None) -> tuple[Prefetch, Prefetch, str]:
    """Bring along each device's schedule in effect then (its newest for None), newest proof and meters."""
    then = Q(superseded_at__isnull=True)
    if as_of:
        then = Q(created_at__lte=as_of) & (then | Q(superseded_at__gt=as_of))
    schedules = DeviceSchedule.objects.filter(then).prefetch_related(
        Prefetch("segments", ScheduleSegment.objects.order_by("starts_at"))
    )
    proofs = Proof.objects.filter(since__lte=as_of) if as_of else Proof.objects.all()
    newest = Prefetch("proofs", proofs.order_by("-since", "-pk")[:1], to_attr="newest_proof")
    return Prefetch("schedules", schedules, to_attr="in_effect"), newest, "meters"


@extend_schema_view(
    list=extend_schema(summary="List commands", description="Newest first, with every attempt."),
    retrieve=extend_schema(summary="Show a command"),
)
class CommandViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Instructions to devices: each carries a whole schedule, or the return to normal."""

    serializer_class = CommandOut
    filterset_class = CommandFilter
    lookup_value_regex = ROW_ID
    queryset = (
        with_proofs(Command.objects.select_related("device", "schedule"))
        .prefetch_related(Prefetch("attempts", CommandAttempt.objects.order_by("pk")))
        .order_by("-pk")
    )
