"""The dispatcher wakes what waits, again and again, and never floods the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from dispatch.queue import PLAN_WAITING, PLANNING_SECONDS, wake_planning
from leapvpp import dispatching, queue
from leapvpp.dispatching import BEAT, Dispatcher
from leapvpp.models import Heartbeat
from leapvpp.tasks import beat

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
    assert OrmQ.objects.count() == 4  # the first beat among them


def test_a_queue_that_nobody_works_on_is_not_flooded(waiting):
    waiting.append("some.task")
    dispatcher = Dispatcher()
    start = timezone.now()
    for second in range(200):
        dispatcher.look(now=start + timedelta(seconds=2 * second))
    assert OrmQ.objects.count() == dispatching.FULL_QUEUE


def test_both_processes_give_signs_of_life(waiting):
    assert Dispatcher().look(now=NOW) == [BEAT]
    beat()
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {"dispatcher", "worker"}


def test_an_empty_portal_has_nothing_to_do():
    assert [name for source in dispatching.SOURCES for name in source(now=NOW)] == []


@pytest.mark.parametrize("wake", [wake_planning, lambda: queue.wake(PLAN_WAITING)], ids=["at once", "again"])
def test_planning_has_a_time_of_its_own(wake):
    wake()
    assert OrmQ.objects.get().task["timeout"] == PLANNING_SECONDS
