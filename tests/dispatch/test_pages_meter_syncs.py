"""The page of meters says how far a sync is, what the last one changed, and why one failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from meters.sync_models import MeterChange, MeterSync, SyncState
from meters.sync_turns import finish, go_on, start
from tests.builders import meter
from tests.people import bearer, person

pytestmark = pytest.mark.django_db


def page(client, address: str = "/meters/") -> str:
    return client.get(address).content.decode()


def test_a_sync_is_asked_for_followed_and_read_in_words(client, settings):
    client.force_login(person("operator"))
    assert "LEAP_API_KEY is not set" in page(client)
    client.post("/meters/sync/")
    assert MeterSync.objects.count() == 0

    settings.LEAP_API_KEY = "key-of-the-account"
    client.post("/meters/sync/")
    assert "under way already" in client.post("/meters/sync/", follow=True).content.decode()
    run = MeterSync.objects.get()
    assert (run.kind, run.requested_by) == ("FULL", "a-operator")
    assert "Waiting for a worker" in page(client)

    now = timezone.now()
    run = start(run, now=now)
    MeterSync.objects.update(expected=1200)
    go_on(run, now=now, meters=300, changed=2)
    assert "25 % read from Leap" in page(client) and 'hx-trigger="every 2s"' in page(client)

    one = meter(name="Oakland home")
    fields = {
        "participation": ["PARTICIPATE", "IDLE"],
        "site.number_of_devices": [1, 2],
        "tags": [[], ["<b>"]],
    }
    MeterChange.objects.create(sync=run, meter=one, kind="CHANGED", fields=fields)
    finish(run, state=SyncState.DONE, detail="", now=now)
    assert "300 meters read: 2 changed." in page(client) and "Sync now" in page(client)
    diff = page(client, f"/meters/syncs/{run.pk}/?kind=changed")
    assert "<del>PARTICIPATE</del> <ins>IDLE</ins>" in diff
    assert "<dt>site: number of devices</dt><dd><del>1</del> <ins>2</ins>" in diff
    assert "<dt>tags</dt><dd><ins>&lt;b&gt;</ins>" in diff
    (row,) = client.get("/api/v1/meter-syncs/?state=done", headers=bearer("viewer")).json()["results"]
    assert (row["kind"], row["meters"], row["changed"], row["detail"]) == ("full", 300, 2, "")
    answer = client.get(f"/api/v1/meter-syncs/{run.pk}/changes/", headers=bearer("viewer"))
    assert answer.json()["results"] == [{"meter_id": one.meter_id, "kind": "changed", "changes": fields}]


def test_a_sync_that_failed_says_why_and_when_the_last_one_went_well(client, settings):
    settings.LEAP_API_KEY = "key-of-the-account"
    client.force_login(person("viewer"))
    ended = timezone.now() - timedelta(hours=3)
    rows = [(SyncState.DONE, ""), (SyncState.FAILED, "Leap answered 403 Forbidden: <not yours>")]
    for state, detail in rows:
        MeterSync.objects.create(
            kind="FULL", state=state, turn=None, requested_at=ended, finished_at=ended, detail=detail
        )

    shown = page(client)

    assert "Leap answered 403 Forbidden: &lt;not yours&gt;" in shown
    assert "The last good sync ended 3 h ago" in shown
    assert "Sync now</" not in shown
    need = page(client, "/")
    assert "The last sync of meters failed" in need and 'href="/meters/#sync"' in need


def test_runs_of_named_meters_stand_for_nothing_and_are_listed_where_they_changed_something(client):
    client.force_login(person("viewer"))
    now = timezone.now()
    rows = [("FULL", 3), ("NAMED", 0), ("NAMED", 1)]
    full, quiet, telling = (
        MeterSync.objects.create(
            kind=kind, state="DONE", turn=None, requested_at=now, finished_at=now, meters=9, changed=changed
        )
        for kind, changed in rows
    )

    assert "9 meters read: 3 changed." in page(client)
    listed = page(client, f"/meters/syncs/{telling.pk}/")
    assert "Meters read again" in listed
    assert f"/meters/syncs/{full.pk}/" in listed and f"/meters/syncs/{quiet.pk}/" not in listed
