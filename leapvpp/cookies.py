"""The one exception to cookies over TLS only: a browser on this very machine."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port

LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class PlainLoopbackCookies:
    """Let cookies be set over plain http when both ends of the connection are this machine.

    A newcomer's first visit is `http://127.0.0.1:8000`; anywhere else the cookies keep their `Secure`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request; drop `Secure` where it would only lock the newcomer out."""
        response = self.get_response(request)
        if response.cookies and _is_plain_loopback(request):
            for morsel in response.cookies.values():
                morsel["secure"] = ""
        return response


def _is_plain_loopback(request: HttpRequest) -> bool:
    if request.is_secure():
        return False
    host, _ = split_domain_port(request.META.get("HTTP_HOST", ""))
    try:
        is_local_peer = ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
    return is_local_peer and host in LOOPBACK_NAMES
