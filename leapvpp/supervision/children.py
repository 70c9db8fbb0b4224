"""A program that is kept running, as one process group of its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

logger = logging.getLogger(__name__)

STEADY = timedelta(seconds=5)
LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `family_size` is how many processes it has below itself when whole; 0: do not look.

    `environment` is added to the supervisor's own.
    """

    name: str
    argv: Sequence[str]
    pass_fds: tuple[int, ...] = ()
    family_size: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One running program: started, looked at, restarted with growing pauses, and stopped as a group."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.whole: frozenset[int] = frozenset()
        self.started_at = datetime.now(UTC)
        self.start_not_before = 0.0
        self.quick_deaths = 0

    def start(self) -> None:
        """Start the program in a session, and so a process group, of its own."""
        self.whole = frozenset()
        self.started_at = datetime.now(UTC)
        self.process = subprocess.Popen(  # noqa: S603 - the arguments are the supervisor's own
            list(self.program.argv),
            env=os.environ | self.program.environment,
            pass_fds=self.program.pass_fds,
            start_new_session=True,
        )

    def complaint(self) -> str:
        """Return what is wrong with the running program, or "" if nothing is."""
        if self.process is None:
            return ""
        status = self.process.poll()
        if status is not None:
            return f"ended with {status}"
        if self.program.family_size and self._has_lost_a_member(self.process.pid):
            return "lost one of its processes"
        return ""

    def _has_lost_a_member(self, pid: int) -> bool:
        # A cluster of django-q2 that lost a waiting worker looks well and never works again, and one
        # that lost its monitor works and never remembers. It is whole, or it is started anew.
        members = family(pid)
        if not self.whole and len(members) >= self.program.family_size:
            self.whole = members
        return bool(self.whole - members)

    def end_remains(self) -> None:
        """End every member of the group at once, and set when to start again."""
        if self.process is None:
            return
        kill_group(self.process.pid)
        self.process.wait()
        self.process = None
        is_quick = datetime.now(UTC) - self.started_at < STEADY
        self.quick_deaths = self.quick_deaths + 1 if is_quick else 0
        pause = min(0.25 * 2**self.quick_deaths, LONGEST_PAUSE_SECONDS) if self.quick_deaths > 1 else 0.0
        self.start_not_before = time.monotonic() + pause

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the leader alone: a cluster whose members are all asked at once hangs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def has_stopped(self) -> bool:
        """Tell whether the leader has ended."""
        return self.process is None or self.process.poll() is not None


def kill_group(group: int) -> None:
    """Send SIGKILL to every member of a process group; an empty one is fine."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def family(pid: int) -> frozenset[int]:
    """Return the living processes below one; empty where the system has no /proc."""
    found: set[int] = set()
    unseen = [pid]
    while unseen:
        for child in _children(unseen.pop()):
            if child not in found and _is_living(child):
                found.add(child)
                unseen.append(child)
    return frozenset(found)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_living(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
