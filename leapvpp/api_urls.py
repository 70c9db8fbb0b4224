"""Where the REST API's addresses lead; included under `/api/v1/`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from devices.api.alerts import AlertViewSet
from devices.api.mapping import MappingViewSet
from devices.api.telemetry import IntervalViewSet, TelemetryView
from devices.api.views import CommandViewSet, DeviceViewSet, ScheduleViewSet
from dispatch.api.leap_connection import LeapConnectionView
from dispatch.api.meters import MeterWithCausesViewSet
from dispatch.api.participation import ParticipationViewSet
from dispatch.api.replays import ReplayViewSet
from dispatch.api.seasons import ProgramViewSet, SeasonViewSet
from dispatch.api.views import (
    ROW_ID,
    DoubtViewSet,
    EventViewSet,
    NotificationViewSet,
    OverlapViewSet,
    OverrideViewSet,
    PolicyViewSet,
    PreviewView,
    ProgramPriceViewSet,
)
from leapvpp.access import RolePermission
from meters.api.enrollments import EnrollmentViewSet, RequiredActionViewSet
from meters.api.onboarding import ConnectionViewSet, MeterJobViewSet
from meters.api.syncs import MeterSyncViewSet
from meters.api.views import MarketGroupViewSet

READERS = [RolePermission]

router = DefaultRouter()
router.include_format_suffixes = False
router.register("events", EventViewSet, basename="event")
router.register("doubts", DoubtViewSet, basename="doubt")
router.register("notifications", NotificationViewSet, basename="notification")
router.register("overlaps", OverlapViewSet, basename="overlap")
router.register("overrides", OverrideViewSet, basename="override")
router.register("participation-requests", ParticipationViewSet, basename="participation-request")
router.register("policies", PolicyViewSet, basename="policy")
router.register("program-prices", ProgramPriceViewSet, basename="program-price")
router.register(f"policies/(?P<policy_id>{ROW_ID})/replays", ReplayViewSet, basename="replay")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("commands", CommandViewSet, basename="command")
router.register("alerts", AlertViewSet, basename="alert")
router.register("devices", DeviceViewSet, basename="device")
router.register(f"devices/(?P<device_id>{ROW_ID})/telemetry", IntervalViewSet, basename="interval")
router.register("meters/mapping", MappingViewSet, basename="mapping")
router.register("meters", MeterWithCausesViewSet, basename="meter")
router.register("meter-jobs", MeterJobViewSet, basename="meter-job")
router.register("connections", ConnectionViewSet, basename="connection")
router.register("enrollments", EnrollmentViewSet, basename="enrollment")
router.register("required-actions", RequiredActionViewSet, basename="required-action")
router.register("meter-syncs", MeterSyncViewSet, basename="meter-sync")
router.register("market-groups", MarketGroupViewSet, basename="market-group")
router.register("programs", ProgramViewSet, basename="program")
router.register("seasons", SeasonViewSet, basename="season")

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("plans/preview/", PreviewView.as_view(), name="plan-preview"),
    path("leap-connection/", LeapConnectionView.as_view(), name="leap-connection"),
    path("telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("schema/", SpectacularAPIView.as_view(permission_classes=READERS), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", permission_classes=READERS),
        name="docs",
    ),
    *router.urls,
]
