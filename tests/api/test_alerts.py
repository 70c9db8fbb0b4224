"""Alerts and proofs as the API shows them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from devices.alert_models import Alert
from devices.models import Command
from devices.proof_models import Proof
from devices.scheduling import replace_schedules
from tests.builders import at, device, segment


@pytest.fixture
def alert(db) -> Alert:
    """An open alert."""
    text = "Gives 3.1 of 4.5 kW."
    return Alert.objects.create(device=device(), kind="UNVERIFIED", text=text, raised_at=timezone.now())


def test_an_alert_is_acknowledged_once_with_a_note_and_by_whose_key(operator, alert):
    path = f"/api/v1/alerts/{alert.pk}/acknowledge/"
    done = operator.post(path, {"note": "On my way."})
    assert (done.status_code, done.json()["note"], done.json()["acknowledged_by"]) == (
        200,
        "On my way.",
        "key operator",
    )
    assert operator.post(path, {}).status_code == 400
    assert operator.post("/api/v1/alerts/999/acknowledge/", {}).status_code == 404


def test_alerts_are_filtered_by_what_holds_and_who_has_seen_it(viewer, alert):
    def found(query: str) -> int:
        return viewer.get(f"/api/v1/alerts/?{query}").json()["count"]

    assert found("open=true&acknowledged=false&kind=unverified") == 1
    assert found("acknowledged=true") == found("open=false") == found("kind=failed") == 0
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat().replace("+", "%2B")
    assert found(f"raised_after={tomorrow}") == 0


def test_commands_and_schedules_say_whether_the_device_does_so(viewer):
    one = device()
    replace_schedules(desired={one.pk: (segment(0, 60),)}, now=at(-60))
    assert viewer.get("/api/v1/commands/").json()["results"][0]["proof"] is None
    values = {"version": 1, "mode": "CURTAIL", "detail": "Takes 3.1 kW.", "state": "DEVIATES"}
    values |= {"since": at(0), "settles_at": at(2), "ends_at": at(60), "how": "TELEMETRY", "measured_kw": 3.1}
    Proof.objects.create(device=one, kind="RUN", **values)
    said = {"state": "deviates", "how": "telemetry", "detail": "Takes 3.1 kW."}
    [command] = viewer.get("/api/v1/commands/").json()["results"]
    assert command["proof"] == said
    assert command["state"] == "pending"
    [schedule] = viewer.get(f"/api/v1/schedules/?device_id={one.pk}").json()["results"]
    assert schedule["proof"].items() >= {**said, "kind": "run", "measured_kw": 3.1}.items()
    before = at(-1).isoformat().replace("+", "%2B")
    assert viewer.get(f"/api/v1/schedules/?as_of={before}").json()["results"][0]["proof"] is None


def test_a_proof_is_of_the_command_that_told_it_and_a_read_back_of_its_own(viewer):
    one = device()
    replace_schedules(desired={one.pk: (segment(0, 60),)}, now=at(-60))
    replace_schedules(desired={one.pk: ()}, now=at(10))
    values = {"version": 1, "mode": "CURTAIL", "state": "PROVEN", "settles_at": at(2), "is_open": False}
    Proof.objects.create(device=one, kind="RUN", since=at(0), ends_at=at(60), detail="Runs.", **values)
    Proof.objects.create(device=one, kind="NORMAL", since=at(10), detail="Is as usual.", **values)

    def proofs() -> list[str | None]:
        rows = viewer.get("/api/v1/commands/").json()["results"]
        return [row["proof"] and row["proof"]["detail"] for row in rows]

    assert proofs() == ["Is as usual.", "Runs."]
    Proof.objects.all().delete()
    Command.objects.filter(kind="SCHEDULE").update(proven_at=at(1), proof="Holds 5 kW.")
    assert proofs() == [None, "Holds 5 kW."]
