"""Workers that wake too late, two of everything, everything dead: what counts is the devices' own log.

Small here; `make torture` runs the same in full.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from tests.processes.mortal import World, mortal_world
from tests.processes.recorder import takes_values
from tests.processes.running import state_of, wait_until
from tests.processes.sizes import size
from tests.processes.stoppable import LEASE_SECONDS

SEED = 20261128
MQTT = size(6, full=20)
VALUES = size(2, full=10)
ZOMBIES = size(3, full=200)
LONGEST_SLEEP_SECONDS = size(0.5, full=20.0)
CHANGES = size(16, full=1000)
DEATHS = size(2, full=100)
LONGEST_DEATH_SECONDS = size(1.0, full=20.0)
FULL_POWER_KW = 50


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with mortal_world(tmp_path_factory.mktemp("world"), mqtt=MQTT, values=VALUES) as running:
        yield running


@pytest.fixture(scope="module")
def chance() -> random.Random:
    return random.Random(SEED)  # noqa: S311 - a seed is the point


@pytest.fixture
def say(capsys):
    """Print a figure that nobody asserts."""

    def out(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201 - asked for

    return out


def test_two_of_everything_repeat_nothing_with_effect(world, chance, say):
    world.start()
    for number in range(CHANGES):
        world.ask(chance.choice(world.names), kw=power(chance), portal=number % 2)
        time.sleep(0.05)
        if number % 8 == 7:
            world.wait_agreed(what="changes through two portals")
    world.wait_agreed(what="the last change")
    world.check_effects()
    figures = sorted(world.latencies)
    say(f"{CHANGES} changes through two portals: the last device after {figures[-1]:.2f} s at most")


def test_a_worker_that_wakes_too_late_has_no_effect(world, chance, say):
    """Two portals still run, and so four workers, of which two sleep at times."""
    slow = [start_zombie(world, name, chance) for name in world.names[-1:]]
    for trial in range(ZOMBIES):
        name = world.names[trial % MQTT]
        zombie = start_zombie(world, name, chance)
        world.wait_agreed(name, what="a newer schedule beside a stopped worker")
        time.sleep(chance.uniform(0, LONGEST_SLEEP_SECONDS))
        wake(world, name, zombie)
        assert world.agreed(name)
    # Fewer than woke, where one slept until it was too late to publish at all.
    refused = [entry for entry in world.log.entries() if entry.what == "refused"]
    for zombie in slow:
        world.wait_agreed(what="a newer value beside a stopped worker")
        wake(world, world.names[-1], zombie)
    assert world.agreed()
    world.check_effects()
    say(f"{ZOMBIES} workers woke too late: {len(refused)} late schedules refused, none had an effect")


def test_all_dead_in_mid_event_and_started_again(world, chance, say):
    longest = 0.0
    ending = world.names[-1]
    for death in range(DEATHS):
        world.ask(ending, kw=power(chance), seconds=8)
        world.wait_agreed(ending, what="the start of a short event")
        has_run = bool(world.log.power().get(ending))  # not if this machine took longer than the event
        held = chance.choice(world.names[:MQTT])
        (world.folder / f"stop-{held}").touch()  # so that one command dies between claim and send
        for name in chance.sample(world.names[:-1], len(world.names) - 1):
            world.ask(name, kw=power(chance) if name == held or chance.random() < 0.7 else 0)
        wait_until(partial(stopped, world, held), what="the stop of a worker")
        time.sleep(chance.uniform(0, 0.3))
        world.kill()
        assert not world.agreed(held)
        (world.folder / f"stopped-{held}").unlink()
        time.sleep(chance.uniform(0, LONGEST_DEATH_SECONDS))
        began = time.time()
        world.start()
        world.wait_agreed(*world.names[:-1], what=f"death {death}")
        changes = [entry.at for entry in world.log.entries() if entry.what in {"took", "runs"}]
        longest = max(longest, changes[-1] - began)
        if has_run:
            wait_until(partial(was_told_normal, world, ending), what="the return to normal of a passed event")
    world.check_effects()
    say(f"{DEATHS} times all dead: every device as asked {longest:.1f} s after the start at the latest")


def test_a_portal_that_is_dead_for_good_leaves_every_device_normal(world, say):
    for name in world.names:
        world.ask(name, kw=FULL_POWER_KW, seconds=None if takes_values(name) else 12)
    world.wait_agreed(what="the last events")
    wait_until(partial(all_ran_in_full, world), what="the start of all devices")
    world.kill()
    died_at = time.time()
    wait_until(lambda: not running(world), what="the return to normal of all devices", patience=60)
    normal = {entry.device: entry.at for entry in world.log.entries() if entry.what == "runs"}
    by_value = max(at for name, at in normal.items() if takes_values(name)) - died_at
    by_schedule = max(at for name, at in normal.items() if not takes_values(name)) - last_end(world)
    say(
        f"Dead for good: {MQTT} devices with a schedule were normal {by_schedule:.2f} s after the last end,"
        f" {VALUES} that take values {by_value:.2f} s after the death, under leases of {LEASE_SECONDS} s"
    )


def start_zombie(world: World, name: str, chance: random.Random) -> int:
    """Have a worker stop between claim and send, have Leap ask for something else, and return the worker."""
    (world.folder / f"stop-{name}").touch()
    world.ask(name, kw=power(chance))
    zombie = wait_until(partial(stopped, world, name), what="the stop of a worker")
    world.ask(name, kw=power(chance))
    return zombie


def wake(world: World, name: str, zombie: int) -> None:
    """Let a stopped worker go on and wait until it has sent what it had in hand, or has not."""
    os.kill(zombie, signal.SIGCONT)
    sent = world.folder / f"sent-{name}"
    wait_until(sent.exists, what="the late send")
    for file in (sent, world.folder / f"stopped-{name}"):
        file.unlink()


def was_told_normal(world: World, name: str) -> bool:
    """Tell whether a device whose event is over was told to be normal, and not only let it lapse."""
    end = world.asked[name].end.timestamp()
    told = [entry for entry in world.log.entries() if (entry.device, entry.what) == (name, "write")]
    return any(entry.kw == 0 and entry.at >= end for entry in told) and not world.log.power()[name]


def power(chance: random.Random) -> float:
    """A power unlike the one before, in all likelihood."""
    return chance.randrange(1, FULL_POWER_KW * 1000) / 1000


def stopped(world: World, name: str) -> int:
    """Return the worker that stopped itself before its send to the device; 0 if none has."""
    file = world.folder / f"stopped-{name}"
    pid = int(file.read_text() or 0) if file.exists() else 0
    return pid if pid and state_of(pid) == "T" else 0


def running(world: World) -> set[str]:
    """Return the devices that are not normal now, by their own log."""
    return {name for name, kw in world.log.power().items() if kw}


def all_ran_in_full(world: World) -> bool:
    """Tell whether every device has run at full power, of which only the last events ask."""
    entries = world.log.entries()
    full = {entry.device for entry in entries if entry.what == "runs" and entry.kw == FULL_POWER_KW}
    return full == set(world.names)


def last_end(world: World) -> float:
    ends = [end for entry in world.log.last_taken().values() for _, end in entry.follows]
    return max(datetime.fromisoformat(end).astimezone(UTC).timestamp() for end in ends)
