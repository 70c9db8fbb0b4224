"""Facts in the admin, looked at and never edited: schedules, commands, attempts, proofs, alerts.

Loaded by `devices.admin`. The action calls the function that the pages and the API call.
"""

from __future__ import annotations

from collections import Counter

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from devices.alert_models import Alert, AlertMessage
from devices.bulk import SEGMENT_COLUMNS
from devices.commanding import RetryRefused, retry_command
from devices.models import Command, CommandAttempt, DeviceSchedule, ScheduleSegment
from devices.proof_models import Proof
from meters.admin import FactInline, ReadOnly


class SegmentInline(FactInline):
    """What a schedule says, in order."""

    model = ScheduleSegment
    fields = SEGMENT_COLUMNS
    ordering = ["starts_at"]


@admin.register(DeviceSchedule)
class DeviceScheduleAdmin(ReadOnly):
    """Every version of every device's schedule."""

    list_display = ["device", "version", "state", "created_at", "superseded_at", "acknowledged_at"]
    list_filter = ["state", ("superseded_at", admin.EmptyFieldListFilter)]
    list_select_related = ["device"]
    search_fields = ["device__external_id", "device__name"]
    ordering = ["-pk"]
    inlines = [SegmentInline]


class AttemptInline(FactInline):
    """Every try to deliver a command."""

    model = CommandAttempt
    fields = ["started_at", "finished_at", "outcome", "detail"]
    ordering = ["started_at"]


@admin.register(Command)
class CommandAdmin(ReadOnly):
    """Instructions to devices and how far they got."""

    list_display = ["key", "device", "kind", "state", "due_at", "expires_at", "attempt_count", "detail"]
    list_filter = ["state", "kind"]
    list_select_related = ["device", "schedule"]
    search_fields = ["device__external_id", "device__name", "key"]
    ordering = ["-pk"]
    inlines = [AttemptInline]
    actions = ["try_again"]

    @admin.action(description="Try the selected commands again now", permissions=["operate"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        """Retry each, and say of those that cannot be tried why not."""
        refusals: Counter[str] = Counter()
        command_ids = list(queryset.values_list("pk", flat=True))
        for command_id in command_ids:
            try:
                retry_command(command_id=command_id, now=timezone.now())
            except RetryRefused as refusal:
                refusals[str(refusal)] += 1
        tried = len(command_ids) - refusals.total()
        self.message_user(request, f"Commands to be tried again: {tried}.")
        for reason, count in refusals.items():
            self.message_user(request, f"{reason} ({count})", messages.WARNING)


@admin.register(CommandAttempt)
class CommandAttemptAdmin(ReadOnly):
    """Every try, newest first."""

    list_display = ["command", "started_at", "finished_at", "outcome", "detail"]
    list_filter = ["outcome"]
    list_select_related = ["command"]
    search_fields = ["command__key", "command__device__external_id"]
    ordering = ["-pk"]


@admin.register(Proof)
class ProofAdmin(ReadOnly):
    """Whether devices did what they were told."""

    list_display = ["device", "kind", "since", "ends_at", "state", "how", "detail", "is_open"]
    list_filter = ["state", "kind", "how", "is_open"]
    list_select_related = ["device"]
    search_fields = ["device__external_id", "device__name"]
    ordering = ["-pk"]


@admin.register(Alert)
class AlertAdmin(ReadOnly):
    """What is, or was, wrong with devices. Acknowledged on the page."""

    list_display = ["device", "kind", "text", "raised_at", "acknowledged_by", "cleared_at"]
    list_filter = ["kind", ("cleared_at", admin.EmptyFieldListFilter)]
    list_select_related = ["device"]
    search_fields = ["device__external_id", "device__name", "note"]
    ordering = ["-pk"]


@admin.register(AlertMessage)
class AlertMessageAdmin(ReadOnly):
    """What was said about alerts, and whether it left."""

    list_display = ["message_id", "channel", "subject", "created_at", "sent_at", "attempt_count", "detail"]
    list_filter = ["channel", "kind", ("sent_at", admin.EmptyFieldListFilter)]
    ordering = ["-pk"]
