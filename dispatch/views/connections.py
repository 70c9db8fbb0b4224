"""Leap Connect: links for customers, and where each of them stands."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from dispatch.reading import connections as reading
from dispatch.reading.words import counted
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file
from dispatch.views.onboarding_forms import WISH_COLUMNS, LinkForm, LinksForm
from meters.connecting import Wish, make_links
from meters.onboarding_models import Connection

EXPORT_COLUMNS = (
    "refId",
    "customer_name",
    "region",
    "utilities",
    "stands",
    "since",
    "remind",
    "link",
    "meter_ids",
)


@require_GET
def connection_list(request: HttpRequest) -> HttpResponse:
    """List customers in Leap Connect."""
    context = {"list": reading.read_list(request.GET, now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/connections.html", context)


@require_GET
def connection_detail(request: HttpRequest, connection_id: int) -> HttpResponse:
    """Show one customer's story."""
    try:
        detail = reading.read_connection(connection_id, now=timezone.now())
    except Connection.DoesNotExist as error:
        raise Http404("There is no such connection.") from error
    context = {"detail": detail, "zone": page_zone(request)}
    return render(request, "dispatch/connection.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.operate", raise_exception=True)
def connection_add(request: HttpRequest) -> HttpResponse:
    """Make links, one by form or many by file; all of them or none."""
    one, many = LinkForm(), LinksForm()
    if request.method == "POST" and "many" in request.POST:
        many = LinksForm(request.POST, request.FILES)
        if many.is_valid():
            return _make(request, many.cleaned_data["wishes"])
    elif request.method == "POST":
        one = LinkForm(request.POST)
        if one.is_valid():
            return _make(request, [one.wish])
    context = {
        "one": one,
        "many": many,
        "columns": WISH_COLUMNS,
        "has_url": bool(settings.LEAP_CONNECT_URL),
    }
    status = 422 if one.errors or many.errors else 200
    return render(request, "dispatch/connection_add.html", context, status=status)


def _make(request: HttpRequest, wishes: list[Wish]) -> HttpResponse:
    made, known = make_links(wishes, made_by=request.user.get_username(), now=timezone.now())
    words = [counted(made, one="link") + " made"] if made else []
    words += [f"{counted(known, one='refId')} known before: brought up to date"] if known else []
    messages.success(request, f"{'; '.join(words)}. Send each customer the own link.")
    if len(wishes) == 1:
        one = Connection.objects.get(partner_reference=wishes[0].reference)
        return redirect("dispatch:connection", one.pk)
    return redirect("dispatch:connections")


@require_GET
def connection_export(request: HttpRequest) -> HttpResponse:
    """Write the connections that the list shows as a file, each with its link."""
    return csv_file("connections.csv", EXPORT_COLUMNS, reading.export_rows(request.GET, now=timezone.now()))
