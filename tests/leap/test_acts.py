"""What a scenario's steps and an operator's words do to the simulator's meters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from leapvpp.leap.simulator.acts import Act, ActError, perform
from leapvpp.leap.simulator.fleet import made
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery
from leapvpp.leap.simulator.scenario import ScenarioError, find_scenario, fleet_paths, load_scenario
from leapvpp.leap.simulator.seasons import periods
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.simulator.words import recipient_id

NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)
KEY = "key-of-the-simulator"
FIRST, SECOND = "customer-000000", "customer-000001"


@pytest.fixture
def book() -> MeterBook:
    found = MeterBook()
    found.fill(120, now=NOW)
    return found


def do(book: MeterBook, word: Any, *meters: str, **fields: Any) -> tuple[str, ...]:
    return perform(book, word, Act(do=word, meters=meters, **fields), now=NOW)


def one(book: MeterBook, name: str) -> dict[str, Any]:
    return book.get(book.find(name))


def enrolled(book: MeterBook, name: str, field: str) -> list[str | None]:
    """The field of each period, in their order."""
    return [each.get(field) for each in one(book, name)["program_enrollment"]]


def test_each_act_does_what_it_says(book: MeterBook) -> None:
    do(book, "regroup", FIRST, SECOND, group="South")
    assert {each.get("market_group_name") for each in one(book, FIRST)["program_enrollment"]} == {
        "South",
        None,
    }
    assert book.group("South").programs == {"CCA"}

    do(book, "require", FIRST, deadline="10d")
    (action,) = one(book, FIRST)["required_actions"]["partner"]
    assert action["enrollment_deadline_date_time"] == "2026-12-08T15:00:00.000Z"
    assert [each["enrollment_status"] for each in one(book, FIRST)["program_enrollment"]] == [
        "ACTIVE",
        "INELIGIBLE",
    ]
    do(book, "clear_actions", FIRST)
    assert one(book, FIRST)["required_actions"]["partner"] == []
    assert [each["enrollment_status"] for each in one(book, FIRST)["program_enrollment"]] == [
        "ACTIVE",
        "ELIGIBLE",
    ]

    do(book, "idle", FIRST, lasts="14d")
    ranges = one(book, FIRST)["participation_preferences"]
    assert [each["participation_preference"] for each in ranges] == ["PARTICIPATE", "IDLE", "PARTICIPATE"]
    assert ranges[0]["end_time"] == ranges[1]["start_time"] == "2026-11-28T15:00:00.000Z"
    assert ranges[1]["end_time"] == ranges[2]["start_time"] == "2026-12-12T15:00:00.000Z"
    do(book, "participate", FIRST)
    assert one(book, FIRST)["participation_preferences"][-1]["participation_preference"] == "PARTICIPATE"
    do(book, "disenroll", FIRST)
    assert one(book, FIRST)["participation_preferences"][-1]["participation_preference"] == "DISENROLL"

    do(book, "status", FIRST, status="NOT_PARTICIPATING")
    do(book, "archive", FIRST)
    assert (one(book, FIRST)["global_enrollment_status"], one(book, FIRST)["is_archived"]) == (
        "NOT_PARTICIPATING",
        True,
    )
    do(book, "remove", FIRST)
    with pytest.raises(KeyError):
        book.find(FIRST)


def test_new_meters_join_a_group_by_its_name_and_get_its_program(book: MeterBook) -> None:
    named, numbered = do(book, "create", "a-new-home", group="NYISO_2", count=1)
    assert named == recipient_id("a-new-home")
    assert enrolled(book, "a-new-home", "program_identifier") == ["NYISO-SCR", "NYISO-SCR"]
    assert book.get(numbered)["partner_reference"] == "customer-000121"
    assert (
        one(book, "a-new-home")["program_enrollment"][0]["market_group_id"]
        == book.group("NYISO_2").market_group_id
    )


@pytest.mark.parametrize(
    ("word", "meters", "fields", "problem"),
    [
        ("archive", ("nobody",), {}, "Leap has no meter 'nobody'"),
        ("regroup", (FIRST,), {"group": "NYISO_2"}, "is not in NYISO-SCR"),
        ("require", (FIRST,), {"program": "ELRP"}, "is not in ELRP"),
        ("idle", (FIRST,), {"lasts": "soon"}, "is not a time"),
        ("status", (FIRST,), {"status": "HAPPY"}, "one of ACTIVE"),
        ("archive", (), {}, "name the meters"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    book: MeterBook, word: Any, meters: tuple[str, ...], fields: dict[str, str], problem: str
) -> None:
    before = book.search(MeterQuery(), is_enrollment=True)
    with pytest.raises(ActError, match=problem):
        do(book, word, *(SECOND, *meters) if meters else (), **fields)
    assert book.search(MeterQuery(), is_enrollment=True) == before


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 120),
        ({"partner_references": (FIRST, "nobody")}, 1),
        ({"connection_reference_ids": ("ref-000007",)}, 1),
        ({"global_enrollment_statuses": ("INELIGIBLE", "PENDING")}, 5),
        ({"meter_types": ("DEVICE",)}, 20),
        ({"load_types": ("HVAC",)}, 50),
        ({"transmission_region": "ISONE", "customer_classification": "RESIDENTIAL"}, 20),
        ({"partner_action_required": True}, 7),
        ({"action_type": ("IS_AUTHORIZED",)}, 3),
        ({"exclude_archived": True}, 118),
        ({"tags": ("solar",)}, 0),
        ({"created_after_date_time": NOW}, 0),
        ({"created_before_date_time": NOW}, 120),
    ],
    ids=str,
)
def test_every_filter_of_leaps_search_filters(book: MeterBook, filters: dict[str, Any], count: int) -> None:
    assert len(book.search(MeterQuery(**filters), is_enrollment=True)) == count


@pytest.mark.parametrize(
    ("program", "current", "coming"),
    [
        ("CCA", "CAISO-CCA_2026_NOV", "CAISO-CCA_2026_DEC"),
        ("NYISO-SCR", "NYISO-SCR_2026_NOV_2027_APR", "NYISO-SCR_2027_MAY_OCT"),
        ("CEC-DSGS", "CEC-DSGS_2026_NOV_2027_JAN", "CEC-DSGS_2027_FEB_APR"),
        ("PJM-CAPACITY", "PJM-CAPACITY_2026_JUN_2027_MAY", "PJM-CAPACITY_2027_JUN_2028_MAY"),
    ],
)
def test_delivery_periods_follow_each_other_at_local_midnights(
    program: str, current: str, coming: str
) -> None:
    now, later = periods(program, zone="America/New_York", now=NOW)
    assert (now.name, later.name) == (current, coming)
    assert now.start <= NOW < now.end == later.start
    assert later.start.hour in {4, 5}
    assert later.next_deadline(NOW) > NOW


@pytest.fixture
def leap() -> Iterator[LeapSimulator]:
    with LeapSimulator(api_key=KEY, speed=1000) as simulator:
        yield simulator


def test_the_fleet_changes_as_its_scenario_reads(leap: LeapSimulator) -> None:
    assert "fleet-changes" in fleet_paths()
    leap.play(find_scenario("fleet-changes"), start=NOW, at_once=True)
    found = {each["partner_reference"]: each for each in leap.meters.search(MeterQuery(), is_enrollment=True)}
    assert sorted(found) == [f"fleet-{number}" for number in range(1, 8)]
    assert {
        name: each["program_enrollment"][0]["market_group_name"] for name, each in found.items()
    } == dict.fromkeys(("fleet-1", "fleet-2", "fleet-3"), "Fleet south") | dict.fromkeys(
        ("fleet-4", "fleet-5", "fleet-6", "fleet-7"), "Fleet north"
    )
    assert (found["fleet-5"]["is_archived"], found["fleet-4"]["required_actions"]["partner"]) == (True, [])


def test_a_step_about_meters_without_any_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "steps.toml"
    path.write_text('title = "t"\nstory = "s"\n[[steps]]\nat = "0s"\ndo = "archive"\n')
    with pytest.raises(ScenarioError, match="archive: name the meters"):
        load_scenario(path)


def test_an_operator_has_meters_change_by_a_command(leap: LeapSimulator, settings: Any) -> None:
    leap.meters.fill(3, now=NOW)
    settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = leap.url, KEY
    output = StringIO()
    call_command("leap_simulator_say", "idle", FIRST, SECOND, "--lasts=2d", stdout=output)
    assert "idle: 2 meters" in output.getvalue()
    assert len(one(leap.meters, SECOND)["participation_preferences"]) == 3
    with pytest.raises(CommandError, match="Leap has no meter 'nobody'"):
        call_command("leap_simulator_say", "idle", "nobody")
    settings.LEAP_API_KEY = "another"
    with pytest.raises(CommandError, match="403"):
        call_command("leap_simulator_say", "idle", FIRST)


def test_without_a_key_and_a_demo_the_command_says_what_to_set(settings: Any, tmp_path: Path) -> None:
    settings.LEAP_API_KEY, settings.STATE_DIR = "", tmp_path
    with pytest.raises(CommandError, match="LEAP_API_KEY"):
        call_command("leap_simulator_say", "archive", FIRST)


def test_the_meters_made_are_the_same_each_time() -> None:
    assert made(73, now=NOW) == made(73, now=NOW)
    assert made(60, now=NOW)["is_archived"] and not made(60, now=NOW, is_plain=True)["is_archived"]
    assert made(1, now=NOW)["meter_id"] == made(1, now=NOW + timedelta(days=200))["meter_id"]
