"""The certification page: everybody reads, operators start."""

from __future__ import annotations

import pytest
from django.utils import timezone

from leapvpp.certification.running import start_run
from leapvpp.health import COMMAND_WORKER, DISPATCHER, WORKER, note_heartbeat
from leapvpp.models import CertificationRun, ResultState, RunState
from tests.people import person

pytestmark = pytest.mark.django_db


def let_everything_beat():
    for name in (WORKER, COMMAND_WORKER, DISPATCHER):
        note_heartbeat(name=name, now=timezone.now())


def test_a_viewer_reads_and_may_not_start(client):
    client.force_login(person("viewer"))
    page = client.get("/certification/").content.decode()
    assert "No run yet" in page
    assert "Start a run" not in page
    assert client.post("/certification/start/").status_code == 403
    assert not CertificationRun.objects.exists()


def test_an_operator_starts_a_run_that_workers_play(client):
    let_everything_beat()
    client.force_login(person("operator"))
    answer = client.post("/certification/start/", follow=True)
    run = CertificationRun.objects.get()
    assert answer.redirect_chain == [(f"/certification/{run.pk}/", 302)]
    assert (run.is_in_worker, run.started_by) == (True, "a-operator")
    assert 'hx-trigger="every 2s"' in answer.content.decode()


def test_no_run_starts_without_a_worker_to_play_it(client):
    client.force_login(person("operator"))
    page = client.post("/certification/start/", follow=True).content.decode()
    assert "The run was not started. The worker is not running" in page
    assert not CertificationRun.objects.exists()


def test_a_report_shows_what_was_found_and_can_be_kept(client):
    run = start_run(url="http://portal", started_by="maya", names=["repeated"], now=timezone.now())
    checks = [
        {"name": "Events", "passed": True, "sentence": "All 1 events are held."},
        {"name": "Schedules", "passed": False, "sentence": "oakland-home is to do <nothing>."},
    ]
    run.results.update(state=ResultState.FAILED, checks=checks, recorded_seconds=0.25)
    CertificationRun.objects.update(state=RunState.FAILED, finished_at=run.started_at)
    client.force_login(person("viewer"))
    page = client.get("/certification/").content.decode()
    assert "oakland-home is to do &lt;nothing&gt;." in page
    assert "0.25 s" in page
    assert "hx-trigger" not in page.partition('id="certification"')[2].partition(">")[0]
    report = client.get(f"/certification/{run.pk}/report.md")
    assert report["content-type"].startswith("text/markdown")
    assert "- ✕ **Schedules.** oakland-home is to do <nothing>." in report.content.decode()
