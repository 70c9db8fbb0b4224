"""Draw an event, change one, hold someone or paste a body; see the plan before and after; send nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from dispatch.intake.document import NotADocument
from dispatch.models import DispatchNotification, Override, OverrideAction, OverrideScope
from dispatch.preview import PlanPreview, TooManyTimeslots, preview, preview_override
from dispatch.reading.comparison import read_comparison
from dispatch.reading.examples import example_body
from dispatch.reading.whatif import offer_events, offer_names, offer_programs, read_day
from dispatch.reading.zones import page_zone, zone_name, zone_words
from dispatch.views.preview_forms import LARGEST, BodyForm, ChangeForm, DrawForm, HoldForm, WindowForm
from dispatch.whatif import Change, Drawn, WhatIfRefused, changed_body, drawn_body

WAYS = {"draw": "Draw an event", "change": "Change an event", "hold": "Hold", "paste": "Paste a body"}
USUAL_LENGTH = timedelta(hours=2)


@require_http_methods(["GET", "POST"])
def preview_page(request: HttpRequest) -> HttpResponse:
    """Plan what is tried beside everything that is live. Nothing is stored, nothing is sent.

    `?way=` draw, change, hold or paste. All but a pasted body stand in the address, so that a link shows the
    same again; `?go=` says that the form was filled in.
    """
    if request.method == "POST":
        return _pasted(request, request.POST)
    if "example" in request.GET or "notification" in request.GET:
        return _pasted(request, None)
    way = request.GET.get("way", "draw")
    now, zone = timezone.now(), page_zone(request)
    with timezone.override(zone):
        match way:
            case "paste":
                return _show(request, BodyForm(), way=way)
            case "change":
                return _changed(request, zone=zone, now=now)
            case "hold":
                return _windowed(request, HoldForm, _held, way=way, zone=zone, now=now)
            case _:
                return _windowed(request, DrawForm, _drawn, way="draw", zone=zone, now=now)


def _pasted(request: HttpRequest, posted: Any) -> HttpResponse:
    """Plan a pasted body, or one that arrived; or offer an example."""
    now = timezone.now()
    if posted is None and "example" in request.GET:
        return _show(request, BodyForm(initial={"body": example_body(now=now)}), way="paste")
    if posted is None:
        posted = {"body": _arrived(request.GET["notification"])}
    form = BodyForm(posted)
    if not form.is_valid():
        return _show(request, form, way="paste")
    try:
        result = preview(body=form.cleaned_data["body"].encode(), now=now)
    except (NotADocument, TooManyTimeslots) as refused:
        form.add_error("body", str(refused))
        return _show(request, form, way="paste")
    return _show(request, form, way="paste", result=result)


def _arrived(number: str) -> str:
    """Return the body of a notification; 404 when there is none."""
    known = DispatchNotification.objects.only("body")
    pk = int(number) if number.isascii() and number.isdecimal() and len(number) <= 18 else 0
    return bytes(get_object_or_404(known, pk=pk).body).decode(errors="replace")[: LARGEST + 1]


def _windowed(
    request: HttpRequest,
    kind: type[WindowForm],
    plan: Callable[[dict[str, Any], datetime], tuple[PlanPreview, str]],
    *,
    way: str,
    zone: tzinfo,
    now: datetime,
) -> HttpResponse:
    """Plan what a form with a window says, beside the day on which it lies."""
    is_redrawn = bool(request.htmx)  # type: ignore[attr-defined]  # set by django-htmx's middleware
    typed = request.GET if is_redrawn or "go" in request.GET else None
    form = kind(typed, initial=_usual(request, now=now, zone=zone), zone=zone, now=now)
    extra = _day(form, zone=zone, now=now)
    if is_redrawn:
        return render(request, "dispatch/preview.html#day", extra | {"way": way} | _times(request))
    if form.is_valid():
        try:
            extra["result"], extra["body"] = plan(form.cleaned_data, now)
        except WhatIfRefused as refused:
            form.add_error("who", str(refused))
    extra |= {"names": offer_names(), "programs": offer_programs()}
    return _show(request, form, way=way, **extra)


def _day(form: WindowForm, *, zone: tzinfo, now: datetime) -> dict[str, Any]:
    """Read the day that a form is about, as far as the form can be read."""
    drawn = form.drawn()
    chosen: dict[str, Any] = getattr(form, "cleaned_data", {})
    whom, day = chosen.get("whom"), chosen.get("date") or now.astimezone(zone).date()
    return {"whom": whom, "day": read_day(whom, day=day, drawn=drawn, zone=zone, now=now)}


def _usual(request: HttpRequest, *, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """Offer two hours from the next full hour but one; `?who=` may name someone."""
    start = (now.astimezone(zone) + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    return {
        "who": request.GET.get("who", ""),
        "date": start.date(),
        "start": time(start.hour),
        "end": (start + USUAL_LENGTH).time(),
    }


def _drawn(chosen: dict[str, Any], now: datetime) -> tuple[PlanPreview, str]:
    whom = chosen["whom"]
    drawn = Drawn(
        starts_at=chosen["starts_at"],
        ends_at=chosen["ends_at"],
        energy_kw=chosen["kw"],
        nomination_kw=chosen["nomination"],
        rank=chosen["rank"],
        is_voluntary=chosen["kind"] == "voluntary",
        cap=chosen["cap"],
        program=chosen["program"] or whom.program,
    )
    return _as_body(drawn_body(whom, drawn), now=now)


def _held(chosen: dict[str, Any], now: datetime) -> tuple[PlanPreview, str]:
    whom = chosen["whom"]
    hold = Override(
        pk=0,
        scope=whom.scope if whom else OverrideScope.FLEET,
        target=whom.target if whom else "",
        action=OverrideAction.HOLD,
        starts_at=max(chosen["starts_at"], now),
        ends_at=chosen["ends_at"],
        created_by="this what-if",
    )
    return preview_override(override=hold, now=now), ""


def _changed(request: HttpRequest, *, zone: tzinfo, now: datetime) -> HttpResponse:
    """Plan as if a stored event were changed."""
    offers = offer_events(now=now, zone=zone)
    is_asked = "go" in request.GET
    form = ChangeForm(request.GET if is_asked else None, offers=offers, now=now)
    if not is_asked:
        form.initial["event"] = form.home_of(request.GET.get("event", ""))
    extra: dict[str, Any] = {"is_empty": not offers}
    if is_asked and form.is_valid():
        chosen = form.cleaned_data
        body = changed_body(
            form.ids[chosen["event"]],
            Change(chosen["change"]),
            ends_at=chosen["ends_at"],
            energy_kw=chosen["kw"],
        )
        extra["result"], extra["body"] = _as_body(body, now=now)
    return _show(request, form, way="change", **extra)


def _as_body(body: dict[str, Any], *, now: datetime) -> tuple[PlanPreview, str]:
    """Plan a body, and write it for people to copy."""
    return preview(body=json.dumps(body).encode(), now=now), json.dumps(body, indent=2, ensure_ascii=False)


def _times(request: HttpRequest) -> dict[str, Any]:
    zone = page_zone(request)
    return {"zone": zone, "zone_name": zone_name(zone), "zone_words": zone_words(zone)}


def _show(
    request: HttpRequest,
    form: forms.Form,
    *,
    way: str,
    result: PlanPreview | None = None,
    **extra: Any,
) -> HttpResponse:
    context = {"form": form, "way": way, "ways": WAYS, "result": result, **_times(request), **extra}
    if result is not None:
        number = request.GET.get("page", "")
        context["compared"] = read_comparison(result, page=number, zone=context["zone"], now=timezone.now())
        context["address"] = "" if way == "paste" else request.build_absolute_uri()
    return render(request, "dispatch/preview.html", context, status=422 if form.errors else 200)
