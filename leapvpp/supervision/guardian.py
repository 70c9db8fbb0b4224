"""Ends what a supervisor started if the supervisor itself dies, however it dies.

Run as a script with a pipe as standard input; the supervisor holds the other end. A line `+PID` says
that a process group lives, `-PID` that it is gone. The pipe's end means that the supervisor is dead:
each group's leader gets SIGTERM, and five seconds later whatever is left gets SIGKILL.
Imports little, because it sits in memory all the time.
"""

import os
import signal
import sys
import time

PATIENCE_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.1


def read_groups() -> set[int]:
    """Return the groups that live when the pipe ends."""
    groups: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            groups.add(pid)
        else:
            groups.discard(pid)
    return groups


def is_alive(group: int) -> bool:
    """Tell whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def end(groups: set[int]) -> None:
    """Ask the leaders to stop, then end every member of every group."""
    for group in groups:
        try:
            # Only the leader: a worker cluster whose members are all asked at once hangs.
            os.kill(group, signal.SIGTERM)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(is_alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_SECONDS)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    end(read_groups())
