"""Keys and signs of life in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from leapvpp.keys import issue_key
from leapvpp.models import ApiKey, Heartbeat


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """Make a key (shown once, on the next page) and revoke it; a key is never changed."""

    list_display = ["name", "role", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["role"]
    search_fields = ["name", "prefix"]
    ordering = ["-created_at"]
    actions = ["revoke"]
    fields = ["name", "role", "expires_at"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Make the key and show it, this once."""
        key = issue_key(obj, now=timezone.now())
        self.message_user(request, f"The key, shown this once: {key}", messages.WARNING)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keys are made and revoked, never changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key stays, so that its name keeps its meaning in the records."""
        return False

    @admin.action(description="Revoke the selected keys", permissions=["add"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Make the keys worthless from now on."""
        count = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"Revoked {count} keys.")


@admin.register(Heartbeat)
class HeartbeatAdmin(admin.ModelAdmin):
    """When each process was last seen alive."""

    list_display = ["name", "beat_at", "detail"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the processes write here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Heartbeat | None = None) -> bool:
        """Only the processes write here."""
        return False
