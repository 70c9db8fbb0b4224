"""Overrides: the list, adding one after seeing whom it reaches, ending one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dispatch import overrides
from dispatch.models import Override, OverrideAction, OverrideScope
from dispatch.reading import overrides as reading
from dispatch.reading import words
from dispatch.reading.zones import page_zone, zone_name, zone_named, zone_words
from dispatch.views.override_forms import ACTION_HELP, OverrideForm
from dispatch.views.way_back import back_to

DONE = {
    OverrideAction.HOLD: "Held",
    OverrideAction.OPT_OUT: "Opted out",
    OverrideAction.FORCE: "Forced",
}
DEEDS = {OverrideAction.HOLD: "Hold", OverrideAction.OPT_OUT: "Opt out", OverrideAction.FORCE: "Force"}
UNDO = {
    OverrideAction.HOLD: "End hold",
    OverrideAction.OPT_OUT: "End opt-out",
    OverrideAction.FORCE: "End force",
}
USUAL_LENGTH = timedelta(hours=2)


@require_GET
def override_list(request: HttpRequest) -> HttpResponse:
    """List overrides: running, coming, over."""
    context = {"list": reading.read_list(request.GET, now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/overrides.html", context)


@require_GET
def override_detail(request: HttpRequest, override_id: int) -> HttpResponse:
    """Show one override with its End button."""
    now = timezone.now()
    override = get_object_or_404(Override, pk=override_id)
    reach = reading.read_reach(
        scope=override.scope, target=override.target, starts_at=override.starts_at, ends_at=override.ends_at
    )
    row = reading.rows_of([override], now=now)[0]
    context = {"row": row, "reach": reach, "zone": page_zone(request), "now": now}
    return render(request, "dispatch/override.html", context)


def usual_end(now: datetime) -> datetime:
    """Offer an end: two hours from the next full hour."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) + USUAL_LENGTH


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.operate", raise_exception=True)
def override_add(request: HttpRequest) -> HttpResponse:
    """Ask what to do, show whom it reaches, and add it; the whole fleet is asked about twice."""
    now = timezone.now()
    zone = zone_named(request.POST.get("zone", "")) or page_zone(request)
    with timezone.override(zone):
        if request.method == "GET":
            initial = _initial(request.GET, now=now)
            return _ask(request, OverrideForm(initial=initial, now=now), zone=zone)
        form = OverrideForm(request.POST, now=now)
        if not form.is_valid() or "change" in request.POST:
            return _ask(request, form, zone=zone)
        stage = request.POST.get("stage", "")
        is_fleet = form.cleaned_data["scope"] == OverrideScope.FLEET
        if stage == "again" or (stage == "confirm" and not is_fleet):
            return _add(request, form, zone=zone, now=now)
        return confirm(request, form, zone=zone, now=now, is_second=stage == "confirm")


def _initial(query: QueryDict, *, now: datetime) -> dict[str, Any]:
    """Fill in what the link says: `scope`, `target`, and `until` in seconds since 1970."""
    until = query.get("until", "")
    is_time = until.isascii() and until.isdecimal() and len(until) <= 11
    end = datetime.fromtimestamp(int(until), tz=UTC) if is_time else usual_end(now)
    return {"ends_at": end, **{name: query[name] for name in ("scope", "target") if name in query}}


def _ask(request: HttpRequest, form: OverrideForm, *, zone: tzinfo) -> HttpResponse:
    context = {
        "form": form,
        "zone": zone,
        "zone_name": zone_name(zone),
        "zone_words": zone_words(zone),
        "action_help": ACTION_HELP,
        "groups": reading.groups_offered(),
    }
    return render(
        request, "dispatch/override_add.html", context, status=422 if form.is_bound and form.errors else 200
    )


def confirm(
    request: HttpRequest, form: OverrideForm, *, zone: tzinfo, now: datetime, is_second: bool = False
) -> HttpResponse:
    """Show whom it reaches and what is given up; the button repeats the deed. The form is a valid one."""
    chosen = form.cleaned_data
    starts_at = chosen["starts_at"] or now
    reach = reading.read_reach(
        scope=chosen["scope"], target=chosen["target"], starts_at=starts_at, ends_at=chosen["ends_at"]
    )
    needs_second = chosen["scope"] == OverrideScope.FLEET
    action = OverrideAction(chosen["action"])
    context = {
        "form": form,
        "zone": zone,
        "zone_name": zone_name(zone),
        "reach": reach,
        "starts_at": starts_at,
        "ends_at": chosen["ends_at"],
        "is_force": action == OverrideAction.FORCE,
        "scope": OverrideScope(chosen["scope"]).label,
        "target_name": reading.name_of(scope=chosen["scope"], target=chosen["target"]),
        "is_second": is_second,
        "stage": "again" if is_second else "confirm",
        "deed": DEEDS[action],
        "button": "Continue" if needs_second and not is_second else f"{DEEDS[action]} {_devices(reach)}",
        "must_confirm": action == OverrideAction.OPT_OUT
        and bool(reach.commitments)
        and not chosen["confirm_commitment"],
    }
    return render(request, "dispatch/override_confirm.html", context)


def _devices(reach: reading.Reach) -> str:
    return words.counted(reach.devices, one="device")


def _add(request: HttpRequest, form: OverrideForm, *, zone: tzinfo, now: datetime) -> HttpResponse:
    chosen = form.cleaned_data
    try:
        override = overrides.add_override(
            **override_arguments(chosen),
            scope=chosen["scope"],
            target=chosen["target"],
            starts_at=chosen["starts_at"] or now,
            created_by=request.user.get_username(),
            now=now,
        )
    except overrides.OverrideRefused as refused:
        form.add_error(None, str(refused))
        return _ask(request, form, zone=zone)
    say_done(request, override, zone=zone, now=now)
    return redirect("dispatch:overrides")


def override_arguments(chosen: dict[str, Any]) -> dict[str, Any]:
    """Take from a cleaned form what every override needs."""
    return {
        "action": chosen["action"],
        "ends_at": chosen["ends_at"],
        "target_kw": chosen["target_kw"] if chosen["action"] == OverrideAction.FORCE else None,
        "reason": chosen["reason"],
        "confirm_commitment": chosen["confirm_commitment"],
    }


def say_done(request: HttpRequest, override: Override, *, zone: tzinfo, now: datetime) -> None:
    """Say what was done, with the button that takes it back at once."""
    action = OverrideAction(override.action)
    until = words.day_clock(override.ends_at, now=now, zone=zone)
    text = (
        '<b>{} until {}.</b> Devices follow within seconds. <a href="{}">Look at it</a>'
        '<form method="post" action="{}"><input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<button class="link-button">{}</button></form>'
    )
    look, end = (
        reverse(f"dispatch:{name}", args=[override.pk]) for name in ("override-detail", "override-end")
    )
    messages.success(
        request, format_html(text, DONE[action], until, look, end, get_token(request), UNDO[action])
    )


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def override_end(request: HttpRequest, override_id: int) -> HttpResponse:
    """End an override now; its devices return to the plan."""
    now = timezone.now()
    override = get_object_or_404(Override, pk=override_id)
    try:
        overrides.end_override(override_id=override.pk, now=now, by=request.user.get_username())
    except overrides.OverrideRefused as refused:
        messages.warning(request, f"{refused} Nothing was changed.")
    else:
        text = '<b>Ended.</b> Devices return to the plan within seconds. <a href="{}">Add it again</a>'
        again = f"{reverse('dispatch:override-add')}?scope={override.scope}&target={override.target}"
        messages.success(request, format_html(text, again))
    return back_to(request, otherwise=reverse("dispatch:overrides"))
