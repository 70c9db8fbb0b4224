"""A mail server that speaks enough SMTP to take mail, and can be told to refuse it."""

from __future__ import annotations

import socketserver
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Thread


class MailServer(socketserver.ThreadingTCPServer):
    """Keeps what it took; `refusing` answers every mail with 451."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Session)
        self.taken: list[EmailMessage] = []
        self.refusing = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.strip().upper().split(b" ")[0]
            if verb == b"QUIT":
                return self._say("221 bye")
            if verb == b"DATA" and not self.server.refusing:
                self._say("354 go on")
                self.server.taken.append(message_from_bytes(self._data(), policy=policy.default))
            self._say("451 later" if self.server.refusing and verb == b"DATA" else "250 ok")

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server(port: int = 0):
    """A server that listens until the end of the block."""
    with MailServer(port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
