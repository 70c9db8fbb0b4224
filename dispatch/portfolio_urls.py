"""Addresses of the pages about what there is: notifications, meters, groups, devices, commands, overrides."""

from __future__ import annotations

from django.urls import path

from dispatch.views import (
    alerts,
    commands,
    devices,
    doubts,
    groups,
    importing,
    measured,
    meters,
    notifications,
    overrides,
    platform_events,
    policies,
    previews,
    replays,
    test_sends,
)

urlpatterns = [
    path("notifications/", notifications.notification_list, name="notifications"),
    path(
        "notifications/<int:notification_id>/", notifications.notification_detail, name="notification-detail"
    ),
    path(
        "notifications/<int:notification_id>/body/", notifications.notification_body, name="notification-body"
    ),
    path("notifications/<int:notification_id>/replay/", notifications.replay, name="notification-replay"),
    path("notifications/platform/", platform_events.platform_event_list, name="platform-events"),
    path(
        "notifications/platform/<int:platform_event_id>/",
        platform_events.platform_event_detail,
        name="platform-event-detail",
    ),
    path("meters/", meters.meter_list, name="meters"),
    path("meters/import/", importing.meter_import, name="meter-import"),
    path("meters/export/", importing.meter_export, name="meter-export"),
    path("meters/<str:meter_id>/", meters.meter_detail, name="meter-detail"),
    path("meters/<str:meter_id>/devices/", meters.meter_map, name="meter-map"),
    path("meters/<str:meter_id>/devices/<int:device_id>/unmap/", meters.meter_unmap, name="meter-unmap"),
    path("meters/<str:meter_id>/arm/", meters.meter_arm, name="meter-arm"),
    path("meters/<str:meter_id>/disarm/", meters.meter_disarm, name="meter-disarm"),
    path("groups/", groups.group_list, name="groups"),
    path("groups/<str:market_group_id>/", groups.group_detail, name="group-detail"),
    path("devices/", devices.device_list, name="devices"),
    path("devices/import/", importing.device_import, name="device-import"),
    path("devices/export/", importing.device_export, name="device-export"),
    path("devices/<int:device_id>/power/", measured.device_power, name="device-power"),
    path("devices/<int:device_id>/power.svg", measured.device_drawing, name="device-power-drawing"),
    path("devices/<int:device_id>/", devices.device_detail, name="device-detail"),
    path("devices/<int:device_id>/override/", devices.device_override, name="device-override"),
    path("devices/<int:device_id>/wish/", devices.device_wish, name="device-wish"),
    path("devices/<int:device_id>/charge/", devices.device_charge, name="device-charge"),
    path("commands/", commands.command_list, name="commands"),
    path("commands/<int:command_id>/retry/", commands.retry, name="command-retry"),
    path("alerts/", alerts.alert_list, name="alerts"),
    path("alerts/acknowledge/", alerts.alert_acknowledge, name="alert-acknowledge"),
    path("overrides/", overrides.override_list, name="overrides"),
    path("overrides/add/", overrides.override_add, name="override-add"),
    path("overrides/<int:override_id>/", overrides.override_detail, name="override-detail"),
    path("overrides/<int:override_id>/end/", overrides.override_end, name="override-end"),
    path("policies/", policies.policy_list, name="policies"),
    path("policies/add/", policies.policy_add, name="policy-add"),
    path("policies/prices/", policies.price_set, name="price-set"),
    path("policies/prices/remove/", policies.price_remove, name="price-remove"),
    path("policies/<int:policy_id>/", policies.policy_detail, name="policy-detail"),
    path("policies/<int:policy_id>/edit/", policies.policy_edit, name="policy-edit"),
    path("policies/<int:policy_id>/delete/", policies.policy_delete, name="policy-delete"),
    path("policies/<int:policy_id>/assign/", policies.policy_assign, name="policy-assign"),
    path("policies/<int:policy_id>/unassign/", policies.policy_unassign, name="policy-unassign"),
    path("policies/<int:policy_id>/replays/add/", replays.replay_add, name="policy-replay-add"),
    path("policies/<int:policy_id>/replays/<int:replay_id>/", replays.replay_detail, name="policy-replay"),
    path("preview/", previews.preview_page, name="preview"),
    path("tests/", test_sends.tests, name="tests"),
    path("doubts/<int:doubt_id>/keep/", doubts.keep, name="doubt-keep"),
    path("doubts/<int:doubt_id>/take/", doubts.take, name="doubt-take"),
]
