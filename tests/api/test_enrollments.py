"""Enrollments and required actions as the API shows them; owner and note as it writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from meters.enrollment_models import Enrollment, RequiredAction
from meters.models import Meter
from tests.builders import meter
from tests.people import person

NOW = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
ACTIONS = "/api/v1/required-actions/"


@pytest.fixture
def one(db) -> Meter:
    """A meter with two actions, one of them Leap's and resolved, and two periods, one of them open."""
    row = meter(meter_id="m1")
    values = {"meter": row, "program": "NYISO-SCR", "delivery_period": "SCR_DEC", "appeared_at": NOW}
    deadline = NOW + timedelta(days=3)
    RequiredAction.objects.create(party="PARTNER", action_type="ADDRESS", deadline_at=deadline, **values)
    RequiredAction.objects.create(party="LEAP", action_type="HAS_AMI", resolved_at=NOW, **values)
    del values["appeared_at"]
    pairs = [["2026-11-29T00:00:00Z", "2026-12-01T00:00:00Z"], "nonsense"]
    Enrollment.objects.create(
        status="PENDING", starts_at=NOW, ends_at=NOW + timedelta(days=30), deadlines=pairs, **values
    )
    Enrollment.objects.create(status="ELIGIBLE", starts_at=NOW + timedelta(days=30), **values)
    return row


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        ("party=partner&resolved=false", 1),
        ("program=nyiso-scr&delivery_period=SCR_DEC&meter_id=M1", 2),
        ("meter_id=m2", 0),
        ("owner=ada", 0),
        ("owned=true", 0),
        ("action_type=address", 1),
        ("deadline_before=2026-12-01T14:00:00Z", 0),
        ("deadline_before=2026-12-01T14:00:01Z", 1),
    ],
)
def test_required_actions_are_filtered(viewer, one, query, count):
    assert viewer.get(f"{ACTIONS}?{query}").json()["count"] == count


@pytest.mark.parametrize("query", ["party=both", "deadline_before=soon", "meter_id=a%00b"])
def test_a_filter_that_means_nothing_is_a_bad_request(viewer, one, query):
    assert viewer.get(f"{ACTIONS}?{query}").status_code == 400


def test_owner_and_note_are_written_each_by_itself_and_by_whose_key(operator, one):
    person("operator", name="ada")
    person("operator", name="gone")
    User.objects.filter(username="gone").update(is_active=False)
    row = RequiredAction.objects.get(party="PARTNER")
    path = f"{ACTIONS}{row.pk}/"
    said = operator.patch(path, {"owner": "ada", "note": "Letter sent."}).json()
    assert (said["owner"], said["note"], said["noted_by"]) == ("ada", "Letter sent.", "key operator")
    assert operator.patch(path, {"note": ""}).json()["owner"] == "ada"
    assert operator.patch(path, {}).json()["note"] == ""
    for refused in (
        {"owner": "nobody"},
        {"owner": "gone"},
        {"note": "x" * 501},
        {"note": None},
        {"owner": 7.5},
    ):
        answer = operator.patch(path, refused)
        assert (answer.status_code, answer["content-type"]) == (400, "application/problem+json"), refused
    assert operator.patch(path, {"owner": None}).json()["owner"] is None
    assert operator.patch(f"{ACTIONS}999/", {"note": "x"}).status_code == 404
    row.refresh_from_db()
    assert (row.action_type, row.resolved_at) == ("ADDRESS", None)


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("meter_id=M1", ["PENDING", "ELIGIBLE"]),
        ("status=pending&program=nyiso-scr", ["PENDING"]),
        ("starts_before=2026-11-28T14:00:00Z", []),
        ("starts_before=2026-11-29T14:00:00Z", ["PENDING"]),
        ("ends_after=2026-12-28T14:00:00Z", ["ELIGIBLE"]),
    ],
)
def test_enrollments_are_filtered_by_half_open_windows(viewer, one, query, statuses):
    results = viewer.get(f"/api/v1/enrollments/?{query}").json()["results"]
    assert [row["status"] for row in results] == statuses
    if statuses[:1] == ["PENDING"]:
        [pair] = results[0]["deadlines"]
        assert pair == {
            "enrollment_deadline_date_time": "2026-11-29T00:00:00Z",
            "activation_date_time": "2026-12-01T00:00:00Z",
        }
