"""What must be true of the settings before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from leapvpp.queue import LONG_TASKS

GOOD_KEY_LENGTH = 16


@register(Tags.security)
def check_time_is_utc(**_: Any) -> list[CheckMessage]:
    """Times are aware and UTC, so that a naive one is never guessed from a zone."""
    if settings.USE_TZ and settings.TIME_ZONE == "UTC":
        return []
    return [
        Error(
            "Times must be aware and UTC.", hint="Keep USE_TZ and TIME_ZONE as they are.", id="leapvpp.E001"
        )
    ]


@register(Tags.security)
def check_webhook_keys(**_: Any) -> list[CheckMessage]:
    """Leap's keys exist, differ, and are not short enough to be guessed."""
    keys = settings.LEAP_WEBHOOK_KEYS
    found: list[CheckMessage] = []
    if not keys:
        found.append(Error("No dispatch can be received.", hint="Set LEAP_WEBHOOK_KEYS.", id="leapvpp.E002"))
    if len(set(keys)) < len(keys):
        found.append(Error("LEAP_WEBHOOK_KEYS names a key twice.", id="leapvpp.E003"))
    if any(len(key) < GOOD_KEY_LENGTH for key in keys) and not settings.DEBUG:
        hint = f"Use {GOOD_KEY_LENGTH} random characters or more."
        found.append(Warning("A key of LEAP_WEBHOOK_KEYS is short.", hint=hint, id="leapvpp.W001"))
    return found


@register()
def check_worker(**_: Any) -> list[CheckMessage]:
    """The queue gives work back only when it cannot be running any more, and lives beside the rows."""
    config = settings.Q_CLUSTER
    found: list[CheckMessage] = []
    waits = config["timeout"] * (config["bulk"] + config["queue_limit"]) / config["workers"]
    longest = waits + max(config["timeout"], *LONG_TASKS.values())
    if config["retry"] <= longest:
        hint = f"Set retry above {longest:.0f} seconds."
        found.append(Error("Queued work would run twice.", hint=hint, id="leapvpp.E004"))
    if config.get("orm") != "default":
        hint = "Keep Q_CLUSTER['orm'] at 'default'."
        found.append(
            Error("Wake-ups would not commit with the rows they are about.", hint=hint, id="leapvpp.E005")
        )
    return found


@register()
def check_sqlite(**_: Any) -> list[CheckMessage]:
    """SQLite runs with a write-ahead log and immediate transactions."""
    if connection.vendor != "sqlite":
        return []
    options = connection.settings_dict["OPTIONS"]
    wanted: dict[str, Callable[[], bool]] = {
        "immediate transactions": lambda: options.get("transaction_mode") == "IMMEDIATE",
        "a write-ahead log": lambda: "journal_mode=WAL" in options.get("init_command", ""),
    }
    return [
        Error(f"SQLite needs {name}.", hint="Keep OPTIONS as they are.", id="leapvpp.E006")
        for name, holds in wanted.items()
        if not holds()
    ]
