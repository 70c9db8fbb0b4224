from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapRefused
from leapvpp.leap.simulator.pusher import Faults
from leapvpp.leap.simulator.scenario import (
    Play,
    ScenarioError,
    find_scenario,
    load_scenario,
    next_clock_change,
    scenario_paths,
)
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.simulator.words import recipient_id
from leapvpp.leap.values import CommunicationTest, Level, timeslot_as_json
from tests.leap.conftest import ScriptedServer

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PATIENCE = 60.0
KEY = "key-of-the-simulator"
Start = Callable[..., LeapSimulator]


@pytest.fixture
def start(scripted: ScriptedServer) -> Iterator[Start]:
    """Start simulators that post to the scripted server, standing in for the portal."""
    with ExitStack() as stack:

        def start_one(**options: Any) -> LeapSimulator:
            simulator = stack.enter_context(LeapSimulator(api_key=KEY, **options))
            simulator.push_to(url=f"{scripted.url}/hook", header="X-Api-Key", key="of-the-portal")
            return simulator

        yield start_one


def client(simulator: LeapSimulator, *, key: str = KEY) -> LeapClient:
    return LeapClient(base_url=simulator.url, api_key=key, attempts=1)


def search(simulator: LeapSimulator, *, level: Level) -> dict[str, dict[str, Any]]:
    pages = client(simulator).search_dispatches(
        level=level, window_start=NOW - timedelta(days=1), window_end=NOW + timedelta(days=300)
    )
    results = [json.loads(bytes(result)) for page in pages for result in page.results]
    return {slot[level.event_id_field]: slot for result in results for slot in result["timeslots"]}


def posted(scripted: ScriptedServer, field: str = "energy_kw") -> list[Any]:
    """The field's value in each timeslot that was posted, in the order of arrival."""
    return [
        slot[field]
        for body in scripted.bodies()
        for level in Level
        for dispatch in body.get(level.notification_field, [])
        for slot in dispatch["timeslots"]
    ]


def publish(simulator: LeapSimulator, *, number: int) -> None:
    play = Play(find_scenario("guide-group-notification"), start=NOW + timedelta(hours=number))
    simulator.publish(play.apply(play.scenario.steps[0]))


def test_every_scenario_plays_and_a_search_agrees_with_the_ledger(start: Start) -> None:
    simulator = start(page_size=2, speed=1000)
    simulator.pusher.webhooks.clear()
    for name in scenario_paths():
        simulator.play(find_scenario(name), start=NOW, at_once=True)
        simulator.pusher.go_away(lasts=timedelta(0))
    for level in Level:
        expected = {
            event.event_id: json.loads(
                json.dumps(timeslot_as_json(event.timeslot, level=level), default=as_json)
            )
            | {"communication_test": event.timeslot.is_test}
            for event in simulator.ledger.current()
            if event.level is level
        }
        assert len(expected) > 5
        assert search(simulator, level=level) == expected


