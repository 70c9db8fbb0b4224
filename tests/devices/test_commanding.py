from datetime import timedelta
from queue import SimpleQueue

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from devices import commanding, lanes, queries
from devices.claiming import release_claims
from devices.commanding import RetryRefused, retry_command, run_due_commands
from devices.domain.schedule import as_message
from devices.drivers.base import Capabilities
from devices.drivers.simulator import SimulatorDriver
from devices.lanes import Lane
from devices.models import Command, CommandAttempt, Device, DeviceSchedule, SimulatedDevice
from devices.scheduling import release, replace_schedules, withheld, withhold
from devices.tasks import run_due_commands as task
from tests.builders import NOW, at, device, segment
from tests.devices.drivers import DyingDriver, StuckDriver

pytestmark = pytest.mark.django_db


def seconds(number):
    return NOW + timedelta(seconds=number)


def plan(*devices, end=60, now=NOW):
    with transaction.atomic():
        replace_schedules(desired={one.pk: (segment(0, end),) for one in devices}, now=now)


def faulty(fault, **fields):
    one = device(**fields)
    SimulatedDevice.objects.create(device=one, fault=fault)
    return one


def state(one):
    return one.commands.latest("pk").state, one.schedules.latest("pk").state


def run_at_next_attempts(one, times):
    """Run whatever is due, when it is due."""
    for _ in range(times):
        run_due_commands(now=one.commands.get().next_attempt_at)


def test_a_due_command_reaches_the_device_and_all_states_follow():
    battery = device(is_online=False)
    plan(battery)
    assert queries.waiting(now=NOW) == ("devices.tasks.run_due_commands",)
    assert run_due_commands(now=NOW) == 1
    battery.refresh_from_db()
    assert state(battery) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
    assert battery.is_online
    assert battery.last_seen_at >= NOW
    assert battery.simulated.accepted_version == 1
    assert battery.simulated.message["segments"][0]["target_kw"] == 5
    assert CommandAttempt.objects.get().outcome == "ACKNOWLEDGED"
    assert queries.waiting(now=at(30)) == ()
    assert run_due_commands(now=at(1)) == 0


def test_a_task_runs_what_is_due_and_says_how_much():
    plan(device(), device(), end=10**7)
    assert task() == "2 commands tried"


def test_the_simulated_device_refuses_an_older_version_and_takes_a_repeat_once():
    battery = device()
    driver = SimulatorDriver()

    def send(version):
        message = as_message(
            device=battery.external_id, version=version, issued_at=NOW, expires_at=at(60), segments=[]
        )
        return driver.deliver(message, battery)

    assert [send(2).is_accepted, send(2).is_accepted, send(1).is_accepted] == [True, True, False]
    assert send(1).detail == "Version 1 is older than version 2, which was accepted."
    held = SimulatedDevice.objects.get()
    assert (held.accepted_version, held.accepted_count, held.refused_count) == (2, 1, 2)


def test_a_rejected_schedule_has_failed_with_the_devices_words():
    battery = faulty("REJECT")
    plan(battery)
    run_due_commands(now=NOW)
    command = Command.objects.get()
    assert state(battery) == ("FAILED", "FAILED")
    assert (command.detail, command.next_attempt_at) == ("The device refuses every schedule.", None)
    assert CommandAttempt.objects.get().outcome == "REJECTED"
    assert queries.waiting(now=at(30)) == ()


@pytest.mark.parametrize(
    ("later", "kind"),
    [
        pytest.param((), "CLEAR", id="nothing is left to do"),
        pytest.param((segment(30, 60),), "SCHEDULE", id="to run again later"),
    ],
)
def test_a_device_that_refuses_to_stop_is_told_again_until_it_takes_it(later, kind):
    battery = device()
    plan(battery)
    run_due_commands(now=NOW)
    SimulatedDevice.objects.update(fault="REJECT")
    with transaction.atomic():
        replace_schedules(desired={battery.pk: later}, now=at(1))
    now = at(1)
    for _ in range(3):
        assert run_due_commands(now=now) == 1
        stop = battery.commands.latest("pk")
        assert (stop.kind, stop.detail) == (kind, "The device refuses every schedule.")
        assert state(battery) == ("FAILED", "FAILED")
        assert Device.objects.get().failing_since
        now = stop.next_attempt_at
    SimulatedDevice.objects.update(fault="")
    run_due_commands(now=now)
    assert state(battery) == ("ACKNOWLEDGED", "ACKNOWLEDGED")


