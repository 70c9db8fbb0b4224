"""Devices found at the broker: dismissing one. Mapping is what it is for every device."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from devices.discovering import dismiss
from devices.models import Device


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def dismiss_found(request: HttpRequest, device_id: int) -> HttpResponse:
    """Hear no more of a found device; the admin's log of the device says who did it."""
    device = get_object_or_404(Device, pk=device_id)
    if dismiss(device_id=device.pk, now=timezone.now()):
        LogEntry.objects.log_actions(
            request.user.pk or 0, [device], CHANGE, "Found at the broker, and dismissed.", single_object=True
        )
        messages.success(request, f"{device} is dismissed. It stays without a meter, so nothing moves it.")
    else:
        messages.error(request, f"{device} does not wait any more: it was mapped or dismissed before.")
    return redirect("dispatch:devices")
