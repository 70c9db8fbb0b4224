"""A device that takes its schedule over HTTP, on a free port of this machine, with faults on demand.

Everything it says and refuses is its own: it checks signatures with the library that a vendor would use.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_" + "c2VjcmV0LWNhbmFyeS1vZi1hLWRldmljZQ=="
TLS = Path(__file__).parent / "tls"


class HttpDevice(ThreadingHTTPServer):
    """One device at every path; `faults` are answers by path, in place of an honest one."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, is_tls: bool = False) -> None:
        super().__init__((host, port), _Handler)
        self.scheme = "https" if is_tls else "http"
        if is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.faults: dict[str, object] = {}
        self.held: dict[str, dict] = {}
        self.changes: list[tuple[str, int]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.over = Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/1", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def handle_error(self, request, client_address):
        """Say nothing: connections that break are what is tested."""


@contextmanager
def http_device(host: str = "127.0.0.1", port: int = 0, *, is_tls: bool = False):
    """Run a device for as long as the block lasts."""
    server = HttpDevice(host, port, is_tls=is_tls)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: HttpDevice

    def setup(self):
        super().setup()
        self.server.connections += 1

    def log_message(self, format, *args):
        """Say nothing."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        fault = self.server.faults.get(self.path)
        if fault is None:
            return self.answer(*self.take(headers, body))
        if callable(fault):
            return fault(self, json.loads(body))
        return self.answer(*fault)

    def take(self, headers, body):
        """Be honest: keep a newer version, refuse an older one, take a repeat without effect."""
        try:
            message = Webhook(SECRET).verify(body, headers)
        except WebhookVerificationError:
            return 401, b""
        version, held = message["version"], self.server.held.get(self.path)
        if held and version < held["version"]:
            return 409, {"detail": f"Version {version} is older than version {held['version']}."}
        if not held or version > held["version"]:
            self.server.held[self.path] = message
            self.server.changes.append((self.path, version))
        return 200, {"version": version}

    def answer(self, status, said=b"", headers=()):
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def silent(handler, message):
    """Say nothing until the test is over."""
    handler.server.over.wait()
    handler.close_connection = True


def dripping(handler, message):
    """Answer a byte at a time for as long as anybody listens."""
    handler.send_response(200)
    handler.send_header("content-length", "1000000")
    handler.end_headers()
    handler.wfile.flush()
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def huge(handler, message):
    """Answer well, and then go on and on."""
    handler.answer(200, json.dumps({"version": message["version"]}).encode() + b" " * 1_000_000)


def resetting(handler, message):
    """Break the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hanging_up(handler, message):
    """Close the connection instead of answering."""
    handler.close_connection = True


def babbling(handler, message):
    """Answer with something that is not HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True
