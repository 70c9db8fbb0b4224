"""What must be true of the settings before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from leapvpp.queue import CLUSTERS, COMMANDS, LONG_TASKS, PORTAL, TAKES_TURNS, Cluster, cluster_of

GOOD_KEY_LENGTH = 16
CONNECT_HOSTS = ("leap.energy", "addleap.com")


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
def check_connect_url(**_: Any) -> list[CheckMessage]:
    """Customers are sent to Leap and nowhere else; what a link adds does not stand in the address already."""
    parts = urlsplit(settings.LEAP_CONNECT_URL)
    host = parts.hostname or ""
    found: list[CheckMessage] = []
    if host and not any(host == each or host.endswith(f".{each}") for each in CONNECT_HOSTS):
        hint = f"Addresses of Leap Connect end in {' or '.join(CONNECT_HOSTS)}."
        found.append(Warning(f"LEAP_CONNECT_URL sends customers to {host}.", hint=hint, id="leapvpp.W002"))
    if "refId" in parse_qs(parts.query, keep_blank_values=True):
        hint = "Take refId out of LEAP_CONNECT_URL; each customer's link gets its own."
        found.append(Warning("LEAP_CONNECT_URL names a refId.", hint=hint, id="leapvpp.W003"))
    return found


@register()
def check_worker(**_: Any) -> list[CheckMessage]:
    """Each queue gives work back only when it cannot be running any more, and lives beside the rows."""
    found: list[CheckMessage] = []
    for cluster in CLUSTERS:
        longest = _longest_seconds(cluster)
        if cluster.settings["retry"] <= longest:
            hint = f"Set retry of the cluster {cluster.name} above {longest:.0f} seconds."
            found.append(Error("Queued work would run twice.", hint=hint, id="leapvpp.E004"))
    if COMMANDS.name not in settings.Q_CLUSTER["ALT_CLUSTERS"] or settings.Q_CLUSTER["name"] != PORTAL.name:
        hint = "Keep the names of the clusters in Q_CLUSTER as they are."
        found.append(Error("Nobody would do what is queued.", hint=hint, id="leapvpp.E007"))
    if settings.Q_CLUSTER.get("orm") != "default":
        hint = "Keep Q_CLUSTER['orm'] at 'default'."
        found.append(
            Error("Wake-ups would not commit with the rows they are about.", hint=hint, id="leapvpp.E005")
        )
    return found


def _longest_seconds(cluster: Cluster) -> float:
    """Return how long a task may wait among the fetched and then run."""
    config = cluster.settings
    waits = config["timeout"] * (config["bulk"] + config["queue_limit"]) / config["workers"]
    long = [
        seconds
        for task, seconds in LONG_TASKS.items()
        if cluster_of(task) == cluster and task not in TAKES_TURNS
    ]
    return float(waits + max([config["timeout"], *long]))


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
