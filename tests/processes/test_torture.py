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
from tests.processes.recorder import Entry
from tests.processes.running import state_of, wait_until
from tests.processes.sizes import size

SEED = 20261128
DEVICES = size(6, full=20)
ZOMBIES = size(3, full=200)
LONGEST_SLEEP_SECONDS = size(0.5, full=20.0)
CHANGES = size(24, full=1000)
DEATHS = size(2, full=100)
LONGEST_DEATH_SECONDS = size(1.0, full=20.0)
FULL_POWER_KW = 50


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with mortal_world(tmp_path_factory.mktemp("world"), devices=DEVICES) as running:
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


def test_a_worker_that_wakes_too_late_has_no_effect(world, chance, say):
    for trial in range(ZOMBIES):
        name = world.names[trial % DEVICES]
        (world.folder / f"stop-{name}").touch()
        world.ask(name, kw=power(chance))
        zombie = wait_until(partial(stopped, world, name), what="the stop of a worker")
        world.ask(name, kw=power(chance))
        world.wait_agreed(what="a newer schedule beside a stopped worker")
        time.sleep(chance.uniform(0, LONGEST_SLEEP_SECONDS))
        os.kill(zombie, signal.SIGCONT)
        sent = world.folder / f"sent-{name}"
        wait_until(sent.exists, what="the late send")
        for file in (sent, world.folder / f"stopped-{name}"):
            file.unlink()
        assert world.agreed()
    world.check_effects()
    refused = [entry for entry in world.log.entries() if entry.what == "refused"]
    assert refused, "no late schedule reached a device: the trials tried nothing"
    say(f"{ZOMBIES} workers woke too late: {len(refused)} late schedules refused, none had an effect")


def test_two_of_everything_repeat_nothing_with_effect(world, chance, say):
    world.start()
    world.latencies.clear()
    for number in range(CHANGES):
        world.ask(chance.choice(world.names), kw=power(chance), portal=number % 2)
        time.sleep(0.05)
        if number % DEVICES == DEVICES - 1:
            world.wait_agreed(what="changes through two portals")
    world.wait_agreed(what="the last change")
    world.check_effects()
    figures = sorted(world.latencies)
    say(f"{CHANGES} changes through two portals: last device after {figures[-1]:.2f} s at most")


def test_all_dead_in_mid_event_and_started_again(world, chance, say):
    longest = 0.0
    for death in range(DEATHS):
        held = chance.choice(world.names)
        (world.folder / f"stop-{held}").touch()  # so that one command dies between claim and send
        for name in chance.sample(world.names, DEVICES):
            world.ask(name, kw=power(chance) if name == held or chance.random() < 0.7 else 0)
        wait_until(partial(stopped, world, held), what="the stop of a worker")
        time.sleep(chance.uniform(0, 0.3))
        world.kill()
        assert not world.agreed()
        (world.folder / f"stopped-{held}").unlink()
        time.sleep(chance.uniform(0, LONGEST_DEATH_SECONDS))
        began = time.time()
        world.start()
        world.wait_agreed(what=f"death {death}")
        latest = max(entry.at for entry in world.log.last_taken().values())
        longest = max(longest, latest - began)
    world.check_effects()
    say(f"{DEATHS} times all dead: every device as asked {longest:.1f} s after the start at the latest")


def test_a_portal_that_is_dead_for_good_leaves_every_device_normal(world, say):
    for name in world.names:
        world.ask(name, kw=FULL_POWER_KW, seconds=12)
    world.wait_agreed(what="the last events")
    wait_until(
        lambda: {each.device for each in full_runs(world)} == set(world.names), what="the start of all"
    )
    world.kill()
    wait_until(lambda: not running(world), what="the return to normal of all devices", patience=60)
    late = max(entry.at for entry in world.log.entries() if entry.what == "runs") - last_end(world)
    say(f"Dead for good: the last of {DEVICES} devices was normal {late:.2f} s after the last event's end")


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


def full_runs(world: World) -> list[Entry]:
    """Return what the log says of devices at full power, of which only the last events ask."""
    return [entry for entry in world.log.entries() if entry.what == "runs" and entry.kw == FULL_POWER_KW]


def last_end(world: World) -> float:
    ends = [end for entry in world.log.last_taken().values() for _, end in entry.follows]
    return max(datetime.fromisoformat(end).astimezone(UTC).timestamp() for end in ends)
