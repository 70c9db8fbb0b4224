"""Where a button leads back to once it was pressed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme


def back_to(request: HttpRequest, *, otherwise: str) -> HttpResponseRedirect:
    """Redirect to the page the button stood on, when the form names one of ours."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=False):
        return redirect(wanted)
    return redirect(otherwise)
