"""Enrollments, required actions and programs as a sync leaves them, over real HTTP against the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from leapvpp.leap.simulator.server import LeapSimulator
from meters.enrolling import note_programs
from meters.enrollment_models import Enrollment, Program, RequiredAction
from meters.models import MarketGroup, MarketGroupMembership
from tests.leap.contracts.checking import checked
from tests.people import person

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"
ACTION = {
    "program_identifier": "CCA",
    "delivery_period": "CCA_2026_NOV",
    "enrollment_deadline_date_time": "2026-11-01T07:00:00Z",
    "action_type": "IS_AUTHORIZED",
    "action_description": "End customer must re-authorize meter.",
    "action_code": "AUTH_0001",
}


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    """A Leap known to the portal."""
    with LeapSimulator(api_key=KEY) as simulator, checked(simulator, answers=False):
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        yield simulator


def sync(*arguments: str) -> None:
    call_command("sync_meters", *arguments, stdout=StringIO())


def test_enrollments_are_those_that_leap_says_no_more_and_no_less(leap):
    now = timezone.now()
    one, other = leap.meters.fill(2, now=now - timedelta(days=1))
    sync()
    row = Enrollment.objects.filter(meter__meter_id=one).earliest("starts_at")
    assert (row.program, row.status, len(row.deadlines[0])) == ("CCA", "ACTIVE", 2)
    assert Program.objects.get(code="CCA").first_heard_at is not None
    group = MarketGroup.objects.get()
    assert (row.market_group_id, group.compare_requested_at is not None) == (group.market_group_id, True)

    period = {
        "program_identifier": "DRAM",
        "delivery_period": "DRAM_2026",
        "delivery_period_start_date_time": "2026-01-01T00:00:00Z",
        "delivery_period_end_date_time": "9000-01-01T00:00:00Z",
        "enrollment_status": "PENDING",
    }
    leap.meters.change(one, now=timezone.now(), program_enrollment=[period, "odd"])
    sync()

    (row,) = Enrollment.objects.filter(meter__meter_id=one)
    assert (row.program, row.ends_at, row.deadlines, row.market_group_id) == ("DRAM", None, [], "")
    assert set(Enrollment.objects.filter(meter__meter_id=other).values_list("program")) == {("CCA",)}


def test_actions_appear_are_resolved_and_come_again_with_what_people_wrote(leap):
    (meter_id,) = leap.meters.fill(1, now=timezone.now() - timedelta(days=1))
    steps: list[dict[str, object]] = [
        {"required_actions": {"partner": [ACTION]}},
        {"required_actions": {}},
        {"required_actions": {"partner": [ACTION | {"action_description": "Again."}]}},
    ]
    ours = {"owner": person("operator"), "note": "Called them."}
    told = []
    for step in steps:
        leap.meters.change(meter_id, now=timezone.now(), **step)
        sync()
        row = RequiredAction.objects.get()
        told.append((row.resolved_at is None, row.description, row.note))
        RequiredAction.objects.update(**ours)

    words = ACTION["action_description"]
    assert told == [
        (True, words, ""),
        (False, words, "Called them."),
        (True, "Again.", "Called them."),
    ]
    assert row.owner == ours["owner"]
    assert row.deadline_at is not None


def test_what_was_stored_before_rows_were_kept_gets_its_rows_with_the_next_full_run(leap):
    leap.meters.fill(3, now=timezone.now())
    sync()
    enrolled = Enrollment.objects.count()
    stored = list(MarketGroupMembership.objects.order_by("pk").values_list("pk", "program", "starts_at"))
    MarketGroupMembership.objects.update(program="", delivery_period="")
    for model in (Enrollment, Program):
        model.objects.all().delete()

    sync("--full")

    rows = MarketGroupMembership.objects.order_by("pk").values_list("pk", "program", "starts_at")
    assert list(rows) == stored
    assert Enrollment.objects.count() == enrolled
    assert list(Program.objects.values_list("code", flat=True)) == ["CCA"]


def test_a_program_appears_once_and_what_is_no_code_does_not():
    first = timezone.now()
    Program.objects.create(code="OURS", name="Community choice")
    note_programs({"OURS", "", "X" * 65}, now=first)
    note_programs({"OURS", "NEW"}, now=first + timedelta(hours=1))
    rows = (
        Program.objects.filter(first_heard_at__isnull=False)
        .order_by("code")
        .values_list("code", "name", "first_heard_at")
    )
    assert list(rows) == [
        ("NEW", "", first + timedelta(hours=1)),
        ("OURS", "Community choice", first),
    ]
