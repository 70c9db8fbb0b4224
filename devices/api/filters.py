"""Which devices, schedules and commands; a bad value is answered with a sentence."""

from __future__ import annotations

from django_filters import rest_framework as filters

from devices.models import CommandKind, CommandState, DeviceKind
from meters.api.filters import CodeFilter, MeterIdFilter, MomentFilter, RowIdFilter


class DeviceFilter(filters.FilterSet):
    """Which devices."""

    external_id = filters.CharFilter()
    meter_id = MeterIdFilter(field_name="meters__meter_id")
    kind = CodeFilter(DeviceKind)
    driver = filters.CharFilter()
    online = filters.BooleanFilter(field_name="is_online")
    commitments_only = filters.BooleanFilter()
    mapped = filters.BooleanFilter(
        field_name="meters", lookup_expr="isnull", exclude=True, distinct=True, label="Sits behind a meter?"
    )


class ScheduleFilter(filters.FilterSet):
    """Whose schedules."""

    device_id = RowIdFilter(field_name="id")
    external_id = filters.CharFilter()
    meter_id = MeterIdFilter(field_name="meters__meter_id")


class CommandFilter(filters.FilterSet):
    """Which commands."""

    device_id = RowIdFilter(field_name="device_id")
    external_id = filters.CharFilter(field_name="device__external_id")
    meter_id = MeterIdFilter(field_name="device__meters__meter_id")
    state = CodeFilter(CommandState)
    kind = CodeFilter(CommandKind)
    schedule_version = RowIdFilter(field_name="schedule__version")
    due_after = MomentFilter(field_name="due_at", lookup_expr="gte")
    due_before = MomentFilter(field_name="due_at", lookup_expr="lt")
