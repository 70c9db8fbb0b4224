"""Alive, ready, and the figures for Prometheus."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.models import PollState
from leapvpp.health import note_heartbeat
from tests.people import bearer

pytestmark = pytest.mark.django_db


def beat(*, seconds_ago: int = 0) -> None:
    for name in ["worker", "command worker", "dispatcher"]:
        note_heartbeat(name=name, now=timezone.now() - timedelta(seconds=seconds_ago))


def poll(*, seconds_ago: int | None) -> None:
    answered_at = None if seconds_ago is None else timezone.now() - timedelta(seconds=seconds_ago)
    PollState.objects.update_or_create(level="METER", defaults={"answered_at": answered_at})


def test_alive_asks_nobody(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").status_code == 200


READINESS = {
    # name: heartbeat's age or None, Leap's key, the poll's age or None, expected status
    "all well, no polling": (1, "", None, 200),
    "nothing seen yet": (None, "", None, 503),
    "processes silent": (60, "", None, 503),
    "polled lately": (1, "key", 60, 200),
    "polled too long ago": (1, "key", 181, 503),
    "never answered": (1, "key", None, 503),
}


@pytest.mark.parametrize(("beat_age", "key", "poll_age", "status"), READINESS.values(), ids=READINESS.keys())
def test_ready_means_that_every_part_is(beat_age, key, poll_age, status, client, settings):
    settings.LEAP_API_KEY = key
    if beat_age is not None:
        beat(seconds_ago=beat_age)
    if key:
        poll(seconds_ago=poll_age)
    assert client.get("/readyz").status_code == status


def test_readiness_names_the_part_that_is_not(client):
    note_heartbeat(name="dispatcher", now=timezone.now())
    checks = client.get("/readyz").json()["checks"]
    assert checks["database"]["ok"]
    assert checks["dispatcher"]["ok"]
    assert checks["worker"] == checks["command worker"] == {"ok": False, "detail": "never seen"}


def test_with_a_broker_the_listener_must_be_seen_too(client, settings):
    beat()
    settings.MQTT_URL = "mqtt://127.0.0.1"
    assert client.get("/readyz").json()["checks"]["mqtt listener"] == {"ok": False, "detail": "never seen"}
    note_heartbeat(name="mqtt listener", now=timezone.now())
    assert client.get("/readyz").status_code == 200


def test_with_chargers_the_central_system_must_be_seen_too(client, settings):
    beat()
    settings.OCPP_LISTEN = "127.0.0.1:9000"
    assert client.get("/readyz").json()["checks"]["ocpp server"] == {"ok": False, "detail": "never seen"}
    note_heartbeat(name="ocpp server", now=timezone.now())
    assert client.get("/readyz").status_code == 200


def test_a_scraper_reads_figures_with_a_viewers_key(client):
    beat()
    answer = client.get("/metrics", headers={**bearer("viewer"), "accept": "text/plain;version=0.0.4"})
    assert answer.status_code == 200
    assert answer["content-type"].startswith("text/plain")
    assert 'leapvpp_heartbeat_age_seconds{process="worker"}' in answer.text
    assert 'leapvpp_queued_tasks{cluster="commands"} 0.0' in answer.text
