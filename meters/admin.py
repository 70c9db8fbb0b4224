"""Meters, sites and market groups in the admin.

Meters themselves are registered by the devices app, which adds what sits behind them.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from meters.connection_models import LeapAct
from meters.enrollment_models import Enrollment, Program, RequiredAction
from meters.grouping import request_comparison
from meters.mapping_models import MappingBatch
from meters.models import MarketGroup, MarketGroupMembership, Meter, PlatformEvent, Site
from meters.onboarding_models import Connection, MeterJob, MeterJobBatch
from meters.participation_models import IdlePeriod, ParticipationRequest
from meters.readiness import reason_not_dispatchable
from meters.sync_models import MeterAtLeap, MeterChange, MeterSync


class ReadOnly(admin.ModelAdmin):
    """Rows that are only looked at, by whoever is let into the admin, as on the pages.

    Actions that change anything name the permission they want: `permissions=["operate"]`.
    """

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Facts are not made by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nor changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nor taken away."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Everybody inside may look."""
        return True

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Everybody inside sees them listed."""
        return True

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may press what operators press."""
        return request.user.has_perm("dispatch.operate")


class FactInline(admin.TabularInline):
    """Rows of their parent, only looked at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Facts are not made by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nor changed."""
        return False


class MembershipOfMeterInline(admin.TabularInline):
    """The groups a meter is in, and from when until when."""

    model = MarketGroupMembership
    verbose_name_plural = "Groups it is in"
    autocomplete_fields = ["group"]
    extra = 0


