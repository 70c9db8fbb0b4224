"""The null character: PostgreSQL takes it nowhere, and no honest address or form holds one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse


class RefuseNul:
    """Answers 400 to an address or a page's form with a null character, before any view passes it on.

    Bodies of webhooks and of the API are JSON, read by readers of their own.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at the address.

        Raises: BadRequest.
        """
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("The address holds a null character.")
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> None:
        """Look at the form, of views that are protected against forgery: only pages take forms.

        Raises: BadRequest.
        """
        if request.method != "POST" or getattr(view, "csrf_exempt", False):
            return
        if any("\0" in value for _, values in request.POST.lists() for value in values):
            raise BadRequest("The form holds a null character.")
