"""The admin site: for those who may administer, and nobody else."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse


class PortalAdminSite(AdminSite):
    """Opens to the role admin. Signing in happens on the portal's own page."""

    site_header = "Leap operator portal"
    site_title = "Leap operator portal"
    index_title = "Administration"

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may administer."""
        return bool(request.user.is_active and request.user.has_perm("dispatch.administer"))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send a stranger to the sign-in page, and whoever may administer to the index.

        Raises: PermissionDenied for somebody signed in without the role.
        """
        index = reverse("admin:index", current_app=self.name)
        if self.has_permission(request):
            return redirect(index)
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", index))
