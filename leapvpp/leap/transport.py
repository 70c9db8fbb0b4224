"""One HTTP request to Leap: address, key, time limits, retries, errors.

A repeat is only made where it is harmless (``read``); ``act`` sends once. Redirects are not
followed, as they would carry the key elsewhere.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import stamina

from leapvpp.leap.errors import (
    LeapError,
    LeapRefused,
    LeapUnreachable,
    UnreadableAnswer,
    describe_error,
    listed_details,
)
from leapvpp.leap.values import encode_request

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
DEADLINE_SECONDS = 30.0
LARGEST_ANSWER_BYTES = 100 * 1024 * 1024
_TOO_LONG = "Leap's answer did not end within the time it was given"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class LeapTransport:
    """Sends requests with the account's key and returns the bytes of good answers."""

    def __init__(
        self, *, base_url: str, api_key: str, attempts: int = 3, total_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Prepare connections to one of Leap's environments, or to the simulator.

        ``total_seconds``: after that long a request whose answer still drips in, headers or body, is cut off.

        Raises ``ValueError`` when ``base_url`` is not scheme and host alone, is not https (plain
        http is for loopback), or when the key could not stand in a header.
        """
        host = check_base_url(base_url)
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise ValueError("the API key is empty or has characters that no header can carry")
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._attempts = attempts
        self._total_seconds = total_seconds
        self._connection: Any = None
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {api_key}", "accept": "application/json"},
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # A proxy of the environment is for the Internet, not for the simulator on loopback.
            trust_env=host not in LOOPBACK_HOSTS,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url})"

    def close(self) -> None:
        self._http.close()

    def read(self, method: str, path: str, *, content: object = None) -> bytes:
        """Send a request that changes nothing; repeat it, backing off, while that may help.

        Raises ``LeapRefused``, ``LeapUnreachable``.
        """
        for attempt in stamina.retry_context(
            on=_is_worth_a_retry,
            attempts=self._attempts,
            timeout=DEADLINE_SECONDS,
            wait_initial=0.2,
            wait_max=2.0,
            wait_jitter=0.2,
        ):
            with attempt:
                return self._send(method, path, content=content, read_seconds=READ_SECONDS)
        raise AssertionError("a retry loop ends with an answer or an error")

    def act(
        self, method: str, path: str, *, content: object = None, read_seconds: float = READ_SECONDS
    ) -> bytes:
        """Send a request that changes something, once. Raises as ``read`` does."""
        return self._send(method, path, content=content, read_seconds=read_seconds)

    def _send(self, method: str, path: str, *, content: object, read_seconds: float) -> bytes:
        body = None if content is None else encode_request(content)
        headers = {} if body is None else {"content-type": "application/json"}
        timeout = httpx.Timeout(min(read_seconds, self._total_seconds), connect=CONNECT_SECONDS)
        deadline = time.monotonic() + self._total_seconds
        watched = {"trace": self._trace}
        try:
            with (
                self._alarm(),
                self._http.stream(
                    method, path, content=body, headers=headers, timeout=timeout, extensions=watched
                ) as response,
            ):
                answer = _read_within_limits(response, deadline=deadline, clock=time.monotonic)
        except httpx.HTTPError as error:
            if time.monotonic() > deadline:
                raise LeapUnreachable(_TOO_LONG) from error
            name = type(error).__name__
            raise LeapUnreachable(f"no answer to {method} {path}: {name} {error}") from error
        if not response.is_success:
            answer = answer.replace(self._api_key.encode(), b"***")
            code, message = describe_error(answer)
            raise LeapRefused(
                status=response.status_code,
                code=code.replace(self._api_key, "***"),
                message=message.replace(self._api_key, "***"),
                details=listed_details(answer),
            )
        return answer

    @contextmanager
    def _alarm(self) -> Iterator[None]:
        """End the connection when the time is over: headers that drip in reset every other time limit."""
        alarm = threading.Timer(self._total_seconds, self._hang_up)
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the connection; there is one at a time, as requests are made one after the other."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._connection = info["return_value"]

    def _hang_up(self) -> None:
        connected = self._connection and self._connection.get_extra_info("socket")
        if connected:
            with suppress(OSError):  # closed meanwhile
                # Not the method of a TLS socket, which takes the session from under who reads it.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


def check_base_url(base_url: str) -> str:
    """Return the host of Leap's base address. Raises ``ValueError`` saying what is wrong."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
        raise ValueError("the address of Leap's API must look like https://api.leap.energy")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("the address of Leap's API is the host only, without /v2 or another path")
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise ValueError("the address of Leap's API must be https, or the key would be readable")
    return host


def _read_within_limits(response: httpx.Response, *, deadline: float, clock: Callable[[], float]) -> bytes:
    """Read the body; a peer that drips or floods is cut off like one that is silent."""
    pieces = bytearray()
    for piece in response.iter_bytes():
        pieces += piece
        if clock() > deadline:
            raise LeapUnreachable(_TOO_LONG)
        if len(pieces) > LARGEST_ANSWER_BYTES:
            raise UnreadableAnswer("Leap's answer is too large")
    return bytes(pieces)


def _is_worth_a_retry(error: Exception) -> bool:
    return isinstance(error, LeapError) and not error.is_permanent
