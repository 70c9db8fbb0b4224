"""Errors of the API as RFC 9457 problem details, and of pages as pages.

Source: RFC 9457, "Problem Details for HTTP APIs", section 3.
"""

from __future__ import annotations

import logging
import sys
from http import HTTPStatus
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

logger = logging.getLogger(__name__)

NO_ANSWER = (OperationalError, InterfaceError)
BUSY = "The database does not answer; try again."
TRY_AGAIN = {"Retry-After": "5"}
PROBLEM = "application/problem+json"
API_PREFIX = "/api/"


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem; `more` are extension members."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }


def answer_problem(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an expected error of the API; an unexpected one is left to fail loudly."""
    if isinstance(exc, NO_ANSWER):
        logger.error("A request of the API failed: the database does not answer", exc_info=exc)
        members = problem(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
        return Response(members, status=503, content_type=PROBLEM, headers=TRY_AGAIN)
    response = exception_handler(exc, context)
    if response is None:
        return None
    if isinstance(exc, ValidationError):
        members = problem(response.status_code, "The request is not valid.", errors=_by_field(exc.detail))
    else:
        members = problem(response.status_code, _detail(response.data))
    answer = Response(members, status=response.status_code, content_type=PROBLEM)
    for name, value in response.items():
        if name.lower() != "content-type":
            answer[name] = value
    return answer


def _by_field(detail: Any) -> Any:
    return detail if isinstance(detail, dict) else {"non_field_errors": detail}


def _detail(data: Any) -> str:
    detail = data.get("detail", "") if isinstance(data, dict) else data
    return str(detail) if isinstance(detail, (str, ErrorDetail)) else ""


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 outside the API's own views."""
    if request.path.startswith(API_PREFIX):
        return _json(HTTPStatus.BAD_REQUEST, "The request is not valid.")
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404: an address of the API gets a problem, any other a page."""
    if request.path.startswith(API_PREFIX):
        return _json(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 when the database does not answer; the cause is in the log alone."""
    if isinstance(sys.exception(), NO_ANSWER):
        return _unavailable(request)
    if request.path.startswith(API_PREFIX):
        return _json(HTTPStatus.INTERNAL_SERVER_ERROR, "The portal failed; its log says why.")
    return defaults.server_error(request)


def _unavailable(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        answer: HttpResponse = _json(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
    else:
        answer = defaults.server_error(request, "503.html")
        answer.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    for name, value in TRY_AGAIN.items():
        answer[name] = value
    return answer


def _json(status: HTTPStatus, detail: str) -> JsonResponse:
    return JsonResponse(problem(status, detail), status=status, content_type=PROBLEM)
