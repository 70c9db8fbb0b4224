"""What Leap's webhooks have in common: the key, the body, the answers. What a body means they know."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
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

from dispatch.intake.authentication import WebhookKeyAuthentication
from dispatch.intake.body import BodyRefused, TooLarge, inflate, read_body
from dispatch.intake.document import NotADocument, read_document
from dispatch.intake.key_uses import note_use
from dispatch.receiving import Answer, count_refusal

logger = logging.getLogger(__name__)

_STATUS_CODES = {
    Answer.ACCEPTED: 202,
    Answer.DUPLICATE: 200,
    Answer.QUARANTINED: 202,
    Answer.REJECTED: 400,
}
_RETRY_AFTER_SECONDS = "30"


@method_decorator(login_not_required, name="dispatch")
class Door(APIView):
    """Admits Leap, reads one JSON document to its end, has it stored, and answers once that is durable."""

    authentication_classes = [WebhookKeyAuthentication]
    permission_classes = []
    throttle_classes = []
    renderer_classes = [JSONRenderer]
    http_method_names = ["post"]
    schema = None
    door: str

    def store(
        self, document: dict[str, Any], *, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> tuple[int, Answer]:
        """Store a document, and return the id of its row and what to answer."""
        raise NotImplementedError

    def store_refused(self, sent: bytes, *, reason: str, headers: Mapping[str, str], now: datetime) -> None:
        """Keep what is no document and was sent with the right key."""
        raise NotImplementedError

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
            answer = self._take(request._request, now=now)
        except (DatabaseError, InterfaceError):
            logger.exception("A delivery could not be stored")
            headers = {"Retry-After": _RETRY_AFTER_SECONDS}
            return Response({"status": "unavailable"}, status=503, headers=headers)
        note_use(str(request.auth), door=self.door, now=now)
        return answer

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
        headers = redacted_headers(request)
        try:
            sent = read_body(request)
            body = inflate(sent, encoding=request.headers.get("Content-Encoding", "").strip().lower())
            document = read_document(body)
        except TooLarge as refusal:
            return self._refuse(refusal, refusal.partial, code=413, headers=headers, now=now)
        except (BodyRefused, NotADocument) as refusal:
            return self._refuse(refusal, sent, code=400, headers=headers, now=now)
        row_id, answer = self.store(document, body=body, headers=headers, now=now)
        return Response({"id": row_id, "status": answer.value}, status=_STATUS_CODES[answer])

    def _refuse(
        self, refusal: Exception, sent: bytes, *, code: int, headers: Mapping[str, str], now: datetime
    ) -> Response:
        """Keep what was sent with the right key, as far as there is any, and say why it was refused."""
        reason = str(refusal)
        if sent:
            self.store_refused(sent, reason=reason, headers=headers, now=now)
        else:
            _count("too large" if code == 413 else "no body", now=now)
        logger.warning("A delivery with the right key was refused: %s", reason)
        return Response({"status": "rejected", "reason": reason}, status=code)


def redacted_headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers worth keeping; a list of what may stay, so that no secret can slip through."""
    kept = ("Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "User-Agent", "Host")
    return {
        name.lower(): request.headers[name][:256].encode("ascii", "backslashreplace").decode()
        for name in kept
        if name in request.headers
    }


def _count(cause: str, *, now: datetime) -> None:
    try:
        count_refusal(cause, at=now)
    except (DatabaseError, InterfaceError):
        logger.exception("A refused delivery could not be counted")
