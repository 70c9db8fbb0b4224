"""Devices and the meters they sit behind in the admin; the actions call what the pages and the API call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from devices import admin_of_facts as admin_of_facts  # registers them
from devices.discovery_models import FoundDevice
from devices.driver_settings import blanked, completed, shown, wrong_settings
from devices.mapping import change_mapping, request_plans
from devices.models import Device, MeterDevice, SimulatedDevice
from devices.registering import asking
from meters.admin import MeterAdmin, ReadOnly, changed_rows, save_changes
from meters.models import Meter


class DevicesInline(admin.TabularInline):
    """The devices behind a meter."""

    model = MeterDevice
    verbose_name_plural = "Devices behind it"
    autocomplete_fields = ["device"]
    extra = 1


class MetersInline(admin.TabularInline):
    """The meters a device sits behind."""

    model = MeterDevice
    verbose_name_plural = "Meters it sits behind"
    autocomplete_fields = ["meter"]
    extra = 1


class MappedFilter(admin.SimpleListFilter):
    """Rows with somebody on the other side of the mapping, or without."""

    title = "mapped"
    parameter_name = "mapped"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows asked for."""
        side = "meter" if queryset.model is Meter else "device"
        mapped = Exists(MeterDevice.objects.filter(**{side: OuterRef("pk")}))
        return {"yes": queryset.filter(mapped), "no": queryset.filter(~mapped)}.get(
            self.value() or "", queryset
        )


