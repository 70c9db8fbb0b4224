"""Whether the portal is alive and ready, from rows: signs of life, the queue, the searches' state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dispatch.models import PollState
from leapvpp.models import Heartbeat

WORKER = "worker"
COMMAND_WORKER = "command worker"
DISPATCHER = "dispatcher"
MQTT_LISTENER = "mqtt listener"
OCPP_SERVER = "ocpp server"
SILENT_AFTER = timedelta(seconds=30)
POLL_STALE_AFTER = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that must hold for the portal to be ready."""

    name: str
    detail: str
    is_good: bool = True


def note_heartbeat(*, name: str, now: datetime, detail: str = "") -> None:
    """Store a process's sign of life."""
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": now, "detail": detail})


def is_silent(name: str, *, now: datetime) -> bool:
    """Return whether a process has given no sign of life for too long, or never."""
    return not Heartbeat.objects.filter(name=name, beat_at__gte=now - SILENT_AFTER).exists()


def signs(*, now: datetime) -> list[Sign]:
    """Return every sign, good or bad.

    The database; a heartbeat within 30 seconds of both workers, dispatcher and, with MQTT_URL, the
    listener, with OCPP_LISTEN the central system; and, while Leap is polled, a good answer to every search
    within 180 seconds.
    """
    try:
        connection.ensure_connection()
        beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
        found = [Sign("database", "answers")]
        names = [WORKER, COMMAND_WORKER, DISPATCHER, *([MQTT_LISTENER] if settings.MQTT_URL else [])]
        names += [OCPP_SERVER] if settings.OCPP_LISTEN else []
        found += [_process(name, beats.get(name), now=now) for name in names]
        return found + list(_polls(now=now))
    except DatabaseError:
        return [Sign("database", "does not answer", is_good=False)]


def _process(name: str, beat_at: datetime | None, *, now: datetime) -> Sign:
    if beat_at is None:
        return Sign(name, "never seen", is_good=False)
    age = now - beat_at
    return Sign(name, f"seen {age.total_seconds():.0f} s ago", is_good=age <= SILENT_AFTER)


def _polls(*, now: datetime) -> Iterable[Sign]:
    if not settings.LEAP_API_KEY:
        return [Sign("poll", "off, no LEAP_API_KEY")]
    answers = list(PollState.objects.values_list("level", "answered_at").order_by("level"))
    if not answers:
        return [Sign("poll", "Leap has not answered yet", is_good=False)]
    return [_poll(level.lower(), answered_at, now=now) for level, answered_at in answers]


def _poll(level: str, answered_at: datetime | None, *, now: datetime) -> Sign:
    if answered_at is None:
        return Sign(f"poll {level}", "Leap has not answered yet", is_good=False)
    age = now - answered_at
    detail = f"answered {age.total_seconds():.0f} s ago"
    return Sign(f"poll {level}", detail, is_good=age <= POLL_STALE_AFTER)


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200: the web process is alive. Asks nothing of anybody."""
    return JsonResponse({"status": "alive"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if every sign is good, else 503; both list the signs."""
    found = signs(now=timezone.now())
    is_ready = all(sign.is_good for sign in found)
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": {sign.name: {"ok": sign.is_good, "detail": sign.detail} for sign in found},
    }
    answer = JsonResponse(body, status=200 if is_ready else 503)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # a 503 here is an answer, not an error
    return answer
