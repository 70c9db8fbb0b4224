"""Which events, notifications, overlaps and overrides; a bad value is answered with a sentence."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters

from dispatch.models import DispatchEvent, NotificationStatus, OverrideScope, Source, TestKind
from dispatch.queries import EventStatus, of_program, with_status
from meters.api.filters import CodeFilter, LeapIdFilter, MeterIdFilter, MomentFilter, RowIdFilter


class EventFilter(filters.FilterSet):
    """Which events. Windows are half-open: an event that ends at `ends_after` is left out."""

    status = CodeFilter(EventStatus, method="having_status")
    program = filters.CharFilter(method="of_program", label="Leap's program code, in any case.")
    meter_id = filters.CharFilter(method="naming_meter", label="Leap's id of a meter it names.")
    market_group_id = LeapIdFilter()
    starts_before = MomentFilter(field_name="starts_at", lookup_expr="lt")
    ends_after = MomentFilter(field_name="ends_at", lookup_expr="gt")
    test = CodeFilter(TestKind)
    leap_event_id = LeapIdFilter()
    overlapping = filters.BooleanFilter(field_name="is_overlapping")
    confirmed = filters.BooleanFilter(field_name="is_confirmed")

    def having_status(self, events: QuerySet[DispatchEvent], _: str, value: str) -> QuerySet[DispatchEvent]:
        """Keep the events that stand there now."""
        return with_status(events, status=value.upper(), now=timezone.now())

    def of_program(self, events: QuerySet[DispatchEvent], _: str, value: str) -> QuerySet[DispatchEvent]:
        """Keep the events called for a program."""
        return of_program(events, program=value)

    def naming_meter(self, events: QuerySet[DispatchEvent], _: str, value: str) -> QuerySet[DispatchEvent]:
        """Keep the events whose recipients name the meter."""
        return events.filter(recipients__members__meter_id=value.lower())


class DoubtFilter(filters.FilterSet):
    """Which doubts."""

    event_id = RowIdFilter(field_name="event_id")
    open = filters.BooleanFilter(field_name="settled_at", lookup_expr="isnull", label="Not settled yet?")


class NotificationFilter(filters.FilterSet):
    """Which notifications."""

    status = CodeFilter(NotificationStatus)
    source = CodeFilter(Source)
    sha256 = filters.CharFilter(lookup_expr="iexact")
    leap_event_id = LeapIdFilter(field_name="items__leap_event_id", distinct=True)
    received_after = MomentFilter(field_name="received_at", lookup_expr="gte")
    received_before = MomentFilter(field_name="received_at", lookup_expr="lt")


class OverlapFilter(filters.FilterSet):
    """Which overlaps."""

    device_id = RowIdFilter(field_name="device_id")
    external_id = filters.CharFilter(field_name="device__external_id")
    meter_id = MeterIdFilter(field_name="device__meters__meter_id")
    starts_before = MomentFilter(field_name="starts_at", lookup_expr="lt")
    ends_after = MomentFilter(field_name="ends_at", lookup_expr="gt")


class OverrideFilter(filters.FilterSet):
    """Which overrides."""

    scope = CodeFilter(OverrideScope)
    target = filters.CharFilter()
    starts_before = MomentFilter(field_name="starts_at", lookup_expr="lt")
    ends_after = MomentFilter(field_name="ends_at", lookup_expr="gt")
