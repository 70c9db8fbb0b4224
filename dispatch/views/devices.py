"""Devices: the list, one device with its lanes and its log, and overruling it."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from devices.models import Device
from devices.registering import register_devices
from dispatch import overrides
from dispatch.models import OverrideAction, OverrideScope
from dispatch.reading import devices as reading
from dispatch.reading.found import read_found
from dispatch.reading.overrides import read_reach
from dispatch.reading.shapes import meters_of_device
from dispatch.reading.then import device_then
from dispatch.reading.zones import page_zone, zone_name, zone_named
from dispatch.views.override_forms import ACTION_HELP, DeviceOverrideForm, OverrideForm
from dispatch.views.overrides import confirm, override_arguments, say_done, usual_end

_PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9])?")


@require_GET
def device_list(request: HttpRequest) -> HttpResponse:
    """List devices."""
    zone = page_zone(request)
    shown = reading.read_list(request.GET, now=timezone.now(), zone=zone)
    context = {"list": shown, "found": read_found(), "zone": zone}
    return render(request, "dispatch/devices.html", context)


@require_GET
def device_detail(request: HttpRequest, device_id: int) -> HttpResponse:
    """Show one device; `?as_of=` what it was to do as known at a time."""
    now = timezone.now()
    with timezone.override(page_zone(request)):
        form = DeviceOverrideForm(initial={"ends_at": usual_end(now)}, now=now)
        return _show(request, device_id, form=form)


def _show(request: HttpRequest, device_id: int, *, form: DeviceOverrideForm) -> HttpResponse:
    zone = page_zone(request)
    try:
        detail = reading.read_detail(device_id, now=form.now, zone=zone)
    except Device.DoesNotExist as error:
        raise Http404("There is no such device.") from error
    context: dict[str, Any] = {
        "detail": detail,
        "behind": meters_of_device(device_id),
        "form": form,
        "zone": zone,
        "zone_name": zone_name(zone),
        "action_help": ACTION_HELP,
        "hold_until": f"{usual_end(form.now).astimezone(zone):%Y-%m-%dT%H:%M}",
    }
    if asked := request.GET.get("as_of", ""):
        context["then"] = device_then(device_id, asked=asked, now=form.now, zone=zone)
    return render(request, "dispatch/device.html", context, status=422 if form.errors else 200)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def device_override(request: HttpRequest, device_id: int) -> HttpResponse:
    """Hold, opt out or force one device, with an end and a reason; if a commitment is given up, ask first."""
    now = timezone.now()
    device = get_object_or_404(Device, pk=device_id)
    zone = zone_named(request.POST.get("zone", "")) or page_zone(request)
    with timezone.override(zone):
        form = DeviceOverrideForm(request.POST, now=now)
        if not form.is_valid():
            return _show(request, device_id, form=form)
        asking = _asking(request, device, now=now)
        if asking:
            return confirm(request, asking, zone=zone, now=now)
        try:
            override = overrides.add_override(
                **override_arguments(form.cleaned_data),
                scope=OverrideScope.DEVICE,
                target=device.external_id,
                starts_at=now,
                created_by=request.user.get_username(),
                now=now,
            )
        except overrides.OverrideRefused as refused:
            form.add_error(None, str(refused))
            return _show(request, device_id, form=form)
        say_done(request, override, zone=zone, now=now)
    return redirect("dispatch:device-detail", device.pk)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def device_wish(request: HttpRequest, device_id: int) -> HttpResponse:
    """Keep the customer's standing wish; the admin's log of the device says who and when."""
    device = get_object_or_404(Device, pk=device_id)
    is_wished = request.POST.get("commitments_only") == "yes"
    if device.commitments_only != is_wished:
        wish = {"commitments_only": is_wished}
        register_devices(wanted={device.external_id: wish}, now=timezone.now())
        said = "answers commitments only" if is_wished else "answers voluntary events, too"
        LogEntry.objects.log_actions(
            request.user.pk or 0, [device], CHANGE, f"The customer {said}.", single_object=True
        )
        messages.success(request, f"{device} {said}. It is planned again.")
    return redirect("dispatch:device-detail", device.pk)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def device_charge(request: HttpRequest, device_id: int) -> HttpResponse:
    """Take a battery's state of charge from a person, as of now, as the API takes it from its driver."""
    device = get_object_or_404(Device, pk=device_id, energy_capacity_kwh__isnull=False)
    said = request.POST.get("percent", "").strip().replace(",", ".")
    if not _PERCENT.fullmatch(said) or Decimal(said) > 100:
        messages.error(request, "Give the charge as a percent from 0 to 100.")
        return redirect("dispatch:device-detail", device.pk)
    charge = {"state_of_charge_percent": Decimal(said)}
    register_devices(wanted={device.external_id: charge}, now=timezone.now())
    LogEntry.objects.log_actions(
        request.user.pk or 0, [device], CHANGE, f"It holds {said} %.", single_object=True
    )
    messages.success(request, f"{device} holds {said} %. It is planned again where that matters.")
    return redirect("dispatch:device-detail", device.pk)


def _asking(request: HttpRequest, device: Device, *, now: datetime) -> OverrideForm | None:
    """Return the device's form as that of the page that asks, where a commitment would be given up."""
    given = request.POST.copy()
    given.update({"scope": OverrideScope.DEVICE, "target": device.external_id})
    form = OverrideForm(given, now=now)
    if not form.is_valid() or form.cleaned_data["action"] == OverrideAction.FORCE:
        return None
    reach = read_reach(
        scope=OverrideScope.DEVICE,
        target=device.external_id,
        starts_at=now,
        ends_at=form.cleaned_data["ends_at"],
    )
    return form if reach.commitments else None