def test_a_silent_device_is_sent_to_for_a_minute_then_failed_and_still_tried():
    battery = faulty("SILENT")
    plan(battery)
    run_due_commands(now=NOW)
    assert state(battery) == ("SENT", "SENT")
    assert not Device.objects.get().is_online
    assert run_due_commands(now=seconds(1)) == 0
    run_at_next_attempts(battery, 3)
    assert state(battery) == ("SENT", "SENT")
    run_at_next_attempts(battery, 1)
    assert state(battery) == ("FAILED", "FAILED")
    assert battery.commands.get().attempt_count == 5
    fourth, fifth = battery.commands.get().attempts.order_by("started_at")[3:]
    assert fifth.started_at - fourth.started_at >= timedelta(seconds=60)

    SimulatedDevice.objects.update(fault="")
    run_due_commands(now=battery.commands.get().next_attempt_at)
    assert state(battery) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
    assert Device.objects.get().is_online


def test_a_command_past_its_end_expires_with_the_reason_of_its_last_try():
    battery = faulty("SILENT")
    late = device()
    plan(battery, end=1)
    run_due_commands(now=NOW)
    plan(late, end=1)
    assert run_due_commands(now=at(1)) == 0
    assert state(battery) == state(late) == ("EXPIRED", "FAILED")
    assert battery.commands.get().detail.endswith("The device did not answer.")
    assert late.commands.get().detail.startswith("Too late to be worth sending: it was void at 20:01:00Z")
    assert queries.waiting(now=at(30)) == ()


def test_a_killed_worker_leaves_a_lost_attempt_and_the_command_is_taken_up_again(settings):
    settings.DEVICE_DRIVERS = {"simulator": "tests.devices.drivers.DyingDriver"}
    battery = device()
    plan(battery)
    with pytest.raises(SystemExit):
        run_due_commands(now=NOW)
    settings.DEVICE_DRIVERS = {"simulator": "devices.drivers.simulator.SimulatorDriver"}
    assert run_due_commands(now=seconds(1)) == 0
    assert queries.waiting(now=seconds(1)) == ()
    assert queries.waiting(now=seconds(40)) == ("devices.tasks.run_due_commands",)
    assert run_due_commands(now=seconds(40)) == 1
    outcomes = CommandAttempt.objects.order_by("pk").values_list("outcome", flat=True)
    assert list(outcomes) == ["LOST", "ACKNOWLEDGED"]
    assert battery.simulated.accepted_count == 1


@pytest.mark.parametrize("name", ["mqtt", "modbus"])
def test_what_a_killed_worker_held_is_taken_up_within_ten_seconds(name):
    assert Lane(name, arrivals=SimpleQueue()).lease <= timedelta(seconds=8 if name == "mqtt" else 10)


@pytest.mark.parametrize(("knows_versions", "tried"), [(True, 1), (False, 0)])
def test_workers_that_start_take_up_what_the_dead_held(knows_versions, tried, settings, monkeypatch):
    settings.DEVICE_DRIVERS = {"simulator": "tests.devices.drivers.DyingDriver"}
    monkeypatch.setattr(DyingDriver, "capabilities", Capabilities(holds_schedule=knows_versions))
    plan(device())
    with pytest.raises(SystemExit):
        run_due_commands(now=NOW)
    assert release_claims(now=seconds(1)) == tried
    assert bool(queries.waiting(now=seconds(1))) is knows_versions


def test_an_older_version_still_under_way_changes_nothing_of_the_newer(monkeypatch):
    battery = device()
    plan(battery)
    original = commanding.deliveries_for

    def plan_again_in_between(claimed, **options):
        monkeypatch.setattr(commanding, "deliveries_for", original)
        plan(battery, end=30)
        run_due_commands(now=seconds(1))
        return original(claimed, **options)

    monkeypatch.setattr(commanding, "deliveries_for", plan_again_in_between)
    run_due_commands(now=NOW)
    assert [one.state for one in Command.objects.order_by("pk")] == ["SUPERSEDED", "ACKNOWLEDGED"]
    assert battery.simulated.accepted_version == 2
    assert DeviceSchedule.objects.get(version=2).state == "ACKNOWLEDGED"
    assert Command.objects.earliest("pk").attempts.get().outcome == "REJECTED"


def test_a_version_replaced_while_it_is_accepted_stays_superseded(monkeypatch):
    battery = device()
    plan(battery)
    original = commanding.deliveries_for

    def plan_again_in_between(claimed, **options):
        monkeypatch.setattr(commanding, "deliveries_for", original)
        plan(battery, end=30, now=at(5))  # due later, so that this run leaves it
        return original(claimed, **options)

    monkeypatch.setattr(commanding, "deliveries_for", plan_again_in_between)
    run_due_commands(now=NOW)
    assert [one.state for one in Command.objects.order_by("pk")] == ["SUPERSEDED", "PENDING"]
    assert battery.simulated.accepted_version == 1


