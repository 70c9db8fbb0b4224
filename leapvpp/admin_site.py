"""The admin site: for those who may administer, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

QUEUE_APP = "django_q"
View = TypeVar("View", bound=Callable[..., Any])


class PortalAdminSite(AdminSite):
    """Opens to the role admin. Signing in happens on the portal's own page."""

    site_header = "Dispatch desk"
    site_title = "Dispatch desk"
    index_title = "Administration"

    def register(self, model_or_iterable: Any, *args: Any, **options: Any) -> None:
        """Register models, but never the queue's: whoever edits its rows can have any function run."""
        is_one = isinstance(model_or_iterable, ModelBase)
        models: list[Any] = [model_or_iterable] if is_one else list(model_or_iterable)
        shown = [model for model in models if model._meta.app_label != QUEUE_APP]
        super().register(shown, *args, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may administer."""
        return bool(request.user.is_active and request.user.has_perm("dispatch.administer"))

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # noqa: FBT001, FBT002 - Django's signature
        """Refuse somebody signed in without the role, instead of asking to sign in once more."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return inner(request, *args, **kwargs)

        return guarded  # type: ignore[return-value]  # it wraps the view, with its signature

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
