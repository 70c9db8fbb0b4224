"""Connections to devices that go to allowed addresses only.

A name is resolved once for a connection, everything it leads to must be allowed (`devices.domain.egress`),
and the connection goes to one of those very numbers: what the name leads to a moment later does not matter.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

from devices.domain.egress import Forbidden, Policy, as_number, check_numbers, check_place

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Return the numbers a name leads to. Raises OSError when there are none."""

CONNECT_SECONDS: Final = 3.0
OWN_MACHINE: Final = frozenset({"*", "localhost", "127.0.0.1", "[::1]"})


def policy_set(ports_setting: str = "DEVICE_PORTS") -> Policy:
    """Return what may be spoken to, as the settings say, at the ports that one of them lists.

    The portal's own public names are closed. Its name on this machine is closed where it listens, and open
    elsewhere if loopback is listed.
    """
    portal = urlsplit(settings.PORTAL_URL)
    names = {*settings.ALLOWED_HOSTS, portal.hostname or ""}
    return Policy(
        networks=tuple(settings.DEVICE_NETWORKS),
        ports=frozenset(getattr(settings, ports_setting)),
        own_ports=frozenset(settings.DEVICE_CLOSED_PORTS),
        own_names=frozenset(name.lower() for name in names if name and name not in OWN_MACHINE),
        own_web_port=portal.port,
        ports_setting=ports_setting,
    )


class UnknownName(httpcore.ConnectError):
    """The name leads nowhere, at least now."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to allowed addresses only, each name resolved once for each connection."""

    def __init__(self, *, policy: Callable[[], Policy], resolve: Resolver) -> None:
        self._policy = policy
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            Forbidden: one of them is closed.
            UnknownName: there is none.
            httpcore.ConnectError, httpcore.ConnectTimeout: none answers.
        """
        numbers = await self._numbers(host, port)
        check_numbers(numbers, port=port, policy=self._policy())
        failure: Exception = UnknownName()
        for number in numbers:
            try:
                stream = await self._plain.connect_tcp(number, port, timeout=CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            peer = stream.get_extra_info("server_addr")[0]
            if not is_peer(peer, number):
                await stream.aclose()
                raise Forbidden(f"was answered from {peer}.")
            return stream
        raise failure

    async def _numbers(self, host: str, port: int) -> Sequence[str]:
        if number := as_number(host):
            return [number]
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise UnknownName from error


def look_up(host: str, port: int) -> list[str]:
    """Ask the system where a name leads. Raises OSError when it does not know."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def allowed_numbers(
    host: str,
    port: int,
    *,
    policy: Policy,
    look_up: Callable[[str, int], Sequence[str]],
    seconds: float,
) -> Sequence[str]:
    """Return the numbers that a connection may go to, for drivers whose library makes the connection.

    Whoever connects to one of them compares the peer's number with it (`is_peer`).

    Raises:
        Forbidden: the host, the port or one of the numbers is closed.
        UnknownName: the name leads nowhere, at least now.
        TimeoutError: nobody said in time where it leads.
    """
    check_place(host, port, policy=policy)
    if number := as_number(host):
        return [number]
    numbers = _looked_up(host, port, look_up=look_up, seconds=seconds)
    if not numbers:
        raise UnknownName
    check_numbers(numbers, port=port, policy=policy)
    return numbers


def is_peer(peer: str, number: str) -> bool:
    """Say whether a connection to a number reached it."""
    return ipaddress.ip_address(peer) == ipaddress.ip_address(number)


def _looked_up(
    host: str, port: int, *, look_up: Callable[[str, int], Sequence[str]], seconds: float
) -> Sequence[str]:
    """Ask in a thread of its own: the system may take longer than there is time, and cannot be stopped."""
    answers: SimpleQueue[Sequence[str]] = SimpleQueue()

    def ask() -> None:
        found: Sequence[str] = ()
        with suppress(OSError, UnicodeError):
            found = look_up(host, port)
        answers.put(found)

    Thread(target=ask, name="resolver", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