def test_only_the_newest_version_is_ever_taken():
    battery = device()
    plan(battery)
    Device.objects.update(schedule_version=2)
    assert run_due_commands(now=NOW) == 0
    assert not CommandAttempt.objects.exists()


def test_a_worker_that_slept_through_its_lease_moves_nothing_that_another_decided(monkeypatch):
    battery = faulty("SILENT")
    plan(battery)
    original = commanding.deliveries_for

    def sleep_in_between(claimed, **options):
        monkeypatch.setattr(commanding, "deliveries_for", original)
        run_due_commands(now=seconds(40))
        return original(claimed, **options)

    monkeypatch.setattr(commanding, "deliveries_for", sleep_in_between)
    run_due_commands(now=NOW)
    command = Command.objects.get()
    assert command.attempt_count == 2
    assert command.next_attempt_at >= seconds(40)


def test_an_unknown_driver_fails_the_command_with_a_sentence(settings):
    battery = device(driver="telepathy")
    plan(battery)
    assert run_due_commands(now=NOW) == 1
    assert state(battery) == ("FAILED", "FAILED")
    known = ", ".join(sorted(settings.DEVICE_DRIVERS))
    assert Command.objects.get().detail == f"No driver is called “telepathy”; there are: {known}."


def test_what_stops_a_device_leaves_before_all_else(settings):
    settings.DEVICE_DRIVERS = dict.fromkeys(["alpha", "omega"], "devices.drivers.simulator.SimulatorDriver")
    running = [device(driver="omega", name=name) for name in ("cleared", "cut", "superseded")]
    plan(*running)
    run_due_commands(now=NOW)
    CommandAttempt.objects.all().delete()
    starting = [device(driver=name, name=f"starts {name}") for name in ("alpha", "omega")]
    plan(*starting, now=at(1))
    cleared, cut, superseded = [one.pk for one in running]
    with transaction.atomic():
        later = (segment(30, 60),)
        replace_schedules(desired={cleared: (), cut: later, superseded: later}, now=at(2))
        replace_schedules(desired={superseded: (segment(40, 60),)}, now=at(3))
    run_due_commands(now=at(4))
    told = CommandAttempt.objects.order_by("pk").values_list("command__device__name", flat=True)
    assert list(told[:3]) == ["cleared", "cut", "superseded"]
    assert set(told[3:]) == {"starts alpha", "starts omega"}


def test_nothing_starts_a_withheld_device_and_what_stops_it_goes_on():
    starts, stops, free = device(), device(), device()
    plan(stops)
    run_due_commands(now=NOW)
    plan(starts, free, now=at(1))
    with transaction.atomic():
        replace_schedules(desired={stops.pk: (segment(30, 60),)}, now=at(1))
    withhold(device_ids=[starts.pk, stops.pk], now=at(1))
    with pytest.raises(RetryRefused, match="kept still until its new schedule is made"):
        retry_command(command_id=starts.commands.get().pk, now=at(1))
    run_due_commands(now=at(1))
    assert [state(one)[0] for one in (starts, stops, free)] == ["PENDING", "ACKNOWLEDGED", "ACKNOWLEDGED"]
    release(withheld())
    run_due_commands(now=at(1))
    assert state(starts)[0] == "ACKNOWLEDGED"


def test_a_drivers_bug_or_permanent_error_harms_no_other_device(settings):
    settings.DEVICE_DRIVERS = {"mixed": "tests.devices.drivers.BuggyDriver"}
    fine, permanent, bug = (device(driver="mixed", name=name) for name in ("fine", "permanent", "bug"))
    plan(fine, permanent, bug)
    run_due_commands(now=NOW)
    assert [state(one)[0] for one in (fine, permanent, bug)] == ["ACKNOWLEDGED", "FAILED", "SENT"]
    assert permanent.commands.get().next_attempt_at is None
    assert bug.commands.get().detail == "The driver failed: ZeroDivisionError."


def test_what_no_database_takes_keeps_no_other_answer_from_being_written(settings):
    settings.DEVICE_DRIVERS = {"mixed": "tests.devices.drivers.BuggyDriver"}
    fleet = [device(driver="mixed", name=name) for name in ("raw", "never", "nothing", "fine")]
    plan(*fleet)
    run_due_commands(now=NOW)
    assert [state(one)[0] for one in fleet] == ["FAILED", "SENT", "SENT", "ACKNOWLEDGED"]
    words = [one.commands.get().detail for one in fleet]
    assert words[0].startswith("No way, never")
    assert words[1:] == ["Not now.", "The driver failed: TypeError.", ""]


