"""Changes: updates, early ends and cancellations since one last looked."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dispatch.models import ChangesSeen
from dispatch.reading.frame import seen_at
from dispatch.reading.moments import read_moment
from dispatch.reading.revisions import read_changes
from dispatch.reading.zones import page_zone


@require_GET
def changes(request: HttpRequest) -> HttpResponse:
    """Show what moved; looking alone marks nothing as seen."""
    now = timezone.now()
    found = read_changes(
        seen_at=seen_at(request.user, now=now),
        kind=request.GET.get("kind", "").upper(),
        scope="new" if request.GET.get("scope") == "new" else "week",
        page=request.GET.get("page"),
        now=now,
        zone=page_zone(request),
    )
    return render(request, "dispatch/changes.html", {"changes": found, "now": now})


@require_POST
def mark_seen(request: HttpRequest) -> HttpResponse:
    """Remember that the user has seen everything up to when the page was read; 400 when that is no time."""
    now = timezone.now()
    user: Any = request.user
    read_at = read_moment(request.POST.get("read_at", now.isoformat()), zone=page_zone(request))
    if read_at is None:
        raise BadRequest("read_at is no time.")
    ChangesSeen.objects.update_or_create(user=user, defaults={"seen_at": min(read_at, now)})
    messages.success(request, "Marked as seen. What comes from now on is new.")
    return redirect("dispatch:changes")