def as_json(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else float(value)


@pytest.mark.parametrize(
    ("scenario", "event", "expected"),
    [
        (
            "caiso-hour-ahead-increase",
            "hour",
            {"energy_kw": 10, "dispatch_event_types": ("day-ahead", "hour-ahead"), "cancelled": False},
        ),
        (
            "caiso-test-becomes-award",
            "hour",
            {"dispatch_event_types": ("day-ahead", "capacity-test"), "energy_kw": 10},
        ),
        (
            "elrp-ended-early",
            "emergency",
            {"energy_kw": None, "end_time": NOW + timedelta(hours=2, minutes=12), "cancelled": False},
        ),
        ("cancelled-before-start", "mistake", {"cancelled": True}),
        ("reinstated", "award", {"cancelled": False, "energy_kw": 10}),
        ("extended-and-moved", "moved", {"start_time": NOW + timedelta(hours=4)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_scenario_ends_as_it_reads(
    start: Start, scenario: str, event: str, expected: dict[str, Any]
) -> None:
    simulator = start(speed=1000)
    play = simulator.play(find_scenario(scenario), start=NOW, at_once=True)
    latest = simulator.ledger.versions(play.event_id(event))[-1].timeslot
    assert {field: getattr(latest, field) for field in expected} == expected


def test_a_notification_has_leaps_shape_and_lower_case_headers(
    start: Start, scripted: ScriptedServer
) -> None:
    simulator = start()
    play = simulator.play(find_scenario("guide-group-notification"), start=NOW)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    (request,) = scripted.requests
    assert request["headers"]["x-api-key"] == "of-the-portal"
    assert request["body"] == {
        "integration_test_notification": False,
        "communication_test": False,
        "group_dispatches": [
            {
                "market_group_id": recipient_id("bay-area"),
                "meter_ids": [recipient_id("oakland-home"), recipient_id("berkeley-home")],
                "partner_references": ["oakland-home", "berkeley-home"],
                "timeslots": [
                    {
                        "market_group_event_id": play.event_id("award"),
                        "start_time": "2026-07-01T13:00:00Z",
                        "end_time": "2026-07-01T14:00:00Z",
                        "cancelled": False,
                        "energy_kw": 8.5,
                        "nomination_kw": 11.0,
                        "performance_compensation_cap": "up-to-site-load",
                        "priority": 2,
                        "is_voluntary": False,
                        "dispatch_event_types": ["day-ahead"],
                        "programs": ["CCA"],
                    }
                ],
            }
        ],
    }


def test_a_dropped_notification_is_only_in_the_ledger(start: Start, scripted: ScriptedServer) -> None:
    simulator = start(faults=Faults(drop=1.0))
    publish(simulator, number=1)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    assert scripted.requests == []
    assert len(search(simulator, level=Level.GROUP)) == 1


def test_a_duplicate_has_the_same_bytes(start: Start, scripted: ScriptedServer) -> None:
    simulator = start(faults=Faults(duplicate=1.0), speed=1000)
    publish(simulator, number=1)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    first, second = scripted.bodies()
    assert first == second


def test_reordered_notifications_all_arrive_in_another_order(start: Start, scripted: ScriptedServer) -> None:
    simulator = start(faults=Faults(reorder=1.0), speed=300)
    for number in range(20):
        publish(simulator, number=number)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    arrived = posted(scripted, "start_time")
    assert len(set(arrived)) == 20
    assert arrived != sorted(arrived)


def test_a_late_original_arrives_after_its_cancellation(start: Start, scripted: ScriptedServer) -> None:
    simulator = start(speed=1000)
    simulator.play(find_scenario("late-original"), start=NOW, at_once=True)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    assert posted(scripted, "cancelled") == [True, False]
    (slot,) = search(simulator, level=Level.METER).values()
    assert slot["cancelled"] is True


def test_a_failed_post_is_repeated_with_the_same_body_until_it_is_taken(
    start: Start, scripted: ScriptedServer
) -> None:
    scripted.answers = [(503, b""), (401, b"")]
    simulator = start(speed=1000)
    publish(simulator, number=1)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    (delivery,) = simulator.pusher.deliveries
    assert [attempt.status for attempt in delivery.attempts] == [503, 401, 202]
    assert delivery.outcome == "delivered"
    assert scripted.bodies()[0] == scripted.bodies()[2]


def test_after_fifty_retries_leap_gives_up(start: Start, scripted: ScriptedServer) -> None:
    scripted.otherwise = (500, b"")
    simulator = start(speed=100_000)
    publish(simulator, number=1)
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    assert (len(scripted.requests), simulator.pusher.deliveries[0].outcome) == (51, "given up")


def test_leap_away_neither_posts_nor_answers_and_posts_when_it_is_back(
    start: Start, scripted: ScriptedServer
) -> None:
    simulator = start()
    simulator.pusher.go_away(lasts=timedelta(hours=1))
    publish(simulator, number=1)
    with pytest.raises(LeapRefused) as refusal:
        search(simulator, level=Level.GROUP)
    assert (refusal.value.status, scripted.requests) == (503, [])
    simulator.pusher.go_away(lasts=timedelta(0))
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    assert len(scripted.requests) == 1


def test_the_api_fails_as_often_as_it_is_told(start: Start) -> None:
    with pytest.raises(LeapRefused) as refusal:
        search(start(faults=Faults(api_errors=1.0)), level=Level.METER)
    assert not refusal.value.is_permanent


def test_a_wrong_key_is_403_and_a_bad_window_names_leaps_code(start: Start) -> None:
    simulator = start()
    with pytest.raises(LeapRefused) as refusal:
        client(simulator, key="another").get_dispatch_webhook(level=Level.METER)
    assert refusal.value.status == 403
    long_test = CommunicationTest(
        start_time=NOW, end_time=NOW + timedelta(days=32), program="CCA", meter_uuids=("m",)
    )
    with pytest.raises(LeapRefused) as refusal:
        client(simulator).send_communication_test(long_test)
    assert (refusal.value.status, refusal.value.code) == (400, "DISPATCH_INVALID_INPUT")


def test_an_integration_test_comes_back_and_is_not_stored(start: Start, scripted: ScriptedServer) -> None:
    simulator = start()
    dispatch = {"meter_id": "m", "timeslots": [{"meter_event_id": "e"}]}
    result = client(simulator).send_integration_test(level=Level.METER, dispatches=[dispatch])
    assert (result.http_status, result.body) == (202, '{"status": "accepted"}')
    assert scripted.bodies() == [
        {"integration_test_notification": True, "communication_test": False, "meter_dispatches": [dispatch]}
    ]
    assert simulator.ledger.current() == ()


def test_only_an_approved_communication_test_is_stored_and_posted(
    start: Start, scripted: ScriptedServer
) -> None:
    simulator = start()
    for approved in (False, True):
        test = CommunicationTest(
            start_time=NOW,
            end_time=NOW + timedelta(hours=1),
            program="CEC-DSGS",
            meter_uuids=("m1", "m2"),
            approved=approved,
        )
        assert client(simulator).send_communication_test(test).meter_count == 2
    assert simulator.pusher.wait_until_idle(timeout=PATIENCE)
    assert [body["communication_test"] for body in scripted.bodies()] == [True]
    found = search(simulator, level=Level.METER).values()
    assert [slot["communication_test"] for slot in found] == [True, True]


def test_subscriptions_and_their_test_work_against_the_simulator(
    start: Start, scripted: ScriptedServer
) -> None:
    leap = client(start())
    wanted: dict[str, Any] = {
        "receiver_url": f"{scripted.url}/events",
        "event_types": ["meter.created"],
        "headers": [],
    }
    webhook_id = leap.create_subscription(**wanted)
    leap.update_subscription(webhook_id=webhook_id, **wanted)
    assert [row.webhook_id for row in leap.list_subscriptions()] == [webhook_id]
    assert leap.test_subscription(webhook_id=webhook_id, payload={"meter_id": "m"}).status_code == 202
    assert scripted.bodies()[0]["payload"] == {"meter_id": "m"}
    leap.delete_subscription(webhook_id=webhook_id)
    assert leap.list_subscriptions() == ()


def test_the_ledger_outlives_the_simulator_in_its_file(start: Start, tmp_path: Path) -> None:
    first = start(ledger_path=tmp_path / "ledger.json")
    first.play(find_scenario("cancelled-before-start"), start=NOW, at_once=True)
    second = start(ledger_path=tmp_path / "ledger.json")
    assert second.ledger.current() == first.ledger.current() != ()


def test_speed_divides_steps_and_events_alike() -> None:
    play = Play(find_scenario("elrp-ended-early"), start=NOW, speed=60)
    (event,) = play.apply(play.scenario.steps[0])
    assert event.timeslot.start_time == NOW + timedelta(seconds=10)
    assert play.timeline.step_time("2h15m") == NOW + timedelta(seconds=135)


@pytest.mark.parametrize(
    ("after", "local_hours"),
    [
        (datetime(2026, 1, 15, tzinfo=UTC), [23, 0, 1, 3, 4, 5, 6]),
        (datetime(2026, 7, 1, tzinfo=UTC), [23, 0, 1, 1, 2, 3, 4]),
    ],
    ids=["spring, an hour is missing", "autumn, an hour comes twice"],
)
def test_the_clock_change_night_is_crossed_hour_by_hour(after: datetime, local_hours: list[int]) -> None:
    zone = ZoneInfo("America/Los_Angeles")
    play = Play(find_scenario("clock-change-night"), start=after, speed=3600)
    starts = [event.timeslot.start_time for event in play.apply(play.scenario.steps[0])]
    assert [moment.astimezone(zone).hour for moment in starts] == local_hours
    assert {later - earlier for earlier, later in pairwise(starts)} == {timedelta(hours=1)}
    with pytest.raises(ScenarioError):
        next_clock_change(zone=ZoneInfo("UTC"), after=after)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('colour = "red"', "colour"),
        ('[[steps]]\nat = "soon"\ndo = "issue"\nevents = ["a"]', "soon"),
        ('[[steps]]\nat = "5m"\ndo = "cancel"\nevents = ["b"]', "unknown events: b"),
        ('[[steps]]\nat = "5m"\ndo = "explode"\nevents = ["a"]', "explode"),
        ('[[steps]]\nat = "5m"\ndo = "end_early"\nevents = ["a"]\nset = { priority = 1 }', "sets the end"),
        ("[[steps]", "steps.toml"),
    ],
    ids=["unknown field", "no time", "unknown event", "unknown action", "too much changed", "not TOML"],
)
def test_a_scenario_that_cannot_be_played_says_why(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "steps.toml"
    event = 'name = "a"\nmeter = "home"\nstart = "1h"\nend = "2h"\nprograms = ["CCA"]\npriority = 1'
    path.write_text(
        f'title = "t"\nstory = "s"\n[[events]]\n{event}\n'
        f'[[steps]]\nat = "0s"\ndo = "issue"\nevents = ["a"]\n{line}\n'
    )
    with pytest.raises(ScenarioError, match=r"steps\.toml") as error:
        load_scenario(path)
    assert problem in str(error.value)


def test_the_commands_register_the_portal_and_play_to_it(
    start: Start, scripted: ScriptedServer, settings: Any
) -> None:
    simulator = start()
    settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
    output = StringIO()
    call_command("leap_webhook", "set", "--level", "meter", "--url", f"{scripted.url}/set", stdout=output)
    call_command("leap_webhook", "delete", stdout=output)
    call_command("leap_webhook", "show", stdout=output)
    assert f"meter: {scripted.url}/set (x-api-key)\ngroup: nothing is registered" in output.getvalue()
    assert settings.LEAP_WEBHOOK_KEYS[0] not in output.getvalue()
    options = ["--port=0", f"--push-url={scripted.url}/hook", "--scenario=repeated", "--speed=1000", "--exit"]
    call_command("leap_simulator", *options, stdout=output)
    assert len(scripted.requests) == 3
    assert scripted.requests[0]["headers"]["x-api-key"] == settings.LEAP_WEBHOOK_KEYS[0]
    assert "delivered" in output.getvalue()


def test_an_address_that_leap_cannot_reach_is_not_registered(settings: Any) -> None:
    settings.LEAP_API_KEY = KEY
    for url in ("http://portal.example/", "https://portal.example:8443/", ""):
        with pytest.raises(CommandError, match="port 443"):
            call_command("leap_webhook", "set", "--url", url)
