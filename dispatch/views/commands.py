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
from dispatch.reading.commands import read_list
from dispatch.reading.zones import page_zone
from dispatch.views.way_back import back_to


@require_GET
def command_list(request: HttpRequest) -> HttpResponse:
    """List commands, newest first, each with its attempts."""
    context = {"list": read_list(request.GET, now=timezone.now()), "zone": page_zone(request)}
    return render(request, "dispatch/commands.html", context)


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
