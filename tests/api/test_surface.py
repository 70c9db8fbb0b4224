"""What hostile requests are answered, and the description of it all. Who may do what: `test_matrix`."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command

from tests.builders import device, meter

HOSTILE = {
    "an id beyond the database": ("GET", f"/api/v1/events/{10**17}/", "", 404),
    "an id beyond the address": ("GET", f"/api/v1/events/{10**30}/", "", 404),
    "an id that is none": ("GET", "/api/v1/devices/abc/", "", 404),
    "an encoded null": ("GET", "/api/v1/meters/a%00b/", "", 400),
    "a filter beyond the database": ("GET", f"/api/v1/schedules/?device_id={10**30}", "", 400),
    "a filter that is no number": ("GET", "/api/v1/commands/?device_id=x", "", 400),
    "a null in a filter": ("GET", "/api/v1/devices/?external_id=a%00b", "", 400),
    "an unknown status": ("GET", "/api/v1/events/?status=perhaps", "", 400),
    "a time that is none": ("GET", "/api/v1/events/?starts_before=tomorrow", "", 400),
    "a time before the calendar": ("GET", "/api/v1/events/?ends_after=0001-01-01T00:00:00%2B14:00", "", 400),
    "as of nonsense": ("GET", "/api/v1/schedules/?as_of=x", "", 400),
    "a page beyond the last": ("GET", "/api/v1/events/?page=99999999999999999999", "", 404),
    "no JSON": ("POST", "/api/v1/devices/", "{", 400),
    "a list": ("POST", "/api/v1/devices/", "[]", 400),
    "a string": ("POST", "/api/v1/meters/", '"x"', 400),
    "not a number": ("POST", "/api/v1/devices/", '{"rated_power_kw": NaN}', 400),
    "deep nesting": ("POST", "/api/v1/devices/", "[" * 100_000, 400),
    "a body that is no dispatch": ("POST", "/api/v1/plans/preview/", "[]", 400),
    "an unknown doubt": ("POST", "/api/v1/doubts/7/settle/", '{"verdict": "keep"}', 404),
    "an override of nothing": ("POST", "/api/v1/overrides/", "{}", 400),
    "a delete": ("DELETE", "/api/v1/events/1/", "", 405),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_request_is_answered_with_a_problem(admin, method, path, body, status):
    answer = admin.generic(method, path, body, content_type="application/json")

    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_the_description_is_valid_and_says_what_every_field_means():
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    assert '"/api/v1/events/{id}/revisions/"' in out.getvalue()


def test_the_pages_of_the_description_obey_the_content_security_policy(viewer):
    page = viewer.get("/api/v1/docs/").content.decode()

    assert "<style" not in page
    assert not re.search(r"<script(?! src=\"/)", page)
    assert re.search(r'src="(/api/v1/docs/\?script=)"', page)
    script = viewer.get("/api/v1/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")


def test_devices_are_found_by_what_is_behind_them(viewer):
    row = device(meter(meter_id="m1"))
    device()

    found = viewer.get("/api/v1/devices/?meter_id=m1").json()["results"]

    assert [one["id"] for one in found] == [row.pk]
