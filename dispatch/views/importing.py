"""CSV in and out: a file is shown as a diff first, and applied as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods
from rest_framework import serializers

import devices.api.views as device_api
import meters.api.views as meter_api
from devices.api.serializers import DeviceIn
from dispatch.reading import devices as device_reading
from dispatch.reading import imports
from dispatch.reading import meters as meter_reading
from dispatch.views.files import csv_file
from meters.api.csv_import import repeated, rows_of
from meters.api.serializers import MeterIn

LARGEST = 2 * 1024 * 1024  # bytes; the REST API takes larger files
METERS_EXAMPLE = """meter_id,name,transmission_region,programs,nomination_kw
abae2779-e392-4f00-b0cf-32e716204f78,Alum Rock 110,CAISO,CCA;ELRP,9.6"""
DEVICES_EXAMPLE = """external_id,name,kind,driver,meter_ids,rated_power_kw
bat-sj-0412,Willow Glen 12,battery,simulator,abae2779-e392-4f00-b0cf-32e716204f78,11.5"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a file is about, and the functions that the API uses for it too."""

    name: str
    page: str
    action: str
    columns: tuple[str, ...]
    example: str
    row_serializer: type[serializers.Serializer[Any]]
    check: Callable[[Sequence[dict[str, Any]]], dict[int, Mapping[str, Any]]]
    apply: Callable[[Sequence[dict[str, Any]], bool], tuple[int, int]]
    diff: Callable[[Sequence[Mapping[str, Any]]], imports.Diff]


METERS = Subject(
    name="meters",
    page="dispatch:meters",
    action="dispatch:meter-import",
    columns=imports.METER_COLUMNS,
    example=METERS_EXAMPLE,
    row_serializer=MeterIn,
    check=lambda rows: repeated(rows, key="meter_id"),
    apply=meter_api.apply_rows,
    diff=imports.meter_diff,
)
DEVICES = Subject(
    name="devices",
    page="dispatch:devices",
    action="dispatch:device-import",
    columns=imports.DEVICE_COLUMNS,
    example=DEVICES_EXAMPLE,
    row_serializer=DeviceIn,
    check=device_api.check_rows,
    apply=device_api.apply_rows,
    diff=imports.device_diff,
)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.administer", raise_exception=True)
def meter_import(request: HttpRequest) -> HttpResponse:
    """Read meters from a file."""
    return _import(request, METERS)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.administer", raise_exception=True)
def device_import(request: HttpRequest) -> HttpResponse:
    """Read devices, and the meters they sit behind, from a file."""
    return _import(request, DEVICES)


def _import(request: HttpRequest, subject: Subject) -> HttpResponse:
    """Show the file as a diff; apply it when the diff was seen."""
    if request.method == "GET":
        return _page(request, subject)
    try:
        text = text_of(request)
        rows, errors = _checked(subject, text)
    except serializers.ValidationError as refused:
        return _page(request, subject, problem=sentence_of(refused), status=422)
    if errors:
        return _page(request, subject, text=text, errors=errors, status=422)
    if "apply" in request.POST:
        created, updated = subject.apply(rows, bool(request.POST["apply"]))
        messages.success(
            request, f"{created:,} {subject.name} added, {updated:,} written. They are being planned."
        )
        return redirect(subject.page)
    return _page(request, subject, text=text, diff=subject.diff(rows))


def _page(request: HttpRequest, subject: Subject, *, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, "dispatch/import.html", {"subject": subject, **context}, status=status)


def text_of(request: HttpRequest) -> str:
    """Take the file, or what was pasted; as text.

    Raises: serializers.ValidationError when there is none, or it is too large or no UTF-8.
    """
    upload = request.FILES.get("file")
    if upload is None:
        text = request.POST.get("csv", "").strip()
        if not text:
            raise serializers.ValidationError("Choose a file, or paste its lines below.")
        return text
    if (upload.size or 0) > LARGEST:
        raise serializers.ValidationError(
            "The file is larger than 2 MiB. Split it, or send it to the REST API."
        )
    try:
        return upload.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise serializers.ValidationError("The file is not UTF-8. Save it as CSV UTF-8.") from None


def _checked(subject: Subject, text: str) -> tuple[list[dict[str, Any]], list[tuple[int, list[str]]]]:
    """Check the rows one by one and together; the errors are (row, sentences)."""
    checked = subject.row_serializer(data=rows_of(text, row_serializer=subject.row_serializer), many=True)
    checked.is_valid()
    rows: list[dict[str, Any]] = checked.validated_data
    errors = dict(checked.errors) or subject.check(rows)
    by_row = sorted(errors.items())
    return rows, [(position + imports.FIRST_ROW, sentences_of(error)) for position, error in by_row]


def sentences_of(error: Any) -> list[str]:
    """List what is wrong with a row, each with its column."""
    if isinstance(error, Mapping):
        return [
            f"{column}: {sentence}" for column, found in error.items() for sentence in sentences_of(found)
        ]
    if isinstance(error, list | tuple):
        return [sentence for each in error for sentence in sentences_of(each)]
    return [str(error)]


def sentence_of(refused: serializers.ValidationError) -> str:
    """Say in one line why a file cannot be read."""
    return " ".join(sentence.removeprefix("file: ") for sentence in sentences_of(refused.detail))


@require_GET
def meter_export(request: HttpRequest) -> HttpResponse:
    """Write the meters that the list shows as a file that could be imported again."""
    rows = (
        imports.meter_cells(meter) for meter in meter_reading.export_rows(request.GET, now=timezone.now())
    )
    return csv_file("meters.csv", imports.METER_COLUMNS, rows)


@require_GET
def device_export(request: HttpRequest) -> HttpResponse:
    """Write the devices that the list shows as a file that could be imported again."""
    rows = (imports.device_cells(device) for device in device_reading.export_rows(request.GET))
    return csv_file("devices.csv", imports.DEVICE_COLUMNS, rows)
