"""Devices and gateways that take their schedule as an HTTP request, signed as Standard Webhooks are.

`docs/devices-http.md` is the device's side of this. httpcore, httpx's engine, is used by itself: it knows no
redirects, proxies, cookies or compressed answers, so nothing of the kind has to be switched off.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

import httpcore
import httpx
import msgspec
from django.conf import settings as portal_settings
from django.utils import timezone

from devices.domain.egress import Destination, Forbidden, destination
from devices.domain.signing import LONGEST, SHORTEST, is_secret
from devices.domain.wording import one_line
from devices.drivers.base import Answer, BatchDriver, Delivery, DriverError, Result, failure, unknown_settings
from devices.drivers.egress import GuardedBackend, UnknownName, look_up, policy_set
from devices.drivers.signed import Headers, signed_headers, url_of

_Place = tuple[bytes, bytes, int | None]

LARGEST_ANSWER: Final = 64 * 1024  # bytes
IDLE_SECONDS: Final = 30.0
IDS: Final = UUID("6f0a5f3c-5a0e-4c43-9a3c-2f7d1f6e8b11")
KNOWN_SETTINGS: Final = {"url", "secret"}
WORTH_A_RETRY: Final = {408, 425, 429}
REFUSALS: Final = {409, 422}
PERMANENT: Final = {
    401: "does not accept the signature (401): the secrets differ, or its clock is wrong",
    403: "does not let the portal in (403)",
    404: "knows no such device (404): look at its address",
    410: "says that the device is gone (410)",
}


class Said(msgspec.Struct):
    """What an answer says; anything else in it is ignored."""

    version: int | None = None
    status: str | None = None
    detail: str | None = None


class HttpDriver(BatchDriver):
    """Puts the schedule to the device's address, many devices at once over connections that stay open."""

    concurrency = 128
    secret_settings: ClassVar[frozenset[str]] = frozenset({"secret"})

    def __init__(self, look_up: Callable[[str, int], Sequence[str]] = look_up) -> None:
        self._look_up = look_up
        self._opening = Lock()
        self._line: _Line | None = None

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the address and the secret; see `Driver.check_settings`."""
        wrong = unknown_settings(settings, known=KNOWN_SETTINGS)
        try:
            destination(settings.get("url"), policy=policy_set())
        except Forbidden as reason:
            wrong.append(f"“url” {reason}")
        secret = settings.get("secret")
        if secret and not is_secret(secret):
            wrong.append(f"“secret” must be whsec_ and {SHORTEST} to {LONGEST} bytes in base64.")
        if not secret and not portal_settings.DEVICE_HTTP_SECRETS:
            wrong.append("“secret” is missing, and DEVICE_HTTP_SECRETS sets none for all devices.")
        return wrong

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Carry all messages at once and yield what came of them, in groups as they come in."""
        results: SimpleQueue[tuple[int, Result]] = SimpleQueue()
        line = self._open_line()
        sending = asyncio.run_coroutine_threadsafe(self._carry_all(line, deliveries, results.put), line.loop)
        missing = len(deliveries)
        try:
            while missing:
                group = [results.get()]
                while not results.empty():
                    group.append(results.get())
                missing -= len(group)
                yield group
        finally:
            sending.cancel()

    def close(self) -> None:
        """Close the connections that stay open."""
        with self._opening:
            if self._line is not None:
                self._line.close()
                self._line = None

    def _open_line(self) -> _Line:
        """Return this process's connections: neither threads nor sockets outlive a fork."""
        with self._opening:
            if self._line is None or self._line.process_id != os.getpid():
                # Devices that did not answer last time have turns beside the others'.
                connections = self.concurrency + self.concurrency // 4
                self._line = _Line(look_up=self._look_up, connections=connections)
            return self._line

    async def _carry_all(
        self, line: _Line, deliveries: Sequence[Delivery], put: Callable[[tuple[int, Result]], None]
    ) -> None:
        async def carry(position: int, delivery: Delivery) -> None:
            put((position, await self._result(line, delivery)))

        await asyncio.gather(*(carry(*numbered) for numbered in enumerate(deliveries)))

    async def _result(self, line: _Line, delivery: Delivery) -> Result:
        try:
            return await self._carry(line, delivery)
        except Forbidden as reason:
            return DriverError(f"The device's address {reason}", permanent=True)
        except TimeoutError:
            return _silence(f"did not answer within {self.timeout_seconds:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return _silence(_why_unreachable(error))
        except Exception as error:
            return failure(error, device=delivery.device)

    async def _carry(self, line: _Line, delivery: Delivery) -> Answer:
        """Make one request and read its answer, all within the time limit."""
        where = destination(self.settings_of(delivery.device)["url"], policy=policy_set())
        body = json.dumps(delivery.message, separators=(",", ":")).encode()
        headers = _headers(delivery, where=where, body=body)
        version = delivery.message["version"]
        async with asyncio.timeout(self.timeout_seconds):
            async with line.request(url_of(where), headers=headers, body=body) as response:
                _raise_for_status(response)
                said = await _read(response)
        return _answer(said, version=version, is_refused=response.status in REFUSALS)


class _Line:
    """An event loop in a thread of its own, with the connections of one process.

    Idle connections are kept by origin: httpcore's own pool looks through all of its connections several
    times for each request, which at a hundred of them takes longer than the request.
    """

    def __init__(self, *, look_up: Callable[[str, int], Sequence[str]], connections: int) -> None:
        self.process_id = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._look_up = look_up
        # Of its own: names that are slow to resolve must not hold up those that are not.
        self._resolvers = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="resolver")
        self._backend = GuardedBackend(policy=policy_set, resolve=self._resolve)
        self._tls = httpx.create_ssl_context()
        self._most_idle = connections
        self._idle: OrderedDict[httpcore.AsyncHTTPConnection, _Place] = OrderedDict()  # longest idle first
        self._idle_at: defaultdict[_Place, list[httpcore.AsyncHTTPConnection]] = defaultdict(list)
        self._thread = Thread(target=self.loop.run_forever, name="http devices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close_idle(most_kept=0), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self._resolvers.shutdown(wait=False)

    @asynccontextmanager
    async def request(
        self, url: httpcore.URL, *, headers: Headers, body: bytes
    ) -> AsyncIterator[httpcore.Response]:
        """PUT over an idle connection or a new one; it is kept if the answer was read to its end."""
        place = (url.scheme, url.host, url.port)
        connection = await self._idle_connection(place) or self._new_connection(url.origin)
        try:
            response = await connection.handle_async_request(
                httpcore.Request("PUT", url, headers=headers, content=body)
            )
            try:
                yield response
            finally:
                await response.aclose()
        except BaseException:
            await connection.aclose()
            raise
        if connection.is_idle():
            self._idle[connection] = place
            self._idle_at[place].append(connection)
            await self._close_idle(most_kept=self._most_idle)

    async def _idle_connection(self, place: _Place) -> httpcore.AsyncHTTPConnection | None:
        while waiting := self._idle_at.get(place):
            connection = waiting[-1]
            self._forget(connection)
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _new_connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            origin=origin,
            ssl_context=self._tls,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._backend,
        )

    async def _close_idle(self, *, most_kept: int) -> None:
        while len(self._idle) > most_kept:
            oldest = next(iter(self._idle))
            self._forget(oldest)
            await oldest.aclose()

    def _forget(self, connection: httpcore.AsyncHTTPConnection) -> None:
        place = self._idle.pop(connection)
        self._idle_at[place].remove(connection)
        if not self._idle_at[place]:
            del self._idle_at[place]

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return await self.loop.run_in_executor(self._resolvers, self._look_up, host, port)


