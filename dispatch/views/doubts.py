"""An operator settles what Leap's search has not."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from dispatch import settling
from dispatch.models import DispatchEvent, Doubt


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def keep(request: HttpRequest, doubt_id: int) -> HttpResponse:
    """Confirm what is held."""
    return _settle(request, doubt_id, settling.keep_held, done="Kept. What is held counts as confirmed.")


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def take(request: HttpRequest, doubt_id: int) -> HttpResponse:
    """Make the other of the two the current state."""
    done = "Taken, as a revision by you. Its devices are being planned again."
    return _settle(request, doubt_id, settling.take_doubted, done=done)


def _settle(
    request: HttpRequest, doubt_id: int, settle: Callable[..., DispatchEvent], *, done: str
) -> HttpResponse:
    doubt = get_object_or_404(Doubt, pk=doubt_id)
    try:
        settle(doubt_id=doubt.pk, by=request.user.get_username(), now=timezone.now())
        messages.success(request, done)
    except settling.DoubtOvertaken:
        messages.warning(request, "Settled already, by Leap's search or somebody else. Nothing was changed.")
    return redirect("dispatch:event-detail", doubt.event_id)
