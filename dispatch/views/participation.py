"""Participation: what was asked of Leap about who takes part, and asking it after seeing what comes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dispatch import taking_part
from dispatch.reading import meter_picks
from dispatch.reading import participation as reading
from dispatch.reading.participation_preview import Preview, read_preview
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file
from dispatch.views.participation_forms import KINDS, ParticipationForm
from meters.participating import withdraw
from meters.participation_models import ParticipationItem, ParticipationOutcome, ParticipationRequest

CHANGED = "Something changed since you looked; here is what it would come to now."


@require_GET
def participation_list(request: HttpRequest) -> HttpResponse:
    """List requests, or the idle periods that Leap lists."""
    context = {"list": reading.read_list(request.GET, now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/participation.html", context)


@require_GET
def participation_detail(request: HttpRequest, request_id: int) -> HttpResponse:
    """Show one request with what came of each meter."""
    try:
        detail = reading.read_request(request_id, request.GET, now=timezone.now())
    except ParticipationRequest.DoesNotExist as error:
        raise Http404("There is no such request.") from error
    context = {"detail": detail, "zone": page_zone(request)}
    return render(request, "dispatch/participation_request.html", context)


@require_GET
def participation_export(request: HttpRequest, request_id: int) -> HttpResponse:
    """Write what came of every meter of a request as a file."""
    asked = get_object_or_404(ParticipationRequest, pk=request_id)
    return csv_file(f"participation-{asked.pk}.csv", reading.COLUMNS, reading.export_cells(asked))


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def participation_withdraw(request: HttpRequest, request_id: int) -> HttpResponse:
    """Take back a request that Leap has not heard of."""
    asked = get_object_or_404(ParticipationRequest, pk=request_id)
    if withdraw(request_id=asked.pk, now=timezone.now()):
        messages.success(request, "Withdrawn. Leap was told nothing; an opt-out made with it still stands.")
    else:
        messages.warning(request, "It is too late to withdraw it: Leap may have heard of it.")
    return redirect("dispatch:participation-request", asked.pk)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.operate", raise_exception=True)
def participation_add(request: HttpRequest) -> HttpResponse:
    """Ask what is wanted, show what it would come to, and have Leap told."""
    now = timezone.now()
    if request.method == "GET":
        return _ask(request, ParticipationForm(initial=_initial(request, now=now), now=now))
    form = ParticipationForm(request.POST, request.FILES, now=now)
    if not form.is_valid() or "change" in request.POST:
        return _ask(request, form)
    checked = taking_part.check(asked=form.asked(), meter_ids=form.cleaned_data["picked"], now=now)
    if checked.fields:
        for name, sentence in checked.fields.items():
            form.add_error(name, sentence)
        return _ask(request, form)
    preview = read_preview(checked, now=now)
    if request.POST.get("stage") != "send":
        return _show(request, form, preview)
    return _send(request, form, checked, preview, now=now)


def _initial(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Fill in what the link says: meters, a list's filters, or a request to undo or to send again."""
    given = request.GET
    initial: dict[str, Any] = {
        name: given[name] for name in ("kind", "starts_on", "ends_on") if name in given
    }
    picked = [*given.getlist("meter")[: taking_part.MOST_METERS], *meter_picks.of_list(given, now=now)]
    number = given.get("again") or given.get("undo") or ""
    if number.isascii() and number.isdecimal() and len(number) < 19:
        before = ParticipationRequest.objects.filter(pk=int(number)).first()
        if before is not None:
            initial |= _from_request(before, is_undo="undo" in given)
            picked = _meters_of(before, is_undo="undo" in given)
    return {**initial, "meter_ids": "\n".join(picked)} if picked else initial


def _from_request(before: ParticipationRequest, *, is_undo: bool) -> dict[str, Any]:
    kind = reading.UNDO[before.kind][0] if is_undo else before.kind  # type: ignore[index]  # a stored code
    return {
        "kind": kind,
        "starts_on": before.starts_on,
        "ends_on": before.ends_on,
        "reason": "" if is_undo else before.reason,
    }


def _meters_of(before: ParticipationRequest, *, is_undo: bool) -> list[str]:
    """Return whom a request reached, to undo it, or whom it did not, to send it again."""
    items = ParticipationItem.objects.filter(request=before)
    accepted = ParticipationOutcome.ACCEPTED
    items = items.filter(outcome=accepted) if is_undo else items.exclude(outcome=accepted)
    return list(items.order_by("pk").values_list("meter__meter_id", flat=True))


def _ask(request: HttpRequest, form: ParticipationForm) -> HttpResponse:
    context = {
        "form": form,
        "kinds": KINDS,
        "has_key": bool(settings.LEAP_API_KEY),
        "most": taking_part.MOST_METERS,
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "dispatch/participation_add.html", context, status=status)


def _show(
    request: HttpRequest, form: ParticipationForm, preview: Preview, *, problem: str = ""
) -> HttpResponse:
    """Show what it would come to; the button sends it. The form is a valid one."""
    context = {
        "form": form,
        "preview": preview,
        "problem": problem,
        "meter_ids": "\n".join(form.cleaned_data["picked"]),
        "must_confirm": preview.is_gated_kind
        and form.cleaned_data["is_gated"]
        and bool(preview.commitments)
        and not form.cleaned_data["confirm_commitment"],
        "zone": page_zone(request),
        "has_key": bool(settings.LEAP_API_KEY),
    }
    return render(request, "dispatch/participation_preview.html", context, status=422 if problem else 200)


def _send(
    request: HttpRequest,
    form: ParticipationForm,
    checked: taking_part.Checked,
    preview: Preview,
    *,
    now: datetime,
) -> HttpResponse:
    """Store what was seen; anything else is shown again."""
    if request.POST.get("seen") != preview.seen:
        return _show(request, form, preview, problem=CHANGED)
    typed = request.POST.get("count", "").replace(",", "").strip()
    if preview.is_for_good and typed != str(preview.count):
        return _show(request, form, preview, problem=f"Type {preview.count}, the number of meters, to go on.")
    try:
        stored = taking_part.ask(
            checked=checked,
            is_gated=form.cleaned_data["is_gated"],
            confirm_commitment=form.cleaned_data["confirm_commitment"],
            by=request.user.get_username(),
            now=now,
        )
    except taking_part.ParticipationRefused as refused:
        return _show(request, form, preview, problem=str(refused))
    messages.success(request, "Leap is being told. What comes of each meter appears on this page.")
    return redirect("dispatch:participation-request", stored.pk)