def _headers(delivery: Delivery, *, where: Destination, body: bytes) -> Headers:
    """Return the headers; a repeat of the same version has the same `webhook-id`, whenever it is sent."""
    device, version = delivery.device, delivery.message["version"]
    own_secret = device.settings.get("secret")
    signed = signed_headers(
        where=where,
        message_id=uuid5(IDS, f"{device.pk}:{device.external_id}:{version}"),
        body=body,
        secrets=[own_secret] if own_secret else portal_settings.DEVICE_HTTP_SECRETS,
        now=timezone.now(),
    )
    return [*signed, ("accept", "application/json"), ("accept-encoding", "identity")]


def _raise_for_status(response: httpcore.Response) -> None:
    """Leave alone what has an answer to read.

    Raises:
        DriverError: permanent if the same request would be answered the same way again.
    """
    status = response.status
    if 200 <= status < 300 or status in REFUSALS:
        return
    if status in PERMANENT:
        raise DriverError(f"The device's server {PERMANENT[status]}.", permanent=True)
    if 300 <= status < 400:
        text = f"The device's server answered {status}, a redirect; none is followed: give the final address."
        raise DriverError(text, permanent=True)
    if 400 <= status < 500 and status not in WORTH_A_RETRY:
        raise DriverError(f"The device's server does not take the request ({status}).", permanent=True)
    raise _silence(f"answered {status}", pause_seconds=_pause_asked(response))


def _pause_asked(response: httpcore.Response) -> float:
    """Return the seconds of Retry-After, which may be a number or a date; 0 if there is none."""
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    text = values[0].decode("latin-1") if values else ""
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - timezone.now()).total_seconds())
    except (TypeError, ValueError):  # no date, or one without its zone
        return 0.0


async def _read(response: httpcore.Response) -> Said | None:
    """Return what the answer says; None if it is not the JSON that was agreed.

    Raises:
        DriverError: it is too long.
    """
    body = bytearray()
    async for piece in response.aiter_stream():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise _silence(f"answered with more than {LARGEST_ANSWER // 1024} KB")
    try:
        return msgspec.json.decode(bytes(body), type=Said)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _answer(said: Said | None, *, version: int, is_refused: bool) -> Answer:
    """Return the device's answer.

    Raises:
        DriverError: it acknowledges nothing, or another version.
    """
    if is_refused or (said and said.status == "rejected"):
        detail = one_line(said.detail if said and said.detail else "")
        return Answer(is_accepted=False, detail=detail or "The device refused and did not say why.")
    if said is None:
        raise _silence("answered, but not with JSON that says which version it took")
    if said.status not in {None, "accepted"}:
        raise _silence("answered with a status that is neither accepted nor rejected")
    if said.version != version:
        which = "no version" if said.version is None else f"version {said.version}"
        raise _silence(f"acknowledged {which}, not version {version}")
    return Answer(is_accepted=True)


def _silence(predicate: str, *, pause_seconds: float = 0) -> DriverError:
    return DriverError(f"The device's server {predicate}.", permanent=False, pause_seconds=pause_seconds)


def _why_unreachable(error: Exception) -> str:
    if error.args and isinstance(error.args[0], ssl.SSLCertVerificationError):
        return "has no certificate that can be trusted for its name"
    if isinstance(error, UnknownName):
        return "cannot be found: its name leads nowhere"
    if isinstance(error, (httpcore.ConnectError, httpcore.ConnectTimeout)):
        return "cannot be reached"
    if isinstance(error, httpcore.RemoteProtocolError):
        return "hung up, or answered with something that is not HTTP"
    return "broke the connection before it had answered"
