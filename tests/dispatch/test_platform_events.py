"""Leap's platform events: the same door as dispatches, one row an event, shown on pages and in the admin."""

from __future__ import annotations

import gzip
import json

import pytest
from django.utils import timezone

from dispatch.models import RejectedDelivery
from meters.hinting import follow_waiting
from meters.models import PlatformEvent
from meters.sync_models import MeterChange, MeterSync, MeterToRead, SyncKind
from meters.sync_turns import request_sync
from tests.builders import meter
from tests.people import person

pytestmark = pytest.mark.django_db
EVENT_ID = "cca07005-1406-4539-8b84-1a5f24cd1575"
PAYLOAD = {
    "webhook_event_type": "connect_session.updated",
    "partner_reference": "customer-site-123",
    "status": "CREATED",
}


def sent(payload: object = PAYLOAD, *, event_id: object = EVENT_ID, **more: object) -> bytes:
    return json.dumps({"webhook_event_id": event_id, "payload": payload, **more}).encode()


def post(client, body: bytes, *, key: str = "key-one", **headers: str):
    return client.post(
        "/webhooks/leap/events/",
        body,
        content_type="application/json",
        headers={"x-api-key": key, **headers},
    )


def test_an_event_is_stored_as_it_came_and_its_repeat_counted_whatever_its_bytes(client):
    first = post(client, sent())
    assert (first.status_code, first.json()["status"]) == (202, "accepted")
    again = post(client, sent({"webhook_event_type": "another"}, more=1))
    assert (again.status_code, again.json()) == (200, {"id": first.json()["id"], "status": "duplicate"})
    row = PlatformEvent.objects.get()
    assert (row.webhook_event_id, row.event_type, bytes(row.body)) == (
        EVENT_ID,
        "connect_session.updated",
        sent(),
    )
    assert (row.status, row.repeat_count) == ("RECEIVED", 1)
    assert "key-one" not in str(row.headers)


def test_a_type_unknown_to_the_portal_is_kept(client):
    assert post(client, sent({"webhook_event_type": "meter.painted"})).json()["status"] == "accepted"
    assert PlatformEvent.objects.get().event_type == "meter.painted"


UNUSABLE = {
    "no id": sent(event_id=None),
    "an id that is a number": sent(event_id=7),
    "an empty id": sent(event_id=""),
    "an id too long": sent(event_id="x" * 65),
    "a payload that is text": sent("payload"),
    "a payload without a type": sent({}),
    "a type that is a list": sent({"webhook_event_type": []}),
    "nothing": b"{}",
    "a doubled key": sent()[:-1] + b', "payload": {}}',
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_used_is_put_aside_once(client, body):
    first, again = post(client, body), post(client, body)
    assert (first.status_code, first.json()["status"]) == (202, "quarantined")
    assert (again.status_code, again.json()) == (200, {"id": first.json()["id"], "status": "duplicate"})
    row = PlatformEvent.objects.get()
    assert (row.status, bytes(row.body)) == ("QUARANTINED", body)
    assert row.reason


REFUSED = {
    "not JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "NaN": (b'{"webhook_event_id": NaN}', 400),
    "not UTF-8": (b'{"a": "\xe9"}', 400),
}


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_document_is_refused_and_kept(client, body, status):
    assert [post(client, body).status_code for _ in range(2)] == [status, status]
    row = PlatformEvent.objects.get()
    assert (row.status, row.repeat_count, bytes(row.body)) == ("REJECTED", 1, body)


def test_a_body_that_inflates_beyond_measure_is_413(client):
    bomb = gzip.compress(b" " * (26 * 1024 * 1024))
    assert post(client, bomb, **{"content-encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize("key", ["", "wrong", "key-one,key-one"])
def test_without_the_key_nothing_is_stored_but_a_count(client, key):
    assert post(client, sent(), key=key).status_code == 401
    assert not PlatformEvent.objects.exists()
    assert RejectedDelivery.objects.get().count == 1


def test_an_empty_body_is_refused(client):
    assert post(client, b"").status_code == 400
    assert not PlatformEvent.objects.exists()


def test_they_are_listed_with_what_they_said_and_in_the_admin(client):
    stored = post(client, sent()).json()["id"]
    post(client, b"{}")
    boss = person("admin")
    boss.is_staff = True
    boss.save()
    client.force_login(boss)
    assert "connect_session.updated" in client.get("/notifications/platform/").text
    only = client.get("/notifications/platform/?status=quarantined").text
    assert "connect_session.updated" not in only
    assert "customer-site-123" in client.get(f"/notifications/platform/{stored}/").text
    assert client.get("/notifications/platform/99/").status_code == 404
    assert 'href="/notifications/platform/"' in client.get("/notifications/").text
    assert "connect_session.updated" in client.get("/admin/meters/platformevent/").text
    assert client.get(f"/admin/meters/platformevent/{stored}/change/").status_code == 200
    assert client.post(f"/admin/meters/platformevent/{stored}/delete/").status_code == 403


def test_an_event_says_what_was_done_and_where_what_came_of_it_stands(client, settings):
    settings.LEAP_API_KEY = "key-of-the-account"
    one = meter()
    created = {"webhook_event_type": "meter.created", "meter_id": one.meter_id}
    stored = post(client, sent(created)).json()["id"]
    client.force_login(person("viewer"))
    shown = f"/notifications/platform/{stored}/"
    assert "Not followed yet" in client.get(shown).text
    follow_waiting(now=timezone.now())
    assert "1 meter is read again." in client.get(shown).text
    assert "1 of 1 meter named" in client.get(shown).text
    assert "1 meter is read again." in client.get("/notifications/platform/?status=followed").text
    run, _ = request_sync(kind=SyncKind.NAMED, by="", now=timezone.now())
    MeterSync.objects.update(started_at=timezone.now())
    MeterChange.objects.create(sync=run, meter=one, kind="CHANGED", fields={})
    MeterToRead.objects.all().delete()
    assert f'href="/meters/syncs/{run.pk}/"' in client.get(shown).text
    MeterChange.objects.all().delete()
    assert "nothing that was not known already" in client.get(shown).text
