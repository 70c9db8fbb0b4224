"""What needs a person, device by device, and whether messages about it leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Page
from django.db.models import Count, Min, Q, QuerySet
from django.http import QueryDict

from devices.alert_models import Alert, AlertKind, AlertMessage, Channel
from devices.alerting import channels
from devices.models import DeviceKind
from dispatch.reading import words
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, ordering, page_of, tabs

SHOWN_TABS = {"": "Open", "acknowledged": "Acknowledged", "history": "History"}
SORTS = {"raised": "raised_at", "device": "device__name"}
KIND_VERDICTS = {
    AlertKind.FAILED: "bad",
    AlertKind.UNVERIFIED: "warn",
    AlertKind.OFFLINE_BEFORE_EVENT: "warn",
    AlertKind.NOT_RESTORED: "bad",
    AlertKind.CHANGED_BY_OTHERS: "warn",
}
PRINTING: Final = "django.core.mail.backends.console.EmailBackend"


@dataclass(frozen=True, slots=True)
class Row:
    """One alert."""

    id: int
    device_id: int
    device: str
    external_id: str
    kind: str
    verdict: str
    text: str
    raised_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    may_acknowledge: bool


@dataclass(frozen=True, slots=True)
class Leaving:
    """Whether messages leave: how, and what keeps them. `kind` is of the note that says so."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class AlertList:
    """The list with what stands above it."""

    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]
    leaving: tuple[Leaving, ...]
    is_open: bool


def open_count() -> int:
    """Count the alerts that nobody acknowledged and that still hold."""
    return Alert.objects.filter(cleared_at__isnull=True, acknowledged_at__isnull=True).count()


def standing_of(device_id: int) -> tuple[Row, ...]:
    """Read what is wrong with one device now, seen or not, the oldest first. One query."""
    found = Alert.objects.filter(device_id=device_id, cleared_at__isnull=True).select_related("device")
    return tuple(_row(alert) for alert in found.order_by("raised_at"))


def read_list(query: QueryDict, *, now: datetime) -> AlertList:
    """Read one page of alerts, the newest first. Five queries."""
    which = chosen(query, "show", allowed=SHOWN_TABS)
    kind = chosen(query, "kind", allowed=[value.lower() for value in AlertKind.values])
    device_kind = chosen(query, "device", allowed=[value.lower() for value in DeviceKind.values])
    search = query.get("q", "").strip()
    found = _found(kind=kind, device_kind=device_kind, search=search)
    shown = found.filter(_WHICH[which]).select_related("device")
    order = ordering(query, offered=SORTS, default="-raised")
    page = page_of(shown.order_by(*order), number=query.get("page", ""))
    counts = found.aggregate(
        **{f"in_{key or 'open'}": Count("pk", filter=condition) for key, condition in _WHICH.items()}
    )
    return AlertList(
        tabs=tabs(
            SHOWN_TABS, current=which, counts={key: counts[f"in_{key or 'open'}"] for key in SHOWN_TABS}
        ),
        filters=(
            _choices("kind", "What is wrong", "Everything", AlertKind.choices, kind),
            _choices("device", "Device kind", "All kinds of device", DeviceKind.choices, device_kind),
        ),
        search=search,
        page=page,
        rows=tuple(_row(alert) for alert in page),
        leaving=_leaving(now=now),
        is_open=which == "",
    )


_WHICH: Final = {
    "": Q(cleared_at__isnull=True, acknowledged_at__isnull=True),
    "acknowledged": Q(cleared_at__isnull=True, acknowledged_at__isnull=False),
    "history": Q(cleared_at__isnull=False),
}


def _choices(
    name: str, label: str, everything: str, options: Iterable[tuple[Any, Any]], current: str
) -> Filter:
    shown = {str(value).lower(): str(text) for value, text in options}
    return drop_down(name, label=label, everything=everything, options=shown, current=current)


def _found(*, kind: str, device_kind: str, search: str) -> QuerySet[Alert]:
    """Filter by what is wrong, the kind of device and the device's name or id."""
    found = Alert.objects.all()
    if kind:
        found = found.filter(kind=kind.upper())
    if device_kind:
        found = found.filter(device__kind=device_kind.upper())
    if search:
        found = found.filter(Q(device__external_id__icontains=search) | Q(device__name__icontains=search))
    return found


def _row(alert: Alert) -> Row:
    return Row(
        id=alert.pk,
        device_id=alert.device_id,
        device=str(alert.device),
        external_id=alert.device.external_id,
        kind=alert.get_kind_display(),
        verdict="plain" if alert.cleared_at else KIND_VERDICTS[AlertKind(alert.kind)],
        text=alert.text,
        raised_at=alert.raised_at,
        cleared_at=alert.cleared_at,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        note=alert.note,
        may_acknowledge=alert.cleared_at is None and alert.acknowledged_at is None,
    )


def _leaving(*, now: datetime) -> tuple[Leaving, ...]:
    """Say how messages leave and what keeps them. One query where there is a channel."""
    used = channels()
    if not used:
        text = "Alerts stand on this page alone. Set ALERT_EMAILS or ALERT_WEBHOOK_URL to have them sent."
        return (Leaving(text),)
    addresses = words.counted(len(settings.ALERT_EMAILS), one="address", many="addresses")
    ways = {Channel.EMAIL: f"by e-mail to {addresses}", Channel.WEBHOOK: "by webhook"}
    found = [Leaving(f"New alerts are sent {' and '.join(ways[channel] for channel in used)}.")]
    if Channel.EMAIL in used and settings.EMAIL_BACKEND == PRINTING:
        found.append(Leaving("Mail is printed in the log alone: EMAIL_URL names no mail server.", "warn"))
    stuck = AlertMessage.objects.filter(next_attempt_at__isnull=False, attempt_count__gt=0).exclude(detail="")
    for row in stuck.values("channel", "detail").annotate(first=Min("created_at"), count=Count("pk")):
        text = f"{Channel(row['channel']).label} does not leave: {row['detail']}"
        since = words.relative(row["first"], now=now)
        found.append(Leaving(f"{text} The first was written {since}.", "bad"))
    return tuple(found)