class MembershipOfGroupInline(admin.TabularInline):
    """The meters in a group, and from when until when."""

    model = MarketGroupMembership
    verbose_name_plural = "Meters in it"
    autocomplete_fields = ["meter"]
    extra = 0


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    """Places; the zone of a place decides what a local day of its devices is."""

    list_display = ["name", "timezone", "address", "meter_count"]
    search_fields = ["name", "address"]
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        """Count the meters in the same query."""
        return super().get_queryset(request).annotate(meter_count=Count("meters", distinct=True))

    @admin.display(description="Meters", ordering="meter_count")
    def meter_count(self, site: Site) -> int:
        """Show how many meters stand here."""
        return int(site.meter_count)  # type: ignore[attr-defined]  # annotated above

    def save_model(self, request: HttpRequest, obj: Site, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Plan the site's meters again: its local day may be another."""
        super().save_model(request, obj, form, change)
        if form.changed_data:
            obj.meters.update(plan_requested_at=timezone.now())


@admin.register(MarketGroup)
class MarketGroupAdmin(admin.ModelAdmin):
    """Market groups with their dated membership."""

    list_display = ["__str__", "market_group_id", "program", "zone", "starts_at", "ends_at", "meter_count"]
    list_filter = ["program", "zone", "is_from_calls"]
    search_fields = ["market_group_id", "name"]
    ordering = ["name", "pk"]
    inlines = [MembershipOfGroupInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[MarketGroup]:
        """Count the memberships in the same query."""
        return super().get_queryset(request).annotate(meter_count=Count("memberships", distinct=True))

    @admin.display(description="Memberships", ordering="meter_count")
    def meter_count(self, group: MarketGroup) -> int:
        """Show how many memberships were ever entered."""
        return int(group.meter_count)  # type: ignore[attr-defined]  # annotated above

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Plan the meters again whose membership changed, and lay the group beside its calls."""
        super().save_related(request, form, formsets, change)
        touched = {row.meter_id for formset in formsets for row in changed_rows(formset)}
        Meter.objects.filter(pk__in=touched).update(plan_requested_at=timezone.now())
        if touched:
            request_comparison([form.instance.market_group_id], now=timezone.now())

    def save_model(self, request: HttpRequest, obj: MarketGroup, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Write what was changed alone: what asks for a comparison may have been set in the meantime."""
        save_changes(obj, form=form, is_new=not change)


@admin.register(Program)
class ProgramAdmin(admin.ModelAdmin):
    """Leap's programs. What an admin writes of one stays at every upgrade; its code is Leap's."""

    list_display = [
        "code",
        "name",
        "region",
        "transmission_region",
        "meter_kind",
        "interval_source",
        "onboard_method",
        "first_heard_at",
    ]
    list_filter = ["region", "meter_kind", "interval_source"]
    search_fields = ["code", "name"]
    ordering = ["code"]
    readonly_fields = ["first_heard_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Program | None = None) -> list[str]:
        """Keep the code of a program that exists: meters and events name it."""
        return ["code", *self.readonly_fields] if obj else [*self.readonly_fields]


@admin.register(PlatformEvent)
class PlatformEventAdmin(ReadOnly):
    """What Leap's platform said of meters, as it came."""

    list_display = ["id", "received_at", "event_type", "webhook_event_id", "status", "reason", "repeat_count"]
    list_filter = ["status", "event_type"]
    search_fields = ["=webhook_event_id", "event_type"]
    date_hierarchy = "received_at"
    ordering = ["-received_at", "-id"]
    exclude = ["body"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlatformEvent]:
        """Leave the bodies where they are; its page shows one."""
        return super().get_queryset(request).defer("body")


@admin.register(MeterSync)
class MeterSyncAdmin(ReadOnly):
    """Runs that brought meters in step with Leap."""

    list_display = [
        "id",
        "kind",
        "state",
        "requested_at",
        "finished_at",
        "meters",
        "appeared",
        "changed",
        "archived",
        "vanished",
        "unreadable",
        "detail",
    ]
    list_filter = ["state", "kind"]
    ordering = ["-id"]


@admin.register(MeterChange)
class MeterChangeAdmin(ReadOnly):
    """What each run changed of each meter."""

    list_display = ["id", "sync", "meter", "kind"]
    list_filter = ["kind"]
    list_select_related = ["sync", "meter"]
    search_fields = ["=meter__meter_id"]
    ordering = ["-id"]


@admin.register(MeterAtLeap)
class MeterAtLeapAdmin(ReadOnly):
    """All that Leap last said of each meter."""

    list_display = ["meter", "heard_at", "turns_at", "gone_at"]
    list_select_related = ["meter"]
    search_fields = ["=meter__meter_id"]
    ordering = ["-id"]


class MeterForm(forms.ModelForm):
    """A meter as a person enters it."""

    def clean_meter_id(self) -> str:
        """Write Leap's id as dispatches name it: in lower case."""
        return str(self.cleaned_data["meter_id"]).lower()


class MeterAdmin(admin.ModelAdmin):
    """Leap's units of dispatch. A meter is archived, never deleted: its past events name it."""

    form = MeterForm
    list_display = [
        "__str__",
        "meter_id",
        "site",
        "transmission_region",
        "enrollment_status",
        "participation",
        "not_dispatchable",
    ]
    list_filter = ["transmission_region", "enrollment_status", "participation", "meter_type"]
    list_select_related = ["site"]
    list_per_page = 100
    search_fields = ["meter_id", "partner_reference", "name", "site__name"]
    search_help_text = "Leap's id, your reference, the name or the site"
    ordering = ["pk"]
    autocomplete_fields = ["site"]
    readonly_fields = ["extra"]
    inlines = [MembershipOfMeterInline]
    actions = ["plan_again"]

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> list[str]:
        """Keep the id of a meter that exists: its events name it."""
        return ["meter_id", *self.readonly_fields] if obj else [*self.readonly_fields]

    @admin.display(description="Not dispatchable because")
    def not_dispatchable(self, meter: Meter) -> str:
        """Say why a dispatch of the meter moves nothing."""
        return reason_not_dispatchable(meter=meter, now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Meter | None = None) -> bool:
        """Meters are archived."""
        return False

    def save_model(self, request: HttpRequest, obj: Meter, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Write what was changed alone: planning may have written the rest in the meantime."""
        save_changes(obj, form=form, is_new=not change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Plan the meter again if anything of it or around it changed."""
        super().save_related(request, form, formsets, change)
        if form.has_changed() or any(formset.has_changed() for formset in formsets):
            Meter.objects.filter(pk=form.instance.pk).update(plan_requested_at=timezone.now())
        groups = MarketGroup.objects.filter(pk__in=groups_touched(formsets))
        request_comparison(list(groups.values_list("market_group_id", flat=True)), now=timezone.now())

    @admin.action(description="Plan the devices of the selected meters again")
    def plan_again(self, request: HttpRequest, queryset: QuerySet[Meter]) -> None:
        """Have the meters planned, as if something of them had changed."""
        count = queryset.update(plan_requested_at=timezone.now())
        self.message_user(request, f"Meters to be planned again: {count}.")


@admin.register(Enrollment)
class EnrollmentAdmin(ReadOnly):
    """How meters stand in Leap's programs, as Leap last said it."""

    list_display = ["meter", "program", "delivery_period", "status", "starts_at", "ends_at"]
    list_filter = ["status"]
    list_select_related = ["meter"]
    search_fields = ["meter__meter_id", "program", "delivery_period"]
    ordering = ["-pk"]


@admin.register(RequiredAction)
class RequiredActionAdmin(ReadOnly):
    """What Leap asks for; owner and note are written on the pages and through the API."""

    list_display = ["meter", "action_type", "action_code", "program", "deadline_at", "resolved_at", "owner"]
    list_filter = ["party", "action_type"]
    list_select_related = ["meter", "owner"]
    search_fields = ["meter__meter_id", "action_code", "program", "delivery_period"]
    ordering = ["-pk"]


def changed_rows(formset: Any) -> list[Any]:
    """Return the rows that saving a formset of the admin created, changed or deleted."""
    return [*formset.new_objects, *(row for row, _ in formset.changed_objects), *formset.deleted_objects]


def groups_touched(formsets: Any) -> set[int]:
    """Return the groups that a meter came to be in, left, or is in for another time, by their rows."""
    dated = [formset for formset in formsets if formset.model is MarketGroupMembership]
    changed = [each for formset in dated for each in formset if each.has_changed()]
    changed += [each for formset in dated for each in formset.deleted_forms]
    pks = {pk for form in changed for pk in (form.initial.get("group"), form.instance.group_id)}
    return {pk for pk in pks if pk is not None}


def save_changes(row: Any, *, form: Any, is_new: bool) -> None:
    """Store the row of a form; of an existing one only the fields that the form changed."""
    row.save(update_fields=None if is_new else form.changed_data)


@admin.register(MappingBatch)
class MappingBatchAdmin(ReadOnly):
    """Pairs that were added and removed together."""

    list_display = ["id", "source", "applied_at", "applied_by", "undone_at", "undone_by"]
    list_filter = ["source"]
    ordering = ["-id"]


@admin.register(LeapAct)
class LeapActAdmin(ReadOnly):
    """What was changed of what Leap holds for us."""

    list_display = ["id", "kind", "target", "state", "asked_at", "asked_by", "detail"]
    list_filter = ["state", "kind"]
    ordering = ["-id"]


@admin.register(MeterJob)
class MeterJobAdmin(ReadOnly):
    """Jobs that create meters; their page shows the rows."""

    list_display = ["__str__", "state", "rows_count", "update_existing", "made_by", "requested_by", "made_at"]
    list_filter = ["state"]
    search_fields = ["file_name"]
    ordering = ["-pk"]


@admin.register(MeterJobBatch)
class MeterJobBatchAdmin(ReadOnly):
    """What is one job at Leap, with Leap's id of it and who holds it."""

    list_display = ["file_name", "state", "leap_job_id", "sent_at", "look_at", "tries", "detail"]
    list_filter = ["state"]
    list_select_related = ["job"]
    search_fields = ["file_name", "=leap_job_id"]
    ordering = ["-pk"]


@admin.register(Connection)
class ConnectionAdmin(ReadOnly):
    """Customers in Leap Connect; their page tells the story."""

    list_display = ["__str__", "partner_reference", "standing", "utility_name", "heard_at", "made_by"]
    list_filter = ["standing", "transmission_region"]
    search_fields = ["=partner_reference", "customer_name"]
    ordering = ["-pk"]


@admin.register(ParticipationRequest)
class ParticipationRequestAdmin(ReadOnly):
    """What was asked of Leap about who takes part; operators ask on the page Participation."""

    list_display = ["__str__", "kind", "starts_on", "ends_on", "state", "requested_by", "requested_at"]
    list_filter = ["kind", "state"]
    search_fields = ["items__meter__meter_id", "reason"]
    ordering = ["-pk"]


@admin.register(IdlePeriod)
class IdlePeriodAdmin(ReadOnly):
    """Idle periods as Leap lists them."""

    list_display = ["meter", "starts_on", "ends_on"]
    list_select_related = ["meter"]
    search_fields = ["meter__meter_id", "meter__name", "meter__partner_reference"]
    ordering = ["starts_on", "pk"]
