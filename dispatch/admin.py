"""The stock admin, cared for: looking up what was asked and pressing the same buttons as the pages.

Everything of dispatch is a fact or a decision, so nothing here is edited but the levels of programs and the
response policies: no adding, no deleting.
The actions call the functions the pages call.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import levels, overrides, planning, policies, prices, recording
from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    EventRevision,
    Level,
    NotificationItem,
    Overlap,
    Override,
    OverrideAction,
    OverrideScope,
    PollState,
    ProgramLevel,
    RejectedDelivery,
    TestKind,
)
from dispatch.policy_models import PolicyAssignment, PolicyVersion, ProgramPrice, ResponsePolicy
from dispatch.reading.notifications import pretty
from dispatch.reading.words import counted, power
from dispatch.step_models import GroupDifference, OutOfStep
from dispatch.views.policy_forms import PolicyForm, PriceForm
from meters.admin import FactInline, ReadOnly

Lookup = list[tuple[str, str]]


def _short(identifier: str) -> SafeString:
    """The beginning of an id, the whole of it on hover."""
    return format_html('<span title="{}">{}</span>', identifier, identifier[:8])


def _window(starts_at: datetime, ends_at: datetime) -> str:
    """A half-open window in UTC, the end's date only where it differs."""
    same_day = starts_at.date() == ends_at.date()
    return f"{starts_at:%d %b %Y %H:%M}–{ends_at:%H:%M}{'' if same_day else f' {ends_at:%d %b}'} UTC"


class ReadOnlyInline(FactInline):
    """Rows of their parent that everybody inside may look at, each with a page of its own."""

    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


