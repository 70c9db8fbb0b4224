"""What an operator does to an event from its page."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from dispatch.models import DispatchEvent, Doubt
from dispatch.planning import request_plan
from dispatch.settling import DoubtOvertaken, keep_held, take_doubted


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def replan(request: HttpRequest, event_id: int) -> HttpResponse:
    """Have the event's devices decided anew."""
    if not DispatchEvent.objects.filter(pk=event_id).exists():
        raise Http404
    request_plan(event_ids=[event_id], now=timezone.now())
    messages.success(request, "Planning again. Only devices whose schedule differs get a new one.")
    return redirect("dispatch:event-detail", event_id=event_id)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def settle(request: HttpRequest, doubt_id: int) -> HttpResponse:
    """Settle a doubt by the operator's word: keep what is held, or take what the body says."""
    event_id = get_object_or_404(Doubt, pk=doubt_id).event_id
    by, now = request.user.get_username(), timezone.now()
    try:
        if request.POST.get("verdict") == "take":
            take_doubted(doubt_id=doubt_id, by=by, now=now)
            messages.success(request, "Taken. The devices are planned anew.")
        else:
            keep_held(doubt_id=doubt_id, by=by, now=now)
            messages.success(request, "Confirmed. What was planned stays planned.")
    except DoubtOvertaken:
        messages.warning(request, "Nothing was changed: newer news or somebody else settled it first.")
    return redirect("dispatch:event-detail", event_id=event_id)
