"""Readings by the API: what is good is stored, each thing that is not is named; and what is read back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.telemetry_models import Reading
from tests.builders import device

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/telemetry/"


def said(seconds, **more):
    """A reading some seconds ago."""
    at = timezone.now().replace(second=30, microsecond=0) - timedelta(minutes=2) - timedelta(seconds=seconds)
    return {"device": "pack-7", "at": at.isoformat(), "power_kw": 6} | more


def test_what_is_good_is_stored_and_what_is_not_is_named(operator):
    pack = device(external_id="pack-7", is_online=False)
    rows = [
        said(60, energy_kwh=10, soc_percent=50, mode="normal"),
        said(0, power_kw="much"),
        said(0, device="nobody"),
        said(0, mode="boost"),
        said(0, at="2019-01-01T00:00:00Z"),
        said(0, at="0001-01-01T00:00:00+14:00"),
        said(0, power_kw=1e300),
        said(0, device="a\0b\ud800"),
        7,
        said(0, energy_kwh=10.2, soc_percent=55, mode="discharge"),
        said(60),
    ]
    body = json.dumps({"readings": rows})
    answer = operator.generic("POST", ADDRESS, body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert (told["stored"], told["duplicates"]) == (2, 1)
    assert [one["index"] for one in told["refused"]] == [*range(1, 9)]
    assert all(one["reason"].endswith(".") for one in told["refused"])
    pack.refresh_from_db()
    assert (pack.is_online, pack.power_kw, pack.state_of_charge_percent) == (True, 6, 55)

    again = operator.generic("POST", ADDRESS, json.dumps(rows), content_type="application/json")
    assert again.json() == told | {"stored": 0, "duplicates": 3}
    assert Reading.objects.count() == 2

    minutes = operator.get(f"/api/v1/devices/{pack.pk}/telemetry/?minutes=1").json()["results"]
    assert [(row["kwh"], row["coverage"], row["mean_kw"]) for row in minutes] == [(0.1, 0.5, 12.0)] * 2
    quarters = operator.get(f"/api/v1/devices/{pack.pk}/telemetry/").json()["results"]
    assert sum(row["kwh"] for row in quarters) == pytest.approx(0.2)
    assert sum(row["covered_milliseconds"] for row in quarters) == 60_000
    late = operator.get(f"/api/v1/devices/{pack.pk}/telemetry/", {"minutes": 1, "from": minutes[0]["start"]})
    early = operator.get(f"/api/v1/devices/{pack.pk}/telemetry/", {"minutes": 1, "to": minutes[0]["start"]})
    assert (late.json()["results"], early.json()["results"]) == ([minutes[0]], [minutes[1]])


@pytest.mark.parametrize("body", ["[", "{}", '{"readings": 7}', '"x"', "null"])
def test_a_body_that_is_no_list_is_refused_whole(operator, body):
    answer = operator.generic("POST", ADDRESS, body, content_type="application/json")
    assert answer.status_code == 400, answer.content


def test_too_many_at_a_time_are_refused_whole(operator):
    answer = operator.post(ADDRESS, [said(0)] * 10_001)
    assert answer.json()["errors"] == {"readings": ["Give at most 10,000 at a time."]}


@pytest.mark.parametrize("query", ["minutes=5", "from=x", "to=x"])
def test_a_question_that_is_none_is_refused(viewer, query):
    pack = device(external_id="pack-7")
    assert viewer.get(f"/api/v1/devices/{pack.pk}/telemetry/?{query}").status_code == 400
    assert viewer.get("/api/v1/devices/999/telemetry/").status_code == 404