class MappingForm(forms.Form):
    """What to map the selected rows to."""

    others: forms.ModelMultipleChoiceField[Any]
    is_replacing = forms.BooleanField(required=False, label="Instead of what they are mapped to now")

    def __init__(self, *args: Any, field: Any, label: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["others"] = forms.ModelMultipleChoiceField(
            queryset=field.remote_field.model.objects.all(),
            widget=AutocompleteSelectMultiple(field, admin.site),
            label=label,
        )
        self.order_fields(["others", "is_replacing"])


class MapsMixin:
    """Adds the action that maps the selected rows, meters or devices, to rows of the other side."""

    other_side = ""  # the field of MeterDevice that is chosen on the action's page

    @admin.action(description="Map the selected rows to …")
    def map_to(self: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for the other side first, then map every selected row to all that was chosen."""
        form = MappingForm(
            request.POST if "map" in request.POST else None,
            field=MeterDevice._meta.get_field(self.other_side),
            label=f"{self.other_side}s".capitalize(),
        )
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": f"Map to {self.other_side}s",
                "form": form,
                "rows": queryset,
                "opts": self.opts,
                "media": self.media + form.media,
            }
            return TemplateResponse(request, "admin/map_rows.html", context)
        change = self._map(
            rows=list(queryset.values_list("pk", flat=True)),
            others=[other.pk for other in form.cleaned_data["others"]],
            is_replacing=form.cleaned_data["is_replacing"],
        )
        self.message_user(request, f"Pairs added: {change.added}, removed: {change.removed}.")
        return None

    def _map(self, *, rows: list[int], others: list[int], is_replacing: bool) -> Any:
        is_meters = self.other_side == "device"
        add = list(product(rows, others) if is_meters else product(others, rows))
        own_side = "meter" if is_meters else "device"
        held = MeterDevice.objects.filter(**{f"{own_side}__in": rows}).values_list("meter_id", "device_id")
        return change_mapping(add=add, remove=list(held) if is_replacing else (), now=timezone.now())


@admin.register(Meter)
class MappedMeterAdmin(MapsMixin, MeterAdmin):
    """Meters with the devices behind them."""

    other_side = "device"
    inlines = [DevicesInline, *MeterAdmin.inlines]
    list_display = [*MeterAdmin.list_display, "device_count"]
    list_filter = [MappedFilter, *MeterAdmin.list_filter]
    actions = ["map_to", *MeterAdmin.actions]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Meter]:
        """Count the devices in the same query."""
        return super().get_queryset(request).annotate(device_count=Count("meter_devices", distinct=True))

    @admin.display(description="Devices", ordering="device_count")
    def device_count(self, meter: Meter) -> int:
        """Show how many devices are behind the meter."""
        return int(meter.device_count)  # type: ignore[attr-defined]  # annotated above

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Plan the devices again that came or went."""
        super().save_related(request, form, formsets, change)
        _request_plans_of(formsets)


class DriverSettingsField(forms.JSONField):
    """Settings of a driver; secrets that were typed are not sent back with a form that is refused."""

    driver = ""

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return what is shown again."""
        return blanked(self.driver, super().bound_data(data, initial))


class DeviceForm(forms.ModelForm):
    """A device as an admin writes it; a state of charge is of now, and secrets are not shown."""

    settings = DriverSettingsField(
        required=False,
        help_text="The driver's own. A secret that is left out, empty or masked stays what it is; null takes "
        "it away. After an error, type it again.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held_driver, self.held = self.instance.driver, self.instance.settings
        self.initial["settings"] = shown(self.held_driver, self.held)
        field = cast(DriverSettingsField, self.fields["settings"])
        field.driver = self.data.get(self.add_prefix("driver"), self.held_driver)

    def clean(self) -> dict[str, Any]:
        """Say when a new state of charge was said, and whether the driver can work with its settings."""
        cleaned = super().clean() or self.cleaned_data
        if {"settings", "driver"} <= cleaned.keys():
            self._settle(cleaned)
        if "state_of_charge_percent" in self.changed_data and not self.errors:
            is_said = cleaned["state_of_charge_percent"] is not None
            self.instance.state_of_charge_at = timezone.now() if is_said else None
        return cleaned

    def _settle(self, cleaned: dict[str, Any]) -> None:
        given = {} if cleaned["settings"] is None else cleaned["settings"]
        driver = cleaned["driver"]
        cleaned["settings"] = completed(driver, given, held_driver=self.held_driver, held=self.held)
        if {"settings", "driver"} & set(self.changed_data):
            for sentence in wrong_settings(driver, cleaned["settings"]):
                self.add_error("settings", sentence)


@admin.register(Device)
class DeviceAdmin(MapsMixin, admin.ModelAdmin):
    """What can be told what to do. A device that was ever told anything is kept, for its history."""

    form = DeviceForm
    other_side = "meter"
    list_display = [
        "external_id",
        "name",
        "kind",
        "site",
        "driver",
        "rated_power_kw",
        "is_online",
        "meter_count",
    ]
    list_filter = [MappedFilter, "kind", "driver", "is_online", "commitments_only"]
    list_select_related = ["site"]
    list_per_page = 100
    search_fields = ["external_id", "name", "site__name", "meters__meter_id"]
    search_help_text = "External id, name, site or Leap's id of a meter"
    ordering = ["external_id"]
    autocomplete_fields = ["site"]
    readonly_fields = ["state_of_charge_at", "is_online", "last_seen_at", "schedule_version"]
    inlines = [MetersInline]
    actions = ["map_to", "plan_again"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        """Count the meters in the same query."""
        return super().get_queryset(request).annotate(meter_count=Count("meter_devices", distinct=True))

    @admin.display(description="Meters", ordering="meter_count")
    def meter_count(self, device: Device) -> int:
        """Show how many meters the device sits behind."""
        return int(device.meter_count)  # type: ignore[attr-defined]  # annotated above

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        """Only a device that was never told anything, and only one by one."""
        return obj is not None and not obj.schedule_version and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Device, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Write what was changed alone: a worker may have written the rest in the meantime."""
        if "state_of_charge_percent" in form.changed_data:
            form.changed_data.append("state_of_charge_at")
        save_changes(obj, form=form, is_new=not change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Plan the device again if anything of it or its mapping changed; weigh a state of charge alone."""
        super().save_related(request, form, formsets, change)
        if form.has_changed():
            Device.objects.filter(pk=form.instance.pk).update(**{asking(form.changed_data): timezone.now()})
        _request_plans_of(formsets)

    @admin.action(description="Plan the selected devices again")
    def plan_again(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        """Have the devices planned, as if something of them had changed."""
        count = queryset.update(plan_requested_at=timezone.now())
        self.message_user(request, f"Devices to be planned again: {count}.")


def _request_plans_of(formsets: Iterable[Any]) -> None:
    pairs = {
        (row.meter_id, row.device_id)
        for formset in formsets
        if formset.model is MeterDevice
        for row in changed_rows(formset)
    }
    request_plans(pairs=pairs, now=timezone.now())


@admin.register(SimulatedDevice)
class SimulatedDeviceAdmin(admin.ModelAdmin):
    """What simulated devices hold; their fault is the one thing to play with."""

    list_display = ["device", "accepted_version", "accepted_at", "accepted_count", "refused_count", "fault"]
    list_filter = ["fault"]
    list_select_related = ["device"]
    search_fields = ["device__external_id", "device__name"]
    ordering = ["device"]
    fields = ["device", "fault", "accepted_version", "accepted_at", "message", "physics", "due_at"]
    readonly_fields = ["device", "accepted_version", "accepted_at", "message", "physics", "due_at"]

    def save_model(self, request: HttpRequest, obj: SimulatedDevice, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Write the fault alone: the rest is the device's own."""
        obj.save(update_fields=["fault"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The driver makes them."""
        return False


@admin.register(FoundDevice)
class FoundDeviceAdmin(ReadOnly):
    """Devices that announced themselves at the broker."""

    list_display = ["device", "manufacturer", "model", "found_at", "gone_at", "dismissed_at"]
    list_filter = [("dismissed_at", admin.EmptyFieldListFilter), ("gone_at", admin.EmptyFieldListFilter)]
    list_select_related = ["device"]
    search_fields = ["device__external_id", "device__name", "manufacturer", "model"]
    ordering = ["-found_at"]
    actions = ["list_again"]

    def has_administer_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may say what is mapped and what is not wanted."""
        return request.user.has_perm("dispatch.administer")

    @admin.action(description="List the selected devices as found again", permissions=["administer"])
    def list_again(self, request: HttpRequest, queryset: QuerySet[FoundDevice]) -> None:
        """Take back that they were dismissed."""
        count = queryset.filter(dismissed_at__isnull=False).update(dismissed_at=None)
        self.message_user(request, f"Devices listed again: {count}.")
