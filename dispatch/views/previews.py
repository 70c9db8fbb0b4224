"""Paste a dispatch body, see the plan, send nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from devices.domain.schedule import Mode, Segment
from devices.models import Device
from dispatch.intake.document import NotADocument
from dispatch.preview import PlanPreview, preview
from dispatch.reading.examples import example_body
from dispatch.reading.plans import device_rows
from dispatch.reading.zones import page_zone

DEVICES_SHOWN = 200
LARGEST = 2 * 1024 * 1024  # characters; a body posted to the webhook may be larger


class BodyForm(forms.Form):
    """A body as Leap would post it."""

    body = forms.CharField(
        label="Dispatch body",
        strip=False,
        max_length=LARGEST,
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "false"}),
        help_text="JSON with meter_dispatches or group_dispatches, as Leap posts it.",
        error_messages={"required": "Paste a dispatch body first."},
    )


@require_http_methods(["GET", "POST"])
def preview_page(request: HttpRequest) -> HttpResponse:
    """Plan a pasted body beside everything that is live, and show it. Nothing is stored, nothing is sent."""
    now = timezone.now()
    if request.method == "GET":
        return _show(
            request, BodyForm(initial={"body": example_body(now=now) if "example" in request.GET else ""})
        )
    form = BodyForm(request.POST)
    if not form.is_valid():
        return _show(request, form)
    try:
        result = preview(body=form.cleaned_data["body"].encode(), now=now)
    except NotADocument as refused:
        form.add_error("body", str(refused))
        return _show(request, form)
    return _show(request, form, result=result)


def _show(request: HttpRequest, form: BodyForm, *, result: PlanPreview | None = None) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "zone": page_zone(request)}
    if result is not None:
        context |= {
            "result": result,
            "rows": device_rows(result.devices[:DEVICES_SHOWN]),
            "hidden": max(len(result.devices) - DEVICES_SHOWN, 0),
            "moving": sum(1 for device in result.devices if _moves(device.segments)),
            "peak_kw": _peak_kw(result),
        }
    return render(request, "dispatch/preview.html", context, status=422 if form.errors else 200)


def _moves(segments: tuple[Segment, ...]) -> bool:
    return any(segment.mode is not Mode.IDLE for segment in segments)


def _peak_kw(result: PlanPreview) -> Decimal:
    """Sum the most that each device would do; a maximum counts as its rated power."""
    rated = dict(
        Device.objects.filter(pk__in=[d.device_id for d in result.devices]).values_list(
            "pk", "rated_power_kw"
        )
    )
    peaks = [
        max((rated[device.device_id] if s.target_kw is None else s.target_kw) for s in moving)
        for device in result.devices
        if (moving := [s for s in device.segments if s.mode is not Mode.IDLE])
    ]
    return sum(peaks, Decimal(0))
