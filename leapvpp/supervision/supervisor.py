"""Keep programs running until told to stop, then leave nothing behind."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from leapvpp.supervision.children import Child, Program, kill_group

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.25
STOP_PATIENCE_SECONDS = 8.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Guardian:
    """The process that ends every group if the supervisor is killed; see `guardian.py`."""

    def __init__(self) -> None:
        self.groups: set[int] = set()
        self._start()

    def _start(self) -> None:
        script = Path(__file__).with_name("guardian.py")
        self.process = subprocess.Popen(  # noqa: S603 - the interpreter and a file of ours
            [sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE, start_new_session=True
        )

    def note(self, *, group: int, is_alive: bool) -> None:
        """Tell the guardian that a group lives or is gone."""
        (self.groups.add if is_alive else self.groups.discard)(group)
        self._write(f"{'+' if is_alive else '-'}{group}\n")

    def _write(self, lines: str) -> None:
        assert self.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        try:
            self.process.stdin.write(lines.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            self.keep()

    def keep(self) -> None:
        """Start the guardian again if it is gone, and tell it what lives."""
        if self.process.poll() is not None:
            self._start()
            self._write("".join(f"+{group}\n" for group in sorted(self.groups)))

    def dismiss(self) -> None:
        """Let the guardian end: nothing is left to guard."""
        assert self.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        self.process.stdin.close()
        self.process.wait()


class Supervisor:
    """Runs the programs until a stop signal arrives; restarts each that dies or loses a part of itself."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.children = {program.name: Child(program) for program in programs}
        self.guardian = Guardian()
        self.is_stopping = False
        self.complaints: dict[str, str] = {}

    def complain(self, name: str, why: str) -> None:
        """Have a program ended and started again at the next look. May be called from any thread."""
        self.complaints[name] = why

    def run(self, each_look: Callable[[], None]) -> None:
        """Keep everything running until SIGTERM, SIGINT or SIGHUP; then stop it all."""
        before = {number: signal.signal(number, self._note_stop) for number in STOP_SIGNALS}
        try:
            while not self.is_stopping:
                self.guardian.keep()
                for child in self.children.values():
                    self._look_at(child)
                each_look()
                time.sleep(LOOK_EVERY_SECONDS)
        finally:
            self._stop_all()
            self.guardian.dismiss()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        # A plain flag: a second signal in the middle of setting an Event would wait for itself for ever.
        self.is_stopping = True

    def _look_at(self, child: Child) -> None:
        name = child.program.name
        complaint = self.complaints.pop(name, "") or child.complaint()
        if complaint and child.process is not None:
            logger.warning("%s %s; it is started again", name, complaint)
            group = child.process.pid
            child.end_remains()
            self.guardian.note(group=group, is_alive=False)
        if child.process is None and time.monotonic() >= child.start_not_before:
            child.start()
            assert child.process is not None  # noqa: S101 - it was started in the line above
            self.guardian.note(group=child.process.pid, is_alive=True)

    def _stop_all(self) -> None:
        children = list(self.children.values())
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_PATIENCE_SECONDS
        while time.monotonic() < deadline and not all(child.has_stopped() for child in children):
            time.sleep(0.05)
        for child in children:
            if child.process is not None:
                kill_group(child.process.pid)
                child.process.wait()
