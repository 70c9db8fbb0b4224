"""A bare Django view that stores the raw body and nothing else."""

from __future__ import annotations

from uuid import uuid4

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from dispatch.models import DispatchNotification


@csrf_exempt
def store(request: HttpRequest) -> JsonResponse:
    row = DispatchNotification.objects.create(
        received_at=timezone.now(), body=request.body, sha256=uuid4().hex, status="RECORDED"
    )
    return JsonResponse({"id": row.pk}, status=202)


urlpatterns = [path("webhooks/leap/dispatch/", store)]
