"""The dispatcher wakes what waits, again and again, and never floods the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from devices.queue import COMMANDS, RUN_DUE_COMMANDS, wake_commands
from dispatch.queue import PLAN_WAITING, PLANNING_SECONDS, wake_planning
from leapvpp import dispatching, queue
from leapvpp.beats import beat_command_worker, beat_worker
from leapvpp.dispatching import Dispatcher, moments_to_wake
from leapvpp.health import COMMAND_WORKER
from leapvpp.models import Heartbeat

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def waiting(monkeypatch):
    """The names the apps answer with; a test changes the list."""
    names = []
    monkeypatch.setattr(dispatching, "SOURCES", [lambda now: list(names)])
    return names


def later(*, seconds: float):
    return NOW + timedelta(seconds=seconds)


def test_what_waits_is_woken_at_once_and_again_while_it_waits(waiting):
    dispatcher = Dispatcher()
    dispatcher.look(now=NOW)
    waiting.append("some.task")
    looks = [dispatcher.look(now=later(seconds=0.5 * n)) for n in range(1, 6)]
    assert looks == [["some.task"], [], ["some.task"], [], ["some.task"]]
    assert OrmQ.objects.count() == 5  # the first beats among them


def test_a_queue_that_nobody_works_on_is_not_flooded_and_does_not_stop_the_other(waiting):
    waiting.append("some.task")
    dispatcher = Dispatcher()
    start = timezone.now()
    for second in range(200):
        dispatcher.look(now=start + timedelta(seconds=2 * second))
    assert OrmQ.objects.filter(key="portal").count() == dispatching.FULL_QUEUE
    waiting.append(RUN_DUE_COMMANDS)
    OrmQ.objects.filter(key=COMMANDS).delete()
    assert RUN_DUE_COMMANDS in dispatcher.look(now=start + timedelta(seconds=1000))


@pytest.mark.parametrize("seconds", [None, 29, 31])
def test_a_silent_cluster_for_commands_is_stood_in_for(waiting, seconds):
    if seconds is not None:
        Heartbeat.objects.create(name=COMMAND_WORKER, beat_at=NOW - timedelta(seconds=seconds))
    waiting.append(RUN_DUE_COMMANDS)
    Dispatcher().look(now=NOW)
    found = {row.key for row in OrmQ.objects.all() if row.func() == RUN_DUE_COMMANDS}
    assert found == ({COMMANDS} if seconds == 29 else {COMMANDS, "portal"})


def test_all_processes_give_signs_of_life(waiting):
    Dispatcher().look(now=NOW)
    assert sorted((row.key, row.func()) for row in OrmQ.objects.all()) == [
        ("commands", "leapvpp.beats.beat_command_worker"),
        ("portal", "leapvpp.beats.beat_worker"),
    ]
    beat_worker()
    beat_command_worker()
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {
        "dispatcher",
        "worker",
        "command worker",
    }


def test_an_empty_portal_has_nothing_to_do():
    assert [name for source in dispatching.SOURCES for name in source(now=NOW)] == []


@pytest.mark.parametrize("wake", [wake_planning, lambda: queue.wake(PLAN_WAITING)], ids=["at once", "again"])
def test_planning_has_a_time_of_its_own(wake):
    wake()
    assert OrmQ.objects.get().task["timeout"] == PLANNING_SECONDS


@pytest.mark.parametrize(
    "wake", [wake_commands, lambda: queue.wake(RUN_DUE_COMMANDS)], ids=["at once", "again"]
)
def test_commands_have_workers_of_their_own(wake):
    wake()
    assert OrmQ.objects.get().key == COMMANDS


FALLING_DUE = {
    "nothing": ([], []),
    "one": ([0.3], [0.3]),
    "many close together": ([0.1, 0.11, 0.12, 0.29, 0.31, 0.45], [0.1, 0.3, 0.5]),
    "far apart": ([0.1, 0.45], [0.1, 0.45]),
}


@pytest.mark.parametrize(("due", "expected"), FALLING_DUE.values(), ids=FALLING_DUE.keys())
def test_a_worker_is_woken_when_commands_fall_due_and_not_for_each(due, expected):
    moments = moments_to_wake([later(seconds=each) for each in due])
    assert moments == [later(seconds=each) for each in expected]
