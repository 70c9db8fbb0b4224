"""The system checks notice what would hurt only later."""

from __future__ import annotations

import pytest
from django.conf import settings

from dispatch.queue import PLANNING_SECONDS
from leapvpp import checks

CASES = {
    "a zone of its own": (checks.check_time_is_utc, {"TIME_ZONE": "America/Chicago"}, "leapvpp.E001"),
    "naive times": (checks.check_time_is_utc, {"USE_TZ": False}, "leapvpp.E001"),
    "no key": (checks.check_webhook_keys, {"LEAP_WEBHOOK_KEYS": []}, "leapvpp.E002"),
    "a key twice": (checks.check_webhook_keys, {"LEAP_WEBHOOK_KEYS": ["a" * 20, "a" * 20]}, "leapvpp.E003"),
    "a short key": (checks.check_webhook_keys, {"LEAP_WEBHOOK_KEYS": ["a" * 15]}, "leapvpp.W001"),
    "work given back while it runs": (
        checks.check_worker,
        {"Q_CLUSTER": {**settings.Q_CLUSTER, "retry": settings.Q_CLUSTER["timeout"]}},
        "leapvpp.E004",
    ),
    "a plan given back while it is made": (
        checks.check_worker,
        {"Q_CLUSTER": {**settings.Q_CLUSTER, "retry": PLANNING_SECONDS}},
        "leapvpp.E004",
    ),
    "commands that nobody sends": (
        checks.check_worker,
        {"Q_CLUSTER": {**settings.Q_CLUSTER, "ALT_CLUSTERS": {}}},
        "leapvpp.E007",
    ),
    "a queue apart from the rows": (
        checks.check_worker,
        {"Q_CLUSTER": {**settings.Q_CLUSTER, "orm": None}},
        "leapvpp.E005",
    ),
}


@pytest.mark.parametrize(("check", "changes", "expected"), CASES.values(), ids=CASES.keys())
def test_a_bad_setting_is_named(check, changes, expected, settings):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert [message.id for message in check()] == [expected]


def test_sqlite_must_keep_its_log_and_its_immediate_transactions(monkeypatch):
    options = {"transaction_mode": "DEFERRED", "init_command": "PRAGMA journal_mode=DELETE;"}
    monkeypatch.setattr(checks.connection, "vendor", "sqlite", raising=False)
    monkeypatch.setitem(checks.connection.settings_dict, "OPTIONS", options)
    assert [message.id for message in checks.check_sqlite()] == ["leapvpp.E006", "leapvpp.E006"]
