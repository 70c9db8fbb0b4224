"""What an operator does to an event from its page."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from dispatch.models import DispatchEvent
from dispatch.planning import request_plan


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def replan(request: HttpRequest, event_id: int) -> HttpResponse:
    """Have the event's devices decided anew."""
    if not DispatchEvent.objects.filter(pk=event_id).exists():
        raise Http404
    request_plan(event_ids=[event_id], now=timezone.now())
    messages.success(request, "Planning again. Only devices whose schedule differs get a new one.")
    return redirect("dispatch:event-detail", event_id=event_id)
