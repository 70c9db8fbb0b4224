"""Devices that take values and keep them until they lapse: a real server on a real socket, with its own log.

One line of JSON asks, one answers. Faults are set by the device's name: "dead" answers nothing, "slow"
answers only when it is let go, "refuses" says no, "forgets" takes a value and keeps another, "blind" cannot
be read.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

PATIENCE_SECONDS = 30
NORMAL = "normal"


@dataclass
class SetPointDevices:
    """What the devices hold and what happened to them, in order."""

    faults: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    most_at_once: Counter[str] = field(default_factory=Counter)
    letting_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._talking: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        devices = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    answer = devices.answer(json.loads(line))
                    if answer is None:
                        return
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 512

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.letting_go.set()
        self._server.shutdown()
        self._server.server_close()

    def holds(self, name: str, *, at: datetime | None = None) -> str:
        """What the device does at a time, by its own account."""
        with self._lock:
            value, lapses_at = self.values.get(name, (NORMAL, timezone.now()))
        return value if (at or timezone.now()) < lapses_at else NORMAL

    def writes(self, name: str) -> list[str]:
        """What the device was told, in order."""
        with self._lock:
            return [value for what, told, value in self.log if (what, told) == ("write", name)]

    def answer(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """Be the device."""
        name = asked["device"]
        with self._lock:
            self._talking[name] += 1
            self.most_at_once[name] = max(self.most_at_once[name], self._talking[name])
        try:
            return self._answer(name, asked)
        finally:
            with self._lock:
                self._talking[name] -= 1

    def _answer(self, name: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        fault = self.faults.get(name, "")
        if fault in {"dead", "slow"}:
            self._note("asked", name, asked["op"])
            self.letting_go.wait(timeout=PATIENCE_SECONDS)
            if fault == "dead":
                return None
        if fault == "busy":
            return {"busy": True}
        if asked["op"] == "read":
            return {"value": None if fault == "blind" else self.holds(name)}
        if fault == "refuses":
            self._note("refused", name, asked["value"])
            return {"refused": "It is under local control."}
        kept = NORMAL if fault == "forgets" else asked["value"]
        with self._lock:
            self.values[name] = (kept, datetime.fromisoformat(asked["lapses_at"]))
        self._note("write", name, asked["value"])
        return {"ok": True}

    def _note(self, what: str, name: str, value: str) -> None:
        with self._changed:
            self.log.append((what, name, value))
            self._changed.notify_all()

    def wait_until(self, condition: Any) -> bool:
        """Wait until the log is as wanted; False after half a minute."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.log), timeout=PATIENCE_SECONDS)
