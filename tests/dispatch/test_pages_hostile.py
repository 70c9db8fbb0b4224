"""What nobody types but somebody sends: addresses and forms that hold nonsense get a 400, never a 500."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.people import person
from tests.rows import event

pytestmark = pytest.mark.django_db

WITH_NUL = [
    "/events/?q=%00",
    "/events/?program=%00",
    "/meters/?q=a%00b",
    "/meters/mapping/?separator=%00",
    "/devices/?q=%00",
    "/alerts/?q=%00",
    "/actions/?q=%00",
    "/onboarding/connections/?q=%00",
    "/groups/%00/",
    "/programs/%00/",
    "/seasons/export/?program=%00",
    "/participation/?show=%00",
    "/participation/new/?meter=%00",
    "/meters/%00/",
    "/api/v1/events/?program=%00",
    "/api/v1/meters/%00/",
    "/api/v1/programs/%00/",
]


@pytest.mark.parametrize("address", WITH_NUL)
def test_an_address_with_a_null_character_is_a_bad_request(client, address):
    client.force_login(person("viewer"))
    answer = client.get(address)
    assert answer.status_code == 400
    assert address.startswith("/api/") == (answer["Content-Type"] == "application/problem+json")


def test_a_form_with_a_null_character_is_a_bad_request(client):
    client.force_login(person("operator"))
    assert client.post("/preview/", {"body": "{\x00}"}).status_code == 400


@pytest.mark.parametrize("program", ["Été-1", 'a "b"', "elrp", "EL"])
def test_a_page_and_the_api_agree_on_who_is_of_a_program(client, program):
    client.force_login(person("viewer"))
    start = timezone.now() + timedelta(hours=1)
    for name in ["Été-1", 'a "b"', "ELRP"]:
        event(name, starts_at=start, ends_at=start + timedelta(hours=1), programs=[name])
    asked = {"program": program}
    rows = client.get("/events/", asked).context["list"].rows
    results = client.get("/api/v1/events/", asked).json()["results"]
    assert [row.event.leap_event_id for row in rows] == [row["leap_event_id"] for row in results]
    assert len(results) == (program != "EL")


UNREADABLE = {
    "no such month": "2026-13-01T00:00:00Z",
    "words": "yesterday",
    "before all zones": "0001-01-01T00:00:00+14:00",
}


@pytest.mark.parametrize("read_at", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_changes_seen_until_no_time_at_all_are_a_bad_request(client, read_at):
    client.force_login(person("viewer"))
    assert client.post("/changes/seen/", {"read_at": read_at}).status_code == 400


def test_a_time_without_a_zone_is_the_pages(client):
    client.force_login(user := person("viewer"))
    answer = client.post("/changes/seen/?tz=America/New_York", {"read_at": "2026-07-14T16:00"})
    assert answer.status_code == 302
    assert user.changes_seen.seen_at.isoformat() == "2026-07-14T20:00:00+00:00"


@pytest.mark.parametrize(
    "address", ["/events/?when=upcoming", "/calendar/", "/admin/dispatch/dispatchevent/"]
)
def test_a_list_of_events_leaves_the_long_lists_of_meters_where_they_are(client, address):
    user = person("admin")
    user.is_staff = True
    user.save()
    client.force_login(user)
    start = timezone.now() + timedelta(hours=1)
    event("e1", starts_at=start, ends_at=start + timedelta(hours=1))
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    assert not [query["sql"] for query in asked if '"meter_ids"' in query["sql"]]
