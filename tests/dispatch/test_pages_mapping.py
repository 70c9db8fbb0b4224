"""Mapping by a rule and by a file: seen before it is done, done as it was seen, undone with one button."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.mapping_batches import MAP_NEW_METERS, map_new_meters, waiting
from devices.models import MeterDevice
from leapvpp.dispatching import Dispatcher
from meters.mapping_models import MappingBatch
from meters.models import Meter
from meters.sync_models import MeterSync
from tests.builders import device, meter
from tests.people import person
from tests.rows import event

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client):
    client.force_login(person("admin"))
    return client


def words(answer) -> str:
    """The page's text without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def pairs() -> set[tuple[str, str]]:
    return set(MeterDevice.objects.values_list("meter__name", "device__external_id"))


@pytest.fixture
def fleet():
    """Two meters that say their device, one of them mapped elsewhere; and two that say the same."""
    one, other = meter(name="One", partner_reference="bat-1"), meter(name="Other", partner_reference="BAT-2")
    twins = [meter(name=f"Twin {n}", partner_reference="bat-3") for n in range(2)]
    home = meter(name="Home")
    device(external_id="bat-1")
    device(home, external_id="bat-2")
    device(external_id="bat-3")
    event("coming", meter_ids=[one.meter_id])
    Meter.objects.update(plan_requested_at=None)
    return {"one": one, "other": other, "twins": twins}


def test_a_rule_is_seen_applied_and_undone_as_a_whole(boss, fleet):
    seen = boss.get("/meters/mapping/?form=device&ignores_case=on")
    text = words(seen)
    assert "2 new, 0 there already" in text
    assert "10 kW of devices that no meter had become dispatchable" in text
    assert "1 coming event will be planned again" in text
    assert "The device stays behind Home, too." in text
    assert "Several meters have this reference." in text

    sent = {"form": "device", "ignores_case": "on", "digest": seen.context["diff"].digest}
    done = words(boss.post("/meters/mapping/apply/", sent, follow=True))
    assert "2 pairs added. Being planned" in done and "Last change: 2 added" in done
    assert pairs() == {("Home", "bat-2"), ("One", "bat-1"), ("Other", "bat-2")}
    assert Meter.objects.filter(plan_requested_at__isnull=False).count() == 2

    batch = MappingBatch.objects.get()
    assert (batch.applied_by, batch.rule["ignores_case"]) == ("a-admin", True)
    assert "Undone: 2 pairs taken away." in words(
        boss.post("/meters/mapping/undo/", {"batch": batch.pk}, follow=True)
    )
    assert pairs() == {("Home", "bat-2")}
    again = boss.post("/meters/mapping/undo/", {"batch": batch.pk}, follow=True)
    assert "Nothing was undone." in words(again)


def test_what_is_applied_is_what_was_seen_or_what_was_ticked(boss, fleet):
    stale = boss.post("/meters/mapping/apply/", {"form": "device", "digest": "of-another-day"}, follow=True)
    assert "Nothing was changed" in words(stale) and pairs() == {("Home", "bat-2")}
    rows = boss.get("/meters/mapping/?form=device&ignores_case=on").context["diff"].rows
    ticked = next(row.value for row in rows if row.meter.name == "Other")
    sent = {"form": "device", "ignores_case": "on", "chosen": "1"}
    boss.post("/meters/mapping/apply/", sent | {"pair": [ticked, "7-9", "x", "9" * 40 + "-1"]})
    assert pairs() == {("Home", "bat-2"), ("Other", "bat-2")}


def test_what_people_did_since_is_not_undone(boss, fleet):
    digest = boss.get("/meters/mapping/").context["diff"].digest
    boss.post("/meters/mapping/apply/", {"form": "device", "digest": digest})
    one = fleet["one"]
    (row,) = MeterDevice.objects.filter(meter=one)
    address = f"/meters/{one.meter_id}/devices/"
    boss.post(f"{address}{row.device_id}/unmap/")
    boss.post(address, {"external_id": "bat-1"})
    boss.post("/meters/mapping/undo/", {"batch": MappingBatch.objects.get().pk})
    assert ("One", "bat-1") in pairs()


def test_a_file_of_pairs_is_shown_applied_and_undone(boss, fleet):
    text = f"meter_id,external_id\n{fleet['one'].meter_id},bat-3\n"
    boss.post("/meters/mapping/import/", {"csv": text, "apply": "1"})
    text = f"meter_id,external_id\n{fleet['one'].meter_id},bat-1\n"
    shown = words(boss.post("/meters/mapping/import/", {"csv": text, "whole": "1"}))
    assert "1 added, 1 taken away, 0 the same" in shown and "Add 1 and take 1 away" in shown
    assert ("One", "bat-3") in pairs()
    done = words(boss.post("/meters/mapping/import/", {"csv": text, "whole": "1", "apply": "1"}, follow=True))
    assert "1 pair added, 1 taken away." in done
    assert pairs() == {("Home", "bat-2"), ("One", "bat-1")}
    boss.post("/meters/mapping/undo/", {"batch": MappingBatch.objects.latest("pk").pk})
    assert pairs() == {("Home", "bat-2"), ("One", "bat-3")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("meter_id,external_id\nm9,bat-1", "No meter has the id “m9”."),
        ("a,b\n1,2", "Unknown columns: a, b."),
        ("", "Choose a file, or paste its lines below."),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(boss, fleet, text, said):
    answer = boss.post("/meters/mapping/import/", {"csv": text, "apply": "1"})
    assert (answer.status_code, said in words(answer)) == (422, True)
    assert pairs() == {("Home", "bat-2")}


@pytest.mark.parametrize("query", ["form=nonsense", "form=before-device&separator=+", "form=after-device"])
def test_a_rule_that_says_nothing_is_refused_in_words(boss, query):
    answer = boss.get(f"/meters/mapping/?{query}")
    assert answer.status_code == 422
    assert "error" in answer.content.decode()


@pytest.mark.parametrize("end", ["DONE", "FAILED", "LOST"])
def test_a_kept_rule_maps_what_a_sync_brings_and_leaves_mapped_meters_alone(boss, fleet, end):
    boss.post("/meters/mapping/keep/", {"form": "device"})
    assert "Maps new meters by itself" in words(boss.get("/meters/mapping/"))
    assert MAP_NEW_METERS not in Dispatcher().look(now=timezone.now())
    home = Meter.objects.get(name="Home")
    Meter.objects.filter(pk=home.pk).update(partner_reference="bat-9")
    device(external_id="bat-9")
    later = timezone.now() + timedelta(seconds=1)
    MeterSync.objects.create(
        kind="FULL", state=end, turn=None, requested_at=later, finished_at=later, appeared=1
    )
    assert MAP_NEW_METERS in waiting(now=later)
    assert map_new_meters(now=later + timedelta(seconds=1)) == 1
    assert pairs() == {("Home", "bat-2"), ("One", "bat-1")}
    assert not waiting(now=later)
    assert "by rule, for new meters" in words(boss.get("/meters/mapping/"))
    boss.post("/meters/mapping/keep/", {"stop": "1"})
    assert "Maps new meters by itself" not in words(boss.get("/meters/mapping/"))