class WhenFilter(admin.SimpleListFilter):
    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookup:
        return [("live", "Live now"), ("coming", "Coming"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        if self.value() == "live":
            return queryset.filter(starts_at__lte=now, ends_at__gt=now, is_cancelled=False)
        if self.value() == "coming":
            return queryset.filter(starts_at__gt=now)
        if self.value() == "over":
            return queryset.filter(ends_at__lte=now)
        return queryset


class ChangedFilter(admin.SimpleListFilter):
    title = "changed by Leap"
    parameter_name = "changed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookup:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(revision__gt=1)
        return queryset.filter(revision=1) if self.value() == "no" else queryset


class TestFilter(admin.SimpleListFilter):
    __test__ = False  # not a test class, whatever its name says
    title = "test"
    parameter_name = "test_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookup:
        return [("none", "Real events"), *((value, str(label)) for value, label in TestKind.choices)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(test="" if self.value() == "none" else self.value())


class UnmappedFilter(admin.SimpleListFilter):
    title = "unmapped meters"
    parameter_name = "unmapped"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookup:
        return [("yes", "Some meters have no device"), ("no", "All mapped")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(unmapped_meters__gt=0)
        return queryset.filter(unmapped_meters=0) if self.value() == "no" else queryset


class ReasonForm(ActionForm):
    """The reason a hold must carry, beside the choice of action."""

    reason = forms.CharField(required=False, label="Reason (for a hold)")


class RevisionInline(ReadOnlyInline):
    model = EventRevision
    fields = ["number", "received_at", "kind", "source", "changes", "notification"]
    ordering = ["-number"]


@admin.register(DispatchEvent)
class DispatchEventAdmin(ReadOnly):
    list_display = ["event", "group", "window", "asked", "priority_rank", "kind", "marks", "meters", "page"]
    list_filter = [
        WhenFilter,
        "is_overlapping",
        "is_cancelled",
        ChangedFilter,
        TestFilter,
        UnmappedFilter,
        "is_confirmed",
        "is_ended_early",
        "is_voluntary",
        "level",
    ]
    list_select_related = ["recipients"]
    search_fields = ["leap_event_id", "market_group_id", "=recipients__members__meter_id"]
    search_help_text = "Leap's event id, market group id, or a whole meter id."
    date_hierarchy = "starts_at"
    ordering = ["-starts_at", "-id"]
    inlines = [RevisionInline]
    action_form = ReasonForm
    actions = ["replan", "hold"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DispatchEvent]:
        """Leave the recipients' lists where they are: each may hold ten thousand ids."""
        return super().get_queryset(request).defer("recipients__meter_ids")

    @admin.display(description="Window", ordering="starts_at")
    def window(self, event: DispatchEvent) -> str:
        return _window(event.starts_at, event.ends_at)

    @admin.display(description="Asked", ordering="energy_kw")
    def asked(self, event: DispatchEvent) -> str:
        return power(event.energy_kw)

    @admin.display(description="Event", ordering="leap_event_id")
    def event(self, event: DispatchEvent) -> SafeString:
        return _short(event.leap_event_id)

    @admin.display(description="Market group", ordering="market_group_id")
    def group(self, event: DispatchEvent) -> SafeString:
        return _short(event.market_group_id or "–")

    @admin.display(description="Kind", ordering="is_voluntary")
    def kind(self, event: DispatchEvent) -> str:
        return "Voluntary" if event.is_voluntary else "Committed"

    @admin.display(description="Marks")
    def marks(self, event: DispatchEvent) -> str:
        """Say what is out of the ordinary, the strongest thing first."""
        found = [
            "cancelled" if event.is_cancelled else "",
            "unconfirmed" if not event.is_confirmed else "",
            f"TEST ({event.get_test_display()})" if event.test else "",
            "ended early" if event.is_ended_early else "",
            "overlapping" if event.is_overlapping else "",
            f"revision {event.revision}" if event.revision > 1 else "",
        ]
        return ", ".join(mark for mark in found if mark) or "–"

    @admin.display(description="Meters", ordering="recipients__size")
    def meters(self, event: DispatchEvent) -> str:
        missing = f", {event.unmapped_meters:,} unmapped" if event.unmapped_meters else ""
        return f"{event.recipients.size:,}{missing}"

    @admin.display(description="Page")
    def page(self, event: DispatchEvent) -> SafeString:
        return format_html('<a href="{}">Open</a>', reverse("dispatch:event-detail", args=[event.pk]))

    @admin.action(description="Plan again", permissions=["operate"])
    def replan(self, request: HttpRequest, queryset: QuerySet[DispatchEvent]) -> None:
        event_ids = list(queryset.values_list("pk", flat=True))
        planning.request_plan(event_ids=event_ids, now=timezone.now())
        self.message_user(
            request, f"{counted(len(event_ids), one='event')} to be planned again.", messages.SUCCESS
        )

    @admin.action(description="Hold its devices until it ends", permissions=["operate"])
    def hold(self, request: HttpRequest, queryset: QuerySet[DispatchEvent]) -> None:
        """Hold the group, or each meter, that the chosen events name, until the event's end."""
        now = timezone.now()
        reason = request.POST.get("reason", "").strip()
        held = 0
        if not reason:
            self.message_user(request, "Say why, for the people on the next shift.", messages.ERROR)
            return
        for event in queryset.select_related("recipients"):
            try:
                held += _hold_event(event, reason=reason, by=request.user.get_username(), now=now)
            except overrides.OverrideRefused as refused:
                self.message_user(request, f"{event.leap_event_id}: {refused}", messages.ERROR)
        if held:
            self.message_user(
                request, f"{counted(held, one='hold')} added. End it under Overrides.", messages.SUCCESS
            )


def _hold_event(event: DispatchEvent, *, reason: str, by: str, now: datetime) -> int:
    """Add the holds that keep this event's devices still; return how many."""
    if event.level == Level.GROUP:
        scope, targets = OverrideScope.MARKET_GROUP, [event.market_group_id]
    else:
        scope, targets = OverrideScope.METER, list(event.recipients.meter_ids)
    for target in targets:
        overrides.add_override(
            scope=scope,
            target=target,
            action=OverrideAction.HOLD,
            starts_at=max(now, event.starts_at),
            ends_at=event.ends_at,
            target_kw=None,
            reason=reason,
            created_by=by,
            confirm_commitment=False,
            now=now,
        )
    return len(targets)


@admin.register(EventRevision)
class EventRevisionAdmin(ReadOnly):
    list_display = ["event", "number", "kind", "source", "received_at", "changes"]
    list_filter = ["kind", "source"]
    list_select_related = ["event"]
    search_fields = ["event__leap_event_id"]
    date_hierarchy = "received_at"
    ordering = ["-received_at", "-id"]


class ItemInline(ReadOnlyInline):
    model = NotificationItem
    fields = ["position", "level", "leap_event_id", "outcome", "reason", "event"]
    ordering = ["position"]


@admin.register(DispatchNotification)
class DispatchNotificationAdmin(ReadOnly):
    list_display = ["id", "received_at", "source", "level", "status", "reason", "repeat_count", "page"]
    list_filter = ["status", "source", "level"]
    search_fields = ["=id", "sha256", "items__leap_event_id"]
    search_help_text = "Number, hash, or the id of an event it speaks of."
    date_hierarchy = "received_at"
    ordering = ["-received_at", "-id"]
    fields = [
        "received_at",
        "source",
        "level",
        "status",
        "reason",
        "recorded_at",
        "attempt_count",
        "repeat_count",
        "sha256",
        "headers",
        "content",
    ]
    readonly_fields = ["content"]
    inlines = [ItemInline]
    actions = ["replay"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DispatchNotification]:
        """The list never reads the bodies; one of them may be megabytes."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="Body")
    def content(self, notification: DispatchNotification) -> SafeString:
        text, is_cut = pretty(bytes(notification.body))
        return format_html("<pre>{}{}</pre>", text, "\n… cut; its page has all of it" if is_cut else "")

    @admin.display(description="Page")
    def page(self, notification: DispatchNotification) -> SafeString:
        return format_html(
            '<a href="{}">Open</a>', reverse("dispatch:notification-detail", args=[notification.pk])
        )

    @admin.action(description="Replay", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DispatchNotification]) -> None:
        """Record the chosen notifications again; what they already led to stays as it is."""
        for notification_id in queryset.values_list("pk", flat=True):
            outcome = recording.replay_notification(notification_id=notification_id, now=timezone.now())
            self.message_user(request, f"Notification {notification_id}: {outcome}")


@admin.register(NotificationItem)
class NotificationItemAdmin(ReadOnly):
    list_display = ["notification", "position", "level", "leap_event_id", "outcome", "reason"]
    list_filter = ["outcome", "level"]
    list_select_related = ["notification"]
    search_fields = ["leap_event_id"]
    ordering = ["-notification_id", "position"]


@admin.register(Overlap)
class OverlapAdmin(ReadOnly):
    list_display = ["device", "window", "asked_by", "chosen", "not_chosen", "reason"]
    list_select_related = ["device"]
    list_filter = ["device__kind"]
    search_fields = ["device__external_id", "device__name"]
    date_hierarchy = "starts_at"
    ordering = ["-starts_at", "-id"]
    actions = ["replan"]

    @admin.display(description="Window", ordering="starts_at")
    def window(self, overlap: Overlap) -> str:
        return _window(overlap.starts_at, overlap.ends_at)

    @admin.display(description="Asked by")
    def asked_by(self, overlap: Overlap) -> str:
        return ", ".join(each[:8] for each in overlap.leap_event_ids)

    @admin.display(description="Chosen")
    def chosen(self, overlap: Overlap) -> str:
        return ", ".join(each[:8] for each in overlap.served) or "none"

    @admin.display(description="Not chosen, and why")
    def not_chosen(self, overlap: Overlap) -> str:
        return (
            "; ".join(f"{item['leap_event_id'][:8]}: {item['reason']}" for item in overlap.not_served) or "–"
        )

    @admin.action(description="Plan these devices again", permissions=["operate"])
    def replan(self, request: HttpRequest, queryset: QuerySet[Overlap]) -> None:
        device_ids = sorted(set(queryset.values_list("device_id", flat=True)))
        planning.request_plan(device_ids=device_ids, now=timezone.now())
        self.message_user(
            request, f"{counted(len(device_ids), one='device')} to be planned again.", messages.SUCCESS
        )


@admin.register(Override)
class OverrideAdmin(ReadOnly):
    list_display = ["action", "scope", "target", "starts_at", "ends_at", "target_kw", "reason", "created_by"]
    list_filter = ["action", "scope"]
    search_fields = ["target", "reason", "created_by"]
    ordering = ["-created_at", "-id"]
    actions = ["end"]

    @admin.action(description="End now", permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[Override]) -> None:
        """End the chosen ones that still run or are yet to begin."""
        now = timezone.now()
        ids = list(queryset.filter(ended_at=None, ends_at__gt=now).values_list("pk", flat=True))
        for override_id in ids:
            overrides.end_override(override_id=override_id, now=now, by=request.user.get_username())
        self.message_user(request, f"{counted(len(ids), one='override')} ended.", messages.SUCCESS)


@admin.register(ProgramLevel)
class ProgramLevelAdmin(ReadOnly):
    """The one thing here that is edited: at which level a program is acted upon. For admins."""

    list_display = ["program", "level", "source", "decided_at", "decided_by"]
    list_filter = ["level", "source"]
    list_select_related = ["decided_by"]
    search_fields = ["program"]
    ordering = ["program"]
    fields = ["program", "level", "source", "decided_at", "decided_by"]
    readonly_fields = ["source", "decided_at", "decided_by"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dispatch.administer")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("dispatch.administer")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [*self.readonly_fields, *(["program"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: ProgramLevel, form: Any, change: Any) -> None:
        """Decide by hand, and have the program's open events planned again."""
        levels.choose_level(program=obj.program, level=obj.level, now=timezone.now())
        obj.pk = ProgramLevel.objects.get(program=obj.program).pk


class VersionInline(ReadOnlyInline):
    model = PolicyVersion
    show_change_link = False
    fields = ["number", "content", "changed_at", "changed_by"]
    ordering = ["-number"]


class AssignmentInline(ReadOnlyInline):
    """Given and taken away on the policy's page."""

    model = PolicyAssignment
    show_change_link = False
    fields = ["scope", "target"]
    ordering = ["scope", "target"]


@admin.register(ResponsePolicy)
class ResponsePolicyAdmin(ReadOnly):
    """Written as on its page: each change is a version, and its devices are planned again. For admins."""

    form = PolicyForm
    list_display = ["name", "version", "hours_a_day", "events_a_day", "plans_energy", "voluntary"]
    list_filter = ["plans_energy", "voluntary"]
    search_fields = ["name"]
    ordering = ["name"]
    inlines = [AssignmentInline, VersionInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dispatch.administer")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("dispatch.administer")

    def save_model(self, request: HttpRequest, obj: ResponsePolicy, form: Any, change: Any) -> None:
        """Make or change it as the page does."""
        by = request.user.get_username()
        saved = policies.save_policy(
            policy_id=obj.pk if change else None, content=form.cleaned_data, by=by, now=timezone.now()
        )
        obj.pk, obj.version = saved.pk, saved.version


@admin.register(ProgramPrice)
class ProgramPriceAdmin(ReadOnly):
    """What programs pay: policies with a price of comfort measure by it from the next plan on. For admins."""

    form = PriceForm
    list_display = ["program", "usd_per_kwh"]
    search_fields = ["program"]
    ordering = ["program"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dispatch.administer")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("dispatch.administer")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("dispatch.administer")

    def get_readonly_fields(self, request: HttpRequest, obj: ProgramPrice | None = None) -> list[str]:
        return ["program"] if obj else []

    def save_model(self, request: HttpRequest, obj: ProgramPrice, form: Any, change: Any) -> None:
        """Say it as the page does."""
        saved = prices.set_price(program=obj.program, usd_per_kwh=obj.usd_per_kwh, now=timezone.now())
        obj.pk, obj.program = saved.pk, saved.program

    def delete_model(self, request: HttpRequest, obj: ProgramPrice) -> None:
        prices.remove_prices(programs=[obj.program], now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ProgramPrice]) -> None:
        programs = list(queryset.values_list("program", flat=True))
        prices.remove_prices(programs=programs, now=timezone.now())


@admin.register(Doubt)
class DoubtAdmin(ReadOnly):
    list_display = ["event", "why", "raised_at", "settled_at", "settled_by", "verdict"]
    list_filter = ["verdict"]
    list_select_related = ["event"]
    search_fields = ["event__leap_event_id"]
    ordering = ["-raised_at", "-id"]


@admin.register(PollState)
class PollStateAdmin(ReadOnly):
    list_display = ["level", "tried_at", "answered_at", "error", "found_unpushed_at"]


@admin.register(RejectedDelivery)
class RejectedDeliveryAdmin(ReadOnly):
    list_display = ["day", "cause", "count", "latest_at"]
    list_filter = ["cause"]
    ordering = ["-day", "cause"]


class SettledFilter(admin.SimpleListFilter):
    title = "settled"
    parameter_name = "settled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookup:
        return [("no", "Standing"), ("yes", "Settled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(settled_at__isnull=self.value() == "no")


@admin.register(OutOfStep)
class OutOfStepAdmin(ReadOnly):
    """Events for which Leap calls others than are in the group here."""

    list_display = ["event", "group", "found_at", "settled_at", "called", "held", "extra", "missing"]
    list_filter = [SettledFilter]
    list_select_related = ["event", "difference"]
    search_fields = ["=event__leap_event_id", "=event__market_group_id"]
    ordering = ["-found_at", "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutOfStep]:
        """Leave the lists of meters where they are; the page of a difference shows them."""
        lists = ("difference__called_not_ours", "difference__ours_not_called")
        return super().get_queryset(request).defer(*lists)

    @admin.display(description="Group")
    def group(self, row: OutOfStep) -> SafeString:
        """Show the beginning of the group's id."""
        return _short(row.event.market_group_id)

    @admin.display(description="Called")
    def called(self, row: OutOfStep) -> int:
        """Show how many Leap calls."""
        return row.difference.called

    @admin.display(description="Held")
    def held(self, row: OutOfStep) -> int:
        """Show how many members were held."""
        return row.difference.held

    @admin.display(description="Called, not ours")
    def extra(self, row: OutOfStep) -> int:
        """Show how many are called and no members."""
        return row.difference.called_not_ours_count

    @admin.display(description="Ours, not called")
    def missing(self, row: OutOfStep) -> int:
        """Show how many are members and not called."""
        return row.difference.ours_not_called_count


@admin.register(GroupDifference)
class GroupDifferenceAdmin(ReadOnly):
    """How calls and groups differ; events that differ alike share one."""

    list_display = [
        "id",
        "called",
        "held",
        "called_not_ours_count",
        "ours_not_called_count",
        "is_group_unknown",
    ]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[GroupDifference]:
        """Leave the lists of meters where they are; its page shows them."""
        return super().get_queryset(request).defer("called_not_ours", "ours_not_called")
