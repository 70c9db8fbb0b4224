"""Devices that hold no schedule are told each value when it is due, renewed, and brought back to normal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import commanding, queries
from devices.commanding import RetryRefused, retry_command, run_due_commands
from devices.drivers import driver_named
from devices.models import Command, CommandAttempt, Device, DeviceSchedule
from devices.scheduling import replace_schedules
from tests.builders import NOW, device, segment
from tests.devices.setpoint_devices import NORMAL, SetPointDevices

pytestmark = pytest.mark.django_db

WAKES = ("devices.tasks.run_due_commands",)
ALL = "tests.devices.drivers."


@pytest.fixture
def peers(settings):
    settings.DEVICE_DRIVERS = settings.DEVICE_DRIVERS | {"values": f"{ALL}SetPointDriver"}
    peers = SetPointDevices()
    yield peers
    peers.close()


@pytest.fixture
def began():
    """The real time: drivers look at the clock before they write."""
    return timezone.now()


def one_of(peers, name="one", fault="", **fields) -> Device:
    peers.faults[name] = fault
    return device(external_id=name, driver="values", settings={"port": peers.port}, **fields)


def plan(*rows: Device, now, segments=((0, 60, "5"),), since=None):
    """Give devices a schedule, in minutes from `since`."""
    start = (since or now) - NOW
    wanted = tuple(_shifted(segment(*each), start) for each in segments)
    with transaction.atomic():
        replace_schedules(desired={row.pk: wanted for row in rows}, now=now)


def _shifted(each, by):
    return replace(each, start=each.start + by, end=each.end + by)


def told(row: Device) -> list[tuple[str, str]]:
    return list(row.commands.order_by("pk").values_list("kind", "state"))


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_a_value_is_sent_when_it_is_due_renewed_each_minute_and_ended_by_normal(peers, began):
    row = one_of(peers)
    plan(row, now=began, segments=((10, 20, "5"),))
    assert run_due_commands(now=began) == 0
    assert queries.waiting(now=began + minutes(9.9)) == ()
    assert row.schedules.get().state == "PENDING"

    assert queries.waiting(now=began + minutes(10)) == WAKES
    assert run_due_commands(now=began + minutes(10)) == 1
    value, normal = row.commands.order_by("pk")
    assert (value.state, row.schedules.get().state) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
    assert (value.proof, value.renewed_at) == ("It holds CURTAIL 5.000.", None)
    assert normal.state == "PENDING"
    assert peers.holds("one", at=began + minutes(12.9)) == "CURTAIL 5.000"
    assert peers.holds("one", at=began + minutes(13.5)) == NORMAL

    due = began + minutes(10)
    for _ in range(7):
        told_last, due = due, Command.objects.get(pk=value.pk).next_attempt_at
        assert due - told_last < minutes(1.5)
        assert run_due_commands(now=due) == 1
    assert CommandAttempt.objects.count() == 1
    assert Command.objects.get(pk=value.pk).renewed_at >= due
    run_due_commands(now=began + minutes(18.5))
    assert peers.holds("one", at=began + minutes(19.9)) == "CURTAIL 5.000"
    assert peers.holds("one", at=began + minutes(20)) == NORMAL  # also without the portal

    assert run_due_commands(now=began + minutes(20)) == 1
    assert told(row) == [("SETPOINT", "ACKNOWLEDGED"), ("CLEAR", "ACKNOWLEDGED")]
    assert peers.writes("one")[-1] == NORMAL
    assert row.commands.latest("pk").proven_at
    assert queries.waiting(now=began + minutes(600)) == ()


def test_who_comes_late_starts_at_once_for_the_remainder_and_what_is_over_is_not_sent(peers, began):
    late, too_late = one_of(peers), one_of(peers, "two")
    plan(late, too_late, now=began, since=began - minutes(10), segments=((0, 20, "5"),))
    Command.objects.filter(device=too_late, kind="SETPOINT").update(expires_at=began + seconds(1))
    run_due_commands(now=began + seconds(2))
    assert peers.holds("one", at=began + minutes(2)) == "CURTAIL 5.000"
    expired = too_late.commands.earliest("pk")
    assert (expired.state, expired.attempt_count, expired.next_attempt_at) == ("EXPIRED", 0, None)
    assert expired.detail.startswith("Too late to be worth sending: it was void at ")
    assert too_late.schedules.get().state == "FAILED"
    assert peers.writes("two") == []


def test_a_set_point_that_is_replaced_is_never_renewed_and_its_device_goes_on_in_order(peers, began):
    row = one_of(peers)
    plan(row, now=began)
    run_due_commands(now=began)
    plan(row, now=began + seconds(5), segments=((0, 60, "3"),))
    for minute in (1, 2.5, 4):
        run_due_commands(now=began + minutes(minute))
    old, _, new, _ = row.commands.order_by("pk")
    assert (old.state, old.next_attempt_at, old.renewed_at) == ("ACKNOWLEDGED", None, None)
    assert new.renewed_at
    assert peers.writes("one") == ["CURTAIL 5.000"] + ["CURTAIL 3.000"] * 3


def test_a_device_that_stops_early_is_told_at_once_and_then_nothing_until_it_runs_again(peers, began):
    row = one_of(peers)
    plan(row, now=began)
    run_due_commands(now=began)
    plan(row, now=began + minutes(1), segments=((30, 60, "5"),), since=began)
    stop = row.commands.get(kind="CLEAR", due_at=began + minutes(1))
    assert (stop.is_restoring, stop.expires_at) == (True, began + minutes(30))
    run_due_commands(now=began + minutes(1))
    assert (peers.holds("one", at=began + minutes(1)), row.schedules.latest("pk").state) == (
        NORMAL,
        "ACKNOWLEDGED",
    )
    assert run_due_commands(now=began + minutes(29)) == 0


def test_normal_is_told_again_until_the_device_was_seen_to_be_normal(peers, began):
    row = one_of(peers)
    plan(row, now=began, segments=((0, 10, "5"),))
    run_due_commands(now=began)
    stop = row.commands.latest("pk")
    now = began + minutes(10)
    for fault in ("dead", "refuses", "blind", "blind", "blind", "blind"):
        peers.faults["one"] = fault
        peers.letting_go.set()
        assert run_due_commands(now=now) == 1
        stop.refresh_from_db()
        assert (stop.proven_at, stop.state == "ACKNOWLEDGED") == (None, False)
        assert now < stop.next_attempt_at <= now + minutes(5)
        now = stop.next_attempt_at
    assert stop.detail.startswith("Not proven: the device took it, but what it holds could not be read.")
    assert (stop.state, row.schedules.get().state) == ("FAILED", "FAILED")
    assert Device.objects.get().failing_since

    peers.faults["one"] = ""
    run_due_commands(now=now)
    stop.refresh_from_db()
    assert (stop.state, stop.proof, stop.next_attempt_at) == ("ACKNOWLEDGED", "It holds normal.", None)
    assert not Device.objects.get().failing_since


def test_normal_that_is_never_seen_is_given_up_after_a_day_and_says_so(peers, began):
    row = one_of(peers, fault="refuses")
    plan(row, now=began, segments=((0, 10, "5"),))
    run_due_commands(now=began)
    run_due_commands(now=began + minutes(10))
    run_due_commands(now=began + minutes(10 + 24 * 60 - 1))
    assert row.commands.latest("pk").state == "FAILED"
    run_due_commands(now=began + minutes(10 + 24 * 60))
    given_up = row.commands.latest("pk")
    assert (given_up.state, given_up.next_attempt_at) == ("EXPIRED", None)
    assert given_up.detail.startswith("Not proven to be back to normal, and tried no more.")


def test_a_renewal_tells_what_somebody_else_had_put_there(peers, began):
    row = one_of(peers)
    plan(row, now=began)
    run_due_commands(now=began)
    peers.values["one"] = ("CURTAIL 1", began + minutes(60))
    run_due_commands(now=value(row).next_attempt_at)
    assert value(row).detail == "Changed by someone else: it held CURTAIL 1."
    assert peers.holds("one") == "CURTAIL 5.000"


def test_a_device_that_falls_silent_is_renewed_again_and_fails_once_its_value_has_lapsed(peers, began):
    row = one_of(peers)
    plan(row, now=began)
    run_due_commands(now=began)
    peers.faults["one"] = "dead"
    peers.letting_go.set()
    now = value(row).next_attempt_at
    lapse = value(row).finished_at + minutes(3)
    while now < lapse - seconds(30):
        run_due_commands(now=now)
        assert (value(row).state, row.schedules.get().state) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
        assert not Device.objects.get().failing_since
        now = value(row).next_attempt_at
    run_due_commands(now=max(now, lapse))
    assert (value(row).state, row.schedules.get().state) == ("FAILED", "FAILED")
    assert Device.objects.get().failing_since

    peers.faults["one"] = ""
    run_due_commands(now=value(row).next_attempt_at)
    assert (value(row).state, row.schedules.get().state) == ("ACKNOWLEDGED", "ACKNOWLEDGED")
    assert not Device.objects.get().failing_since


def value(row: Device) -> Command:
    return row.commands.filter(kind="SETPOINT").latest("pk")


def test_a_worker_killed_between_the_write_and_its_record_is_followed_by_the_same_write(
    peers, began, settings
):
    row = one_of(peers)
    plan(row, now=began)
    settings.DEVICE_DRIVERS = {"values": f"{ALL}KilledDriver"}
    with pytest.raises(SystemExit):
        run_due_commands(now=began)
    settings.DEVICE_DRIVERS = {"values": f"{ALL}SetPointDriver"}
    assert run_due_commands(now=began + seconds(1)) == 0  # nobody knows yet that it is dead
    assert run_due_commands(now=began + seconds(90)) == 1
    assert peers.writes("one") == ["CURTAIL 5.000"] * 2
    assert list(CommandAttempt.objects.order_by("pk").values_list("outcome", flat=True)) == [
        "LOST",
        "ACKNOWLEDGED",
    ]


@pytest.mark.parametrize(
    ("driver", "writes"),
    [
        pytest.param("SetPointDriver", ["3", "3"], id="looks at the clock and writes nothing"),
        pytest.param("CarelessDriver", ["3", "5", "3", "3"], id="paused after the look at the clock"),
    ],
)
def test_a_paused_worker_does_not_undo_what_was_told_meanwhile(
    peers, began, settings, monkeypatch, driver, writes
):
    settings.DEVICE_DRIVERS = {"values": f"{ALL}{driver}"}
    row = one_of(peers)
    plan(row, now=began - minutes(5))
    original = commanding.deliveries_for

    def pause(*claimed, **options):
        monkeypatch.setattr(commanding, "deliveries_for", original)
        plan(row, now=began - minutes(5), segments=((0, 60, "3"),))
        run_due_commands(now=began)
        return original(*claimed, **options)

    monkeypatch.setattr(commanding, "deliveries_for", pause)
    run_due_commands(now=began - minutes(5))
    run_due_commands(now=began + seconds(1))
    assert peers.writes("one") == [f"CURTAIL {kw}.000" for kw in writes]
    assert (value(row).state, row.schedules.latest("pk").state) == ("ACKNOWLEDGED", "ACKNOWLEDGED")


def test_a_device_is_told_one_thing_at_a_time(peers, began, monkeypatch):
    row = one_of(peers)
    plan(row, now=began)
    original = commanding.deliveries_for
    tried_meanwhile = []

    def meanwhile(*claimed, **options):
        monkeypatch.setattr(commanding, "deliveries_for", original)
        plan(row, now=began + seconds(1), segments=((0, 60, "3"),))
        assert queries.waiting(now=began + seconds(1)) == ()
        tried_meanwhile.append(run_due_commands(now=began + seconds(1)))
        return original(*claimed, **options)

    monkeypatch.setattr(commanding, "deliveries_for", meanwhile)
    assert run_due_commands(now=began + seconds(1)) == 2
    assert tried_meanwhile == [0]
    assert peers.writes("one") == ["CURTAIL 5.000", "CURTAIL 3.000"]


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_speak_to_a_device_together(peers, began):
    fleet = [one_of(peers, f"device {number}") for number in range(12)]
    plan(*fleet, now=began)
    plan(*fleet, now=began, segments=((0, 60, "3"),))

    def work() -> None:
        run_due_commands(now=began)
        connection.close()

    if connection.vendor == "postgresql":
        workers = [Thread(target=work) for _ in range(3)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    run_due_commands(now=began)
    assert all(peers.writes(row.external_id) == ["CURTAIL 3.000"] for row in fleet)
    assert set(peers.most_at_once.values()) == {1}


def test_the_slow_and_the_dead_keep_nobody_waiting(peers, began, settings):
    slow = [one_of(peers, f"slow {number}", "slow") for number in range(10)]
    dead = one_of(peers, "dead", "dead")
    others = [one_of(peers, f"fine {number}") for number in range(89)]
    plan(*slow, dead, *others, now=began)
    served = Event()

    def let_go_when_all_others_are_served() -> None:
        if peers.wait_until(lambda log: sum(name.startswith("fine") for _, name, _ in log) >= len(others)):
            served.set()
        peers.letting_go.set()

    watching = Thread(target=let_go_when_all_others_are_served)
    watching.start()
    assert run_due_commands(now=began) == 100
    watching.join()
    assert served.is_set()
    order = [name.split()[0] for what, name, _ in peers.log if what == "write"]
    assert order == ["fine"] * 89 + ["slow"] * 10
    assert value(dead).state == "SENT"
    assert all(value(row).state == "ACKNOWLEDGED" for row in slow + others)


def test_devices_that_do_not_answer_take_no_turn_of_others_and_rest(peers, began):
    driver = driver_named("values")
    silent = [one_of(peers, f"dead {number}", "dead", silent_tries=5) for number in range(40)]
    fine = one_of(peers, "fine")
    plan(*silent, fine, now=began)

    def let_go_when_served() -> None:
        peers.wait_until(lambda log: ("write", "fine", "CURTAIL 5.000") in log)
        asked = {name for what, name, _ in peers.log if what == "asked"}
        most.append(len(asked))
        peers.letting_go.set()

    most: list[int] = []
    watching = Thread(target=let_go_when_served)
    watching.start()
    run_due_commands(now=began)
    watching.join()
    assert most[0] <= driver.concurrency // 4

    one = silent[0]
    plan(one, now=began + seconds(1), segments=((0, 60, "4"),))
    assert run_due_commands(now=began + seconds(1)) == 0
    plan(one, now=began + seconds(2), segments=((30, 60, "4"),))
    assert run_due_commands(now=began + seconds(2)) == 1  # what stops it is tried at once, and once
    assert run_due_commands(now=began + seconds(25)) == 0
    peers.faults[one.external_id] = ""
    assert queries.waiting(now=began + seconds(90)) == WAKES
    run_due_commands(now=began + seconds(90))
    assert Device.objects.get(pk=one.pk).silent_tries == 0


def test_retry_waits_for_what_is_not_due_and_wakes_a_device_that_rests(peers, began):
    row = one_of(peers, fault="refuses", silent_tries=7, rests_until=began + seconds(20))
    plan(row, now=began)
    normal = row.commands.latest("pk")
    with pytest.raises(RetryRefused, match="leaves then by itself"):
        retry_command(command_id=normal.pk, now=began)
    assert run_due_commands(now=began) == 0
    retry_command(command_id=value(row).pk, now=began)
    assert run_due_commands(now=began) == 1
    assert (value(row).state, value(row).detail) == ("FAILED", "It is under local control.")


def test_a_device_that_got_another_driver_is_told_anew(peers, began):
    row = one_of(peers)
    Device.objects.update(driver="simulator")
    plan(row, now=began)
    run_due_commands(now=began)
    assert told(row) == [("SCHEDULE", "ACKNOWLEDGED")]
    Device.objects.update(driver="values")
    plan(row, now=began, since=began)
    run_due_commands(now=began)
    assert told(row)[1:] == [("SETPOINT", "ACKNOWLEDGED"), ("CLEAR", "PENDING")]
    assert peers.holds("one") == "CURTAIL 5.000"


def test_statements_do_not_grow_with_the_number_of_set_points(peers, began):
    counts = []
    for size in (1, 9):
        rows = [one_of(peers, f"{size}-{number}") for number in range(size)]
        with CaptureQueriesContext(connection) as planning:
            plan(*rows, now=began, segments=((0, 10, "5"), (20, 40, "5")))
        peers.letting_go.clear()
        with CaptureQueriesContext(connection) as claiming:
            run = commanding._Run(began_at=began)
            assert run._start_due() == size
        run.finish()
        counts.append((len(planning), len(claiming)))
    assert counts[0] == counts[1]
    assert DeviceSchedule.objects.filter(state="ACKNOWLEDGED").count() == 10


def test_after_a_long_absence_a_value_is_told_anew_and_nobody_is_said_to_have_changed_it(peers, began):
    row = one_of(peers)
    plan(row, now=began)
    run_due_commands(now=began)
    peers.values.clear()  # it has lapsed on the device
    run_due_commands(now=began + minutes(10))
    assert CommandAttempt.objects.filter(outcome="ACKNOWLEDGED").count() == 2
    assert (value(row).state, value(row).detail, value(row).renewed_at) == ("ACKNOWLEDGED", "", None)


def test_five_tries_in_a_row_without_an_answer_make_a_device_rest(peers, began):
    row = one_of(peers, fault="dead")
    peers.letting_go.set()
    plan(row, now=began)
    now = began
    for _ in range(5):
        assert Device.objects.get().rests_until is None
        run_due_commands(now=now)
        tried, now = now, value(row).next_attempt_at
    assert Device.objects.get().rests_until >= tried + seconds(30)
    peers.faults["one"] = ""
    run_due_commands(now=now)
    assert (Device.objects.get().silent_tries, Device.objects.get().rests_until) == (0, None)


def test_a_device_that_is_busy_is_there_and_is_tried_again_until_it_is_not(peers, began):
    row = one_of(peers, fault="busy")
    plan(row, now=began)
    now = began
    for _ in range(6):
        assert run_due_commands(now=now) == 1
        one = Device.objects.get()
        assert (one.is_online, one.silent_tries, one.rests_until) == (True, 0, None)
        now = value(row).next_attempt_at
    assert (value(row).state, value(row).detail) == ("FAILED", "The device is busy.")
    peers.faults["one"] = ""
    run_due_commands(now=now)
    peers.faults["one"] = "busy"
    tried = value(row).next_attempt_at
    run_due_commands(now=tried)
    assert (value(row).state, Device.objects.get().is_online) == ("ACKNOWLEDGED", True)
    assert value(row).next_attempt_at - tried >= seconds(8)


def test_a_value_lasts_over_the_edge_to_the_next_that_touches_it(peers, began):
    row = one_of(peers)
    plan(row, now=began, segments=((0, 2, "5"), (2, 4, "3")))
    run_due_commands(now=began)
    assert peers.holds("one", at=began + minutes(2.5)) == "CURTAIL 5.000"
    run_due_commands(now=began + minutes(2))
    assert peers.holds("one", at=began + minutes(2)) == "CURTAIL 3.000"
    assert peers.holds("one", at=began + minutes(4)) == NORMAL
