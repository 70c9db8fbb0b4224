"""`/metrics` for Prometheus: counts and ages, asked of the database at each scrape.

Rows are the truth here too: the figures are the same whichever process answers, and nothing is kept
in memory that a restart would lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min, QuerySet, Sum
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from devices.alert_models import Alert, AlertMessage
from devices.models import OPEN_COMMAND_STATES, Command, Device
from dispatch.models import DispatchEvent, DispatchNotification, PollState, RejectedDelivery
from leapvpp import queue
from leapvpp.models import Heartbeat


def ages(
    name: str, what: str, label: str, pairs: Iterable[tuple[str, datetime | None]], *, now: datetime
) -> Metric:
    """Return a gauge of seconds since each moment; what never happened is left out."""
    gauge = GaugeMetricFamily(name, what, labels=[label])
    for value, moment in pairs:
        if moment is not None:
            gauge.add_metric([value.lower()], (now - moment).total_seconds())
    return gauge


def counts(name: str, what: str, label: str, rows: QuerySet, field: str) -> Metric:
    """Return a gauge of how many rows there are for each value of a field."""
    gauge = GaugeMetricFamily(name, what, labels=[label])
    for value, count in rows.values_list(field).annotate(Count("pk")).order_by(field):
        gauge.add_metric([str(value).lower()], count)
    return gauge


class RowsCollector(Collector):
    """Asks the database, a fixed number of queries a scrape."""

    def __init__(self, *, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        yield from self._intake()
        yield from self._commands()
        yield from self._alerts()
        yield from self._processes()

    def _intake(self) -> Iterator[Metric]:
        yield counts(
            "leapvpp_notifications",
            "Notifications stored, by what became of them",
            "status",
            DispatchNotification.objects.all(),
            "status",
        )
        rejected = CounterMetricFamily(
            "leapvpp_rejected_deliveries", "Deliveries refused at the door", labels=["cause"]
        )
        for cause, total in (
            RejectedDelivery.objects.values_list("cause").annotate(Sum("count")).order_by("cause")
        ):
            rejected.add_metric([cause.lower()], total)
        yield rejected
        live = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=self.now)
        yield counts("leapvpp_live_events", "Events not cancelled and not over", "level", live, "level")
        yield GaugeMetricFamily(
            "leapvpp_unconfirmed_events",
            "Events about which Leap's answer is awaited",
            value=DispatchEvent.objects.filter(is_confirmed=False).count(),
        )

    def _commands(self) -> Iterator[Metric]:
        yield counts(
            "leapvpp_devices", "Devices, by whether they answer", "online", Device.objects.all(), "is_online"
        )
        yield counts(
            "leapvpp_open_commands",
            "Commands that are not finished",
            "state",
            Command.objects.filter(state__in=OPEN_COMMAND_STATES),
            "state",
        )
        oldest = Command.objects.filter(next_attempt_at__lte=self.now).aggregate(at=Min("next_attempt_at"))[
            "at"
        ]
        yield GaugeMetricFamily(
            "leapvpp_oldest_due_command_seconds",
            "How late the latest of the due commands is",
            value=(self.now - oldest).total_seconds() if oldest else 0,
        )

    def _alerts(self) -> Iterator[Metric]:
        holding = Alert.objects.filter(cleared_at__isnull=True)
        yield counts("leapvpp_open_alerts", "Alerts that hold now", "kind", holding, "kind")
        yield GaugeMetricFamily(
            "leapvpp_unacknowledged_alerts",
            "Alerts that hold now and that nobody has acknowledged",
            value=holding.filter(acknowledged_at__isnull=True).count(),
        )
        yield GaugeMetricFamily(
            "leapvpp_unsent_alert_messages",
            "Messages about alerts that wait to be sent",
            value=AlertMessage.objects.filter(next_attempt_at__isnull=False).count(),
        )

    def _processes(self) -> Iterator[Metric]:
        beats = Heartbeat.objects.values_list("name", "beat_at").order_by("name")
        yield ages(
            "leapvpp_heartbeat_age_seconds", "Since a process was seen", "process", beats, now=self.now
        )
        if settings.LEAP_API_KEY:
            answers = PollState.objects.values_list("level", "answered_at").order_by("level")
            yield ages(
                "leapvpp_poll_age_seconds", "Since Leap's search answered", "level", answers, now=self.now
            )
        yield from self._queues()

    def _queues(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "leapvpp_queued_tasks", "Wake-ups waiting for a worker", labels=["cluster"]
        )
        oldest = GaugeMetricFamily(
            "leapvpp_oldest_queued_task_seconds", "How long the oldest of them has waited", labels=["cluster"]
        )
        for cluster in queue.CLUSTERS:
            waiting.add_metric([cluster.name], queue.waiting_count(cluster, now=self.now))
            oldest.add_metric([cluster.name], queue.oldest_waiting_seconds(cluster, now=self.now))
        yield from (waiting, oldest)


class AnyType(BaseContentNegotiation):
    """A scraper asks for types no renderer of the API names; errors are JSON whatever it asks for."""

    def select_parser(self, request: Request, parsers):  # type: ignore[no-untyped-def]
        """Return the first parser."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers, format_suffix=None):  # type: ignore[no-untyped-def]
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class Metrics(APIView):
    """Prometheus' text format; a key of role viewer is enough."""

    schema = None
    content_negotiation_class = AnyType

    def get(self, request: Request) -> HttpResponse:
        """Answer with the figures of this moment."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(RowsCollector(now=timezone.now()))
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
