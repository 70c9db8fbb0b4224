"""Meters: can each be dispatched, and if not, why not; mapping edited in place; arming for tests."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

from devices.mapping import change_mapping
from devices.models import Device
from dispatch import planning
from dispatch.reading import meter_syncs, words
from dispatch.reading import meters as reading
from dispatch.reading.actions import NOBODY
from dispatch.reading.meter_enrollment import read_meter_enrollment
from dispatch.reading.participation import read_of_meter
from dispatch.reading.shapes import shape_of_meter
from dispatch.reading.zones import page_zone
from meters import arming
from meters.assigning import LONGEST_NOTE
from meters.models import Meter


class MapForm(forms.Form):
    """Which device sits behind the meter."""

    external_id = forms.CharField(
        label="Device's external id",
        max_length=128,
        widget=forms.TextInput(attrs={"list": "devices-without-a-meter", "autocomplete": "off"}),
        help_text="Devices that no meter has yet are offered as you type.",
        error_messages={"required": "Type the external id of a device."},
    )

    def clean_external_id(self) -> str:
        """Find the device by external id, else by its name when only one has it."""
        typed: str = self.cleaned_data["external_id"].strip()
        ids = list(Device.objects.filter(external_id=typed).values_list("external_id", flat=True))
        ids = ids or list(Device.objects.filter(name=typed).values_list("external_id", flat=True)[:2])
        if len(ids) != 1:
            raise forms.ValidationError(
                "No device has this external id. Look it up under Devices, or import it there."
            )
        return ids[0]


class ArmForm(forms.Form):
    """For how long integration tests may move the meter's devices."""

    hours = forms.TypedChoiceField(
        label="For",
        coerce=int,
        choices=[(1, "1 hour"), (8, "8 hours"), (24, "1 day"), (72, "3 days"), (168, "7 days")],
        initial=8,
        error_messages={
            "required": "Choose how long.",
            "invalid_choice": "Choose one of the lengths offered, 7 days at most.",
        },
    )


@require_GET
def meter_list(request: HttpRequest) -> HttpResponse:
    """List meters."""
    zone = page_zone(request)
    context = {
        "list": reading.read_list(request.GET, now=timezone.now(), zone=zone),
        "sync": meter_syncs.read_latest(),
        "zone": zone,
    }
    return render(request, "dispatch/meters.html", context)


@require_GET
def meter_detail(request: HttpRequest, meter_id: str) -> HttpResponse:
    """Show one meter."""
    return _show(request, meter_id, map_form=MapForm())


def _show(request: HttpRequest, meter_id: str, *, map_form: MapForm) -> HttpResponse:
    zone = page_zone(request)
    try:
        detail = reading.read_detail(meter_id.lower(), now=timezone.now(), zone=zone)
    except Meter.DoesNotExist as error:
        raise Http404("There is no such meter.") from error
    context: dict[str, Any] = {"detail": detail, "zone": zone, "map_form": map_form, "arm_form": ArmForm()}
    context |= {
        "enrollment": read_meter_enrollment(detail.meter, now=timezone.now()),
        "shape": shape_of_meter(detail.meter),
        "participation": read_of_meter(detail.meter, now=timezone.now()),
        "longest_note": LONGEST_NOTE,
        "nobody": NOBODY,
    }
    return render(request, "dispatch/meter.html", context, status=422 if map_form.errors else 200)


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def meter_map(request: HttpRequest, meter_id: str) -> HttpResponse:
    """Put a device behind the meter; what is asked of the meter is planned for it at once."""
    now = timezone.now()
    meter = get_object_or_404(Meter, meter_id=meter_id)
    form = MapForm(request.POST)
    if not form.is_valid():
        return _show(request, meter_id, map_form=form)
    external_id = form.cleaned_data["external_id"]
    device = get_object_or_404(Device, external_id=external_id)
    with transaction.atomic():
        change_mapping(add=[(meter.pk, device.pk)], now=now)
        planning.request_plan(meter_ids=[meter.pk], now=now)
    messages.success(request, f"{external_id} now sits behind {meter}. It is being planned.")
    return redirect("dispatch:meter-detail", meter.meter_id)


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def meter_unmap(request: HttpRequest, meter_id: str, device_id: int) -> HttpResponse:
    """Take a device from behind the meter; it goes back to normal."""
    now = timezone.now()
    meter = get_object_or_404(Meter, meter_id=meter_id)
    device = get_object_or_404(Device, pk=device_id)
    with transaction.atomic():
        change_mapping(remove=[(meter.pk, device.pk)], now=now)
        planning.request_plan(meter_ids=[meter.pk], now=now)
    messages.success(
        request, f"{device.external_id} no longer sits behind {meter}. Map it again below to undo."
    )
    return redirect("dispatch:meter-detail", meter.meter_id)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def meter_arm(request: HttpRequest, meter_id: str) -> HttpResponse:
    """Let integration tests move the meter's devices for a while."""
    now = timezone.now()
    meter = get_object_or_404(Meter, meter_id=meter_id)
    form = ArmForm(request.POST)
    if not form.is_valid():
        messages.error(request, str(form.errors["hours"][0]))
        return redirect("dispatch:meter-detail", meter.meter_id)
    until = arming.arm(meter_pk=meter.pk, hours=form.cleaned_data["hours"], now=now)
    planning.request_plan(meter_ids=[meter.pk], now=now)
    text = "<b>Armed until {}.</b> Integration tests now move its devices. Disarm it on this page."
    messages.warning(request, format_html(text, words.moment(until, zone=page_zone(request))))
    return redirect("dispatch:meter-detail", meter.meter_id)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def meter_disarm(request: HttpRequest, meter_id: str) -> HttpResponse:
    """Let integration tests move nothing again."""
    now = timezone.now()
    meter = get_object_or_404(Meter, meter_id=meter_id)
    arming.disarm(meter_pk=meter.pk)
    planning.request_plan(meter_ids=[meter.pk], now=now)
    messages.success(request, "Disarmed. Integration tests are shown and move nothing.")
    return redirect("dispatch:meter-detail", meter.meter_id)