def test_a_fleet_that_expires_at_once_is_closed_a_portion_after_another(monkeypatch):
    monkeypatch.setattr(commanding, "EXPIRED_AT_ONCE", 2)
    monkeypatch.setattr(commanding, "RUN_SECONDS", 0)
    plan(*(device() for _ in range(5)))
    assert run_due_commands(now=at(61)) == 0
    assert {each.state for each in Command.objects.all()} == {"EXPIRED"}
    assert queries.waiting(now=at(61)) == ()


def test_devices_of_a_slow_driver_are_spoken_to_at_the_same_time(settings):
    settings.DEVICE_DRIVERS = {"slow": "tests.devices.drivers.SlowDriver"}
    fleet = [device(driver="slow") for _ in range(3)]
    plan(*fleet)
    assert run_due_commands(now=NOW) == 3
    assert {state(one)[0] for one in fleet} == {"ACKNOWLEDGED"}


@pytest.fixture
def stuck(settings):
    settings.DEVICE_DRIVERS = settings.DEVICE_DRIVERS | {
        "a-stuck": "tests.devices.drivers.StuckDriver",
        "passing": "tests.devices.drivers.PassingDriver",
    }
    StuckDriver.let_go.clear()
    yield StuckDriver
    StuckDriver.let_go.set()


def test_a_vendor_that_does_not_answer_delays_no_other(stuck):
    waits, inline, passes = (device(driver=name) for name in ("a-stuck", "simulator", "passing"))
    plan(waits)
    plan(inline, passes)
    run_due_commands(now=NOW)
    assert {state(one)[0] for one in (waits, inline, passes)} == {"ACKNOWLEDGED"}


def test_a_driver_that_never_comes_back_is_waited_for_no_longer_than_its_lease(stuck, monkeypatch):
    monkeypatch.setattr(lanes, "SHORTEST_TRY_SECONDS", 0.1)
    monkeypatch.setattr(lanes, "LEASE_MARGIN_SECONDS", 0.1)
    waits = device(driver="a-stuck")
    plan(waits, end=2)
    monkeypatch.setattr(commanding, "RUN_SECONDS", 0.1)
    assert run_due_commands(now=NOW) == 1
    assert CommandAttempt.objects.get().outcome == "STARTED"
    stuck.let_go.set()
    run_due_commands(now=seconds(40))
    outcomes = CommandAttempt.objects.order_by("pk").values_list("outcome", flat=True)
    assert list(outcomes) == ["LOST", "ACKNOWLEDGED"]


def test_a_driver_that_breaks_down_in_a_batch_costs_only_what_it_had_not_answered(settings):
    settings.DEVICE_DRIVERS = {"half": "tests.devices.drivers.HalfDriver"}
    fleet = [device(driver="half") for _ in range(3)]
    plan(*fleet)
    run_due_commands(now=NOW)
    assert [state(one)[0] for one in fleet] == ["ACKNOWLEDGED", "SENT", "SENT"]
    assert fleet[1].commands.get().detail == "The driver failed: ZeroDivisionError."


def test_retry_tries_a_failed_command_at_once():
    battery = faulty("REJECT")
    plan(battery)
    run_due_commands(now=NOW)
    SimulatedDevice.objects.update(fault="")
    OrmQ.objects.all().delete()
    retry_command(command_id=Command.objects.get().pk, now=at(1))
    assert OrmQ.objects.count() == 1
    assert run_due_commands(now=at(1)) == 1
    assert state(battery) == ("ACKNOWLEDGED", "ACKNOWLEDGED")


def test_retry_is_refused_with_a_sentence_where_it_makes_no_sense():
    battery, silent = device(), faulty("SILENT")
    plan(battery, silent)
    run_due_commands(now=NOW)
    plan(silent, end=50, now=at(1))
    accepted, superseded, late = Command.objects.order_by("pk")
    for command, when, says in [
        (accepted, at(1), "The device has accepted this command."),
        (superseded, at(1), "A newer schedule took this command's place."),
        (late, at(61), "This command is past its end."),
    ]:
        with pytest.raises(RetryRefused, match=says):
            retry_command(command_id=command.pk, now=when)


def test_retry_never_revives_a_command_of_an_older_schedule():
    battery = faulty("REJECT")
    plan(battery)
    run_due_commands(now=NOW)
    plan(battery, end=50, now=at(1))
    Command.objects.filter(schedule__version=1).update(state="FAILED")
    with pytest.raises(RetryRefused, match="A newer schedule took this command's place"):
        retry_command(command_id=Command.objects.earliest("pk").pk, now=at(2))
    assert Command.objects.earliest("pk").next_attempt_at is None


def test_statements_do_not_grow_with_the_number_of_commands():
    counts = []
    for size in (2, 40):
        plan(*[device() for _ in range(size)])
        with CaptureQueriesContext(connection) as context:
            assert run_due_commands(now=NOW) == size
        counts.append(len(context))
    assert counts[0] == counts[1]
