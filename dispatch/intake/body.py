"""Reading a request's body to its end, within limits of size and time.

Django trusts Content-Length and reads nothing of a chunked body under WSGI (ticket #35838); a server that
ends the stream itself says so in `wsgi.input_terminated`, and is then read directly.
"""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from django.http import HttpRequest

LARGEST = 25 * 1024 * 1024
DEADLINE_SECONDS = 30.0
_STEP = 256 * 1024


class BodyRefused(Exception):
    """The body cannot be taken; the message says why."""


class TooLarge(BodyRefused):
    """Over 25 MiB, before or after inflation. `partial` is what there is of it, when it is worth keeping."""

    def __init__(self, partial: bytes = b"") -> None:
        super().__init__("The body is over 25 MiB.")
        self.partial = partial


def read_body(request: HttpRequest) -> bytes:
    """Return the body as sent, gzip not yet inflated.

    Raises TooLarge, or BodyRefused when it does not arrive whole within 30 seconds.
    """
    length = _declared_length(request)
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if length is not None and length > LARGEST:
        raise TooLarge
    if length is None and not (is_chunked and request.META.get("wsgi.input_terminated")):
        return b""
    read = request.META["wsgi.input"].read if is_chunked else request.read
    try:
        with _watch.over(request.META.get("gunicorn.socket")):
            body = _read_up_to_largest(read)
    except Exception as error:  # each server has its own errors for a body that breaks off
        raise BodyRefused("The body did not arrive whole.") from error
    if len(body) > LARGEST:
        raise TooLarge
    if length is not None and len(body) < length and not is_chunked:
        raise BodyRefused("The body did not arrive whole.")
    return body


def inflate(body: bytes, *, encoding: str) -> bytes:
    """Return the body without its content encoding. Raises TooLarge, or BodyRefused when it is damaged."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise BodyRefused("The body's content encoding is not gzip.")
    inflated = bytearray()
    rest = body
    while rest:
        inflater = zlib.decompressobj(wbits=31)
        try:
            inflated += inflater.decompress(rest, LARGEST + 1 - len(inflated))
        except zlib.error:
            raise BodyRefused("The body is not gzip.") from None
        if len(inflated) > LARGEST:
            raise TooLarge(partial=body)
        if not inflater.eof:
            raise BodyRefused("The body's gzip is cut short.")
        rest = inflater.unused_data
    return bytes(inflated)


def _declared_length(request: HttpRequest) -> int | None:
    declared = request.META.get("CONTENT_LENGTH") or ""
    return int(declared) if declared.isascii() and declared.isdigit() else None


def _read_up_to_largest(read: Callable[[int], bytes]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= LARGEST and (piece := read(_STEP)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


class _Watch:
    """Cuts connections that take too long to send: a body that drips would hold a thread for hours.

    One thread a process for all of them, begun by the first: a timer each would cost more than the insert.
    """

    def __init__(self) -> None:
        self._due: dict[int, tuple[float, socket.socket]] = {}
        self._thread: Thread | None = None

    @contextmanager
    def over(self, connection: socket.socket | None) -> Iterator[None]:
        """Give the connection thirty seconds for what happens inside."""
        if connection is None:
            yield
            return
        # After a fork the thread is gone, and says so.
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._look, name="slow bodies", daemon=True)
            self._thread.start()
        self._due[id(connection)] = (time.monotonic() + DEADLINE_SECONDS, connection)
        try:
            yield
        finally:
            self._due.pop(id(connection), None)

    def _look(self) -> None:
        while True:
            time.sleep(1)
            for due, connection in list(self._due.values()):
                if due < time.monotonic():
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)


_watch = _Watch()
