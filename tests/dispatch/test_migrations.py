"""Migrations that move rows, played on rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.builders import NOW

BEFORE = [("dispatch", "0023_policy_replay"), ("devices", "0008_charge_weighing")]
AFTER = [("dispatch", "0026_unserved_of_sets")]


def go(target):
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return executor.loader.project_state(target).apps


@pytest.mark.django_db(transaction=True)
def test_reasons_of_before_are_kept_once_for_devices_that_fared_alike():
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    apps = go(BEFORE)
    try:
        Device = apps.get_model("devices", "Device")
        devices = [Device.objects.create(external_id=f"d{number}", rated_power_kw=1) for number in range(3)]
        sets = apps.get_model("dispatch", "RecipientSet")
        asked = apps.get_model("dispatch", "DispatchEvent").objects.create(
            level="METER",
            leap_event_id="a",
            recipients=sets.objects.create(digest="0" * 64, meter_ids=[]),
            starts_at=NOW,
            ends_at=NOW + timedelta(hours=1),
            priority_rank=1,
            is_voluntary=False,
            cap="",
            first_received_at=NOW,
            changed_at=NOW,
        )
        for each, reason in zip(devices, ["Held.", "Held.", "Skipped."], strict=True):
            apps.get_model("dispatch", "Unserved").objects.create(
                device=each, event=asked, starts_at=NOW, ends_at=NOW + timedelta(hours=1), reason=reason
            )
        apps = go(AFTER)
        rows = apps.get_model("dispatch", "DeviceUnserved").objects.order_by("device__external_id")
        told = rows.values_list("device__external_id", "unserved_set__slices__reason", "until")
        assert list(told) == [("d0", "Held.", None), ("d1", "Held.", None), ("d2", "Skipped.", None)]
        assert apps.get_model("dispatch", "Unserved").objects.count() == 2
    finally:
        go(newest)
