"""A scripted HTTP server on loopback, so that the client is tried over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from leapvpp.leap.client import LeapClient

API_KEY = "secret-key-of-the-account"


@dataclass
class ScriptedServer:
    """Answers requests from ``answers`` in order, then with ``otherwise``; remembers what was asked.

    ``drip_seconds``: pause before every byte of an answer's body, and of its headers if ``drips_headers``.
    """

    answers: list[tuple[int, object]] = field(default_factory=list)
    otherwise: tuple[int, object] = (202, {"status": "accepted"})
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    drip_seconds: float = 0.0
    drips_headers: bool = False

    def client(self) -> LeapClient:
        return LeapClient(base_url=self.url, api_key=API_KEY)

    def bodies(self) -> list[dict[str, Any]]:
        return [request["body"] for request in self.requests]


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    script = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.requests.append(
                {
                    "line": f"{self.command} {self.path}",
                    "key": self.headers.get("authorization"),
                    "headers": dict(self.headers.items()),
                    "body": json.loads(body) if body else None,
                }
            )
            status, content = script.answers.pop(0) if script.answers else script.otherwise
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            if script.drips_headers:
                self.drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50)
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if not script.drip_seconds:
                self.wfile.write(data)
                return
            self.drip(data)

        def drip(self, data: bytes) -> None:
            with suppress(ConnectionError):
                for place in range(len(data)):
                    time.sleep(script.drip_seconds)
                    self.wfile.write(data[place : place + 1])

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()
