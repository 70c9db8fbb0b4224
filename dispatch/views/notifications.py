"""What Leap said, exactly: the list, one notification, its bytes, and Replay."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dispatch import recording
from dispatch.models import DispatchNotification
from dispatch.reading import notifications as reading
from dispatch.reading.zones import page_zone


@require_GET
def notification_list(request: HttpRequest) -> HttpResponse:
    """List notifications, newest first."""
    context = {"list": reading.read_list(request.GET), "zone": page_zone(request)}
    return render(request, "dispatch/notifications.html", context)


@require_GET
def notification_detail(request: HttpRequest, notification_id: int) -> HttpResponse:
    """Show one notification with what each timeslot led to."""
    notification = get_object_or_404(DispatchNotification, pk=notification_id)
    detail = reading.read_detail(notification, page_number=request.GET.get("page", ""))
    context = {"detail": detail, "zone": page_zone(request)}
    return render(request, "dispatch/notification.html", context)


@require_GET
@permission_required("dispatch.administer", raise_exception=True)
def notification_body(request: HttpRequest, notification_id: int) -> HttpResponse:
    """Hand out the bytes as they came, never as something a browser would show or run."""
    notification = get_object_or_404(DispatchNotification, pk=notification_id)
    response = HttpResponse(bytes(notification.body), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="notification-{notification.pk}.json"'
    return response


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def replay(request: HttpRequest, notification_id: int) -> HttpResponse:
    """Record the notification again; what it already led to stays as it is."""
    get_object_or_404(DispatchNotification.objects.only("pk"), pk=notification_id)
    outcome = recording.replay_notification(notification_id=notification_id, now=timezone.now())
    messages.info(request, outcome)
    return redirect("dispatch:notification-detail", notification_id)
