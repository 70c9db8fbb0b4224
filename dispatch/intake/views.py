"""Where Leap posts its dispatches: authenticate, store, answer. Everything else happens after the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.decorators import method_decorator
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.domain import belief
from dispatch.intake.authentication import WebhookKeyAuthentication
from dispatch.intake.body import BodyRefused, TooLarge, inflate, read_body
from dispatch.intake.document import NotADocument, read_document
from dispatch.intake.payloads import is_anything_usable, level_of, problem_of, read_timeslots
from dispatch.models import ItemOutcome, NotificationItem, NotificationStatus, Source
from dispatch.receiving import Answer, Receipt, count_refusal, receive

logger = logging.getLogger(__name__)

# Of a larger body the items are left to recording: the answer must not wait for them.
_MOST_ITEMS_AT_THE_DOOR = 500
_STATUS_CODES = {
    Answer.ACCEPTED: 202,
    Answer.DUPLICATE: 200,
    Answer.QUARANTINED: 202,
    Answer.REJECTED: 400,
}
_RETRY_AFTER_SECONDS = "30"


@method_decorator(login_not_required, name="dispatch")
class DispatchWebhook(APIView):
    """Takes a dispatch notification, group or meter level, and answers once its bytes are durable."""

    authentication_classes = [WebhookKeyAuthentication]
    permission_classes = []
    throttle_classes = []
    renderer_classes = [JSONRenderer]
    http_method_names = ["post"]
    schema = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:  # noqa: FBT001, FBT002 - DRF's signature
        """Answer JSON whatever is asked for: a delivery is never refused for its Accept header."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        if request.method != "POST":
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        now = timezone.now()
        try:
            return self._take(request._request, now=now)
        except (DatabaseError, InterfaceError):
            logger.exception("A delivery could not be stored")
            headers = {"Retry-After": _RETRY_AFTER_SECONDS}
            return Response({"status": "unavailable"}, status=503, headers=headers)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a wrong key with 401 and count it; nothing else of the delivery is kept."""
        if isinstance(exc, MethodNotAllowed):
            return Response({"status": "rejected"}, status=405)
        if isinstance(exc, APIException) and exc.status_code == 401:
            _count("key", now=timezone.now())
            return Response({"status": "rejected"}, status=401, headers={"WWW-Authenticate": "ApiKey"})
        return super().handle_exception(exc)

    def _take(self, request: HttpRequest, *, now: datetime) -> Response:
        sent = b""
        try:
            sent = read_body(request)
            body = inflate(sent, encoding=request.headers.get("Content-Encoding", "").strip().lower())
            document = read_document(body)
        except TooLarge as refusal:
            return _refuse(refusal, refusal.partial, code=413, request=request, now=now)
        except (BodyRefused, NotADocument) as refusal:
            return _refuse(refusal, sent, code=400, request=request, now=now)
        take = partial(
            receive,
            body=body,
            source=Source.WEBHOOK,
            received_at=now,
            level=level_of(document),
            headers=redacted_headers(request),
        )
        if is_anything_usable(document, now=now):
            return _answer(take())
        return _answer(_put_aside(document, take, now=now))


def _put_aside(document: dict[str, Any], take: Callable[..., Receipt], *, now: datetime) -> Receipt:
    """Store a body in which nothing can be used, with the reason for each timeslot."""
    slots = read_timeslots(document, source=belief.Source.WEBHOOK, now=now)
    items = [
        NotificationItem(
            position=position,
            level=slot.level,
            leap_event_id=slot.leap_event_id,
            outcome=ItemOutcome.QUARANTINED,
            reason=slot.problem,
        )
        for position, slot in enumerate(slots)
    ]
    if len(items) <= _MOST_ITEMS_AT_THE_DOOR:
        return take(status=NotificationStatus.QUARANTINED, reason=problem_of(slots), items=items)
    receipt = take()
    return replace(receipt, answer=Answer.QUARANTINED) if receipt.answer is Answer.ACCEPTED else receipt


def redacted_headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers worth keeping; a list of what may stay, so that no secret can slip through."""
    kept = ("Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "User-Agent", "Host")
    return {
        name.lower(): request.headers[name][:256].encode("ascii", "backslashreplace").decode()
        for name in kept
        if name in request.headers
    }


def _answer(receipt: Receipt) -> Response:
    return Response(
        {"id": receipt.notification_id, "status": receipt.answer.value},
        status=_STATUS_CODES[receipt.answer],
    )


def _refuse(refusal: Exception, sent: bytes, *, code: int, request: HttpRequest, now: datetime) -> Response:
    """Keep what was sent with the right key, as far as there is any, and say why it was refused."""
    reason = str(refusal)
    if sent:
        receive(
            body=sent,
            source=Source.WEBHOOK,
            received_at=now,
            headers=redacted_headers(request),
            status=NotificationStatus.REJECTED,
            reason=reason,
        )
    else:
        _count("too large" if code == 413 else "no body", now=now)
    logger.warning("A delivery with the right key was refused: %s", reason)
    return Response({"status": "rejected", "reason": reason}, status=code)


def _count(cause: str, *, now: datetime) -> None:
    try:
        count_refusal(cause, at=now)
    except (DatabaseError, InterfaceError):
        logger.exception("A refused delivery could not be counted")
