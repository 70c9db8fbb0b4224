"""What was sent to devices, and Retry."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from devices import commanding
from devices.models import Command
from dispatch.reading.commands import COMMAND_COLUMNS, command_cells, export_rows, read_list
from dispatch.reading.listing import PAGE_SIZE
from dispatch.reading.words import counted
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file
from dispatch.views.way_back import back_to


@require_GET
def command_list(request: HttpRequest) -> HttpResponse:
    """List commands, newest first, each with its attempts; a refresh is answered with the rows alone."""
    now, zone = timezone.now(), page_zone(request)
    context = {"list": read_list(request.GET, now=now, zone=zone), "zone": zone, "now": now}
    template = "dispatch/commands.html"
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx's middleware
        template += "#commands"
    return render(request, template, context)


@require_GET
def command_export(request: HttpRequest) -> HttpResponse:
    """Write the commands that the list shows as a file, all pages of them."""
    rows = export_rows(request.GET, now=timezone.now(), zone=page_zone(request))
    return csv_file("commands.csv", COMMAND_COLUMNS, (command_cells(row) for row in rows))


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def retry(request: HttpRequest, command_id: int) -> HttpResponse:
    """Try a command again now."""
    command = get_object_or_404(Command.objects.select_related("device"), pk=command_id)
    try:
        commanding.retry_command(command_id=command.pk, now=timezone.now())
    except commanding.RetryRefused as refused:
        messages.warning(request, f"Not retried. {refused}")
    else:
        messages.success(request, f"{command.device} is tried again within a few seconds.")
    return back_to(request, otherwise=reverse("dispatch:commands"))


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def retry_all(request: HttpRequest) -> HttpResponse:
    """Try the commands that the form names again now; those that no longer may are passed over."""
    given = request.POST.getlist("command")[:PAGE_SIZE]
    asked = {int(each) for each in given if each.isascii() and each.isdecimal() and len(each) <= 18}
    tried = commanding.retry_commands(command_ids=asked, now=timezone.now())
    left = len(asked) - tried
    if tried:
        messages.success(request, f"{counted(tried, one='command')} tried again within seconds.")
    if left:
        messages.warning(
            request,
            f"{counted(left, one='command')} left as found: taken, replaced or past the end by now, "
            "or kept still by a hold.",
        )
    if not asked:
        messages.warning(request, "Nothing was chosen, so nothing was tried.")
    return back_to(request, otherwise=reverse("dispatch:commands"))
