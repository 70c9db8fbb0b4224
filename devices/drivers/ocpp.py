"""Chargers that speak OCPP: each schedule becomes a charging profile, handed over by the central system.

The chargers' connections are held by `manage.py ocpp_server`; this is the workers' side, and so loads
nothing of OCPP itself.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec
from django.conf import settings as portal_settings

from devices.domain.charging import CannotCharge, windows_of
from devices.drivers.base import Answer, BatchDriver, Capabilities, Delivery, DriverError, Result, failure
from devices.drivers.ocpp_control import LONGEST_LINE, Greeting, Order, Outcome, answer_to

SHORTEST_PASSWORD, LONGEST_PASSWORD = 16, 40
PURPOSES: Final = ("station", "transaction")
UNITS: Final = ("W", "A")
OF_THE_CHARGER: Final = 0.85
"""The part of a try that the charger may take; the rest is for the way to it and back."""
GATHER_SECONDS: Final = 0.02
LEAST_WAIT_SECONDS: Final = 0.001

Group = list[tuple[int, Result]]


class ChargerSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What may be set on a device; see docs/devices-ocpp.md."""

    password: str = ""
    least_kw: float = 0.0
    unit: str = "W"
    volts: int = 230
    phases: int = 3
    profile: str = "station"
    stack_level: int = 1
    connectors: int = 1


class OcppDriver(BatchDriver):
    """Hands schedules to the central system, many at once over one connection, and takes the answers."""

    capabilities: ClassVar[Capabilities] = Capabilities(holds_schedule=True, reads_back=True, telemetry=True)
    secret_settings: ClassVar[frozenset[str]] = frozenset({"password"})
    timeout_seconds = 10
    concurrency = 500

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with a charger's settings; see `Driver.check_settings`."""
        try:
            read = read_settings(settings)
        except msgspec.ValidationError as error:
            return [f"The settings are not understood: {str(error).rstrip('.')}."]
        return list(_wrong(read))

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[Group]:
        """Order every message at once, and yield the answers in groups as they come; the silent come last."""
        deadline = time.monotonic() + self.timeout_seconds
        at_once: Group = []
        orders: list[Order] = []
        for position, delivery in enumerate(deliveries):
            try:
                orders.append(self._order(position, delivery))
            except CannotCharge as reason:
                at_once.append((position, Answer(is_accepted=False, detail=str(reason))))
            except Exception as error:
                at_once.append((position, failure(error, device=delivery.device)))
        if at_once:
            yield at_once
        if orders:
            yield from _carry(orders, deadline=deadline)

    def _order(self, position: int, delivery: Delivery) -> Order:
        read = read_settings(self.settings_of(delivery.device))
        if not portal_settings.OCPP_LISTEN:
            raise DriverError(
                "No central system is set. Set OCPP_LISTEN, for example OCPP_LISTEN=127.0.0.1:9000.",
                permanent=True,
            )
        rated_kw = float(delivery.device.rated_power_kw)
        windows = windows_of(
            delivery.message, rated_kw=rated_kw, least_kw=read.least_kw, now=datetime.now(UTC)
        )
        return Order(
            number=position,
            charger=delivery.message["device"],
            version=delivery.message["version"],
            limits=list(windows),
            rated_kw=rated_kw,
            purpose=read.profile,
            stack_level=read.stack_level,
            unit=read.unit,
            volts=read.volts,
            phases=read.phases,
            seconds=self.timeout_seconds * OF_THE_CHARGER,
            not_after=time.time() + self.timeout_seconds,
        )


def read_settings(settings: Mapping[str, Any]) -> ChargerSettings:
    """Return a device's settings. Raises msgspec.ValidationError on other names or kinds."""
    return msgspec.convert(dict(settings), ChargerSettings)


def _wrong(read: ChargerSettings) -> Iterator[str]:
    if not read.password and not portal_settings.OCPP_ALLOW_NO_PASSWORD:
        yield "“password” is missing: the charger signs in with it."
    is_sendable = read.password.isascii() and read.password.isprintable()
    if read.password and not (is_sendable and SHORTEST_PASSWORD <= len(read.password) <= LONGEST_PASSWORD):
        yield f"“password” must be {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} ASCII letters, digits and signs."
    if not 0 <= read.least_kw < float("inf"):
        yield "“least_kw” must be a power of 0 kW or more."
    if read.unit not in UNITS:
        yield "“unit” must be W or A."
    if read.profile not in PURPOSES:
        yield "“profile” must be station or transaction."
    if not 100 <= read.volts <= 1000:
        yield "“volts” must be from 100 to 1000, between a phase and neutral."
    if not 1 <= read.phases <= 3:
        yield "“phases” must be 1, 2 or 3."
    if not 0 <= read.stack_level <= 1000:
        yield "“stack_level” must be from 0 to 1000."
    if not 1 <= read.connectors <= 32:
        yield "“connectors” must be from 1 to 32."


def _carry(orders: Sequence[Order], *, deadline: float) -> Iterator[Group]:
    """Send every order and yield what came of each before the deadline."""
    missing = {order.number for order in orders}
    silence = "The central system did not say in time what the charger answered."
    try:
        with _Line(deadline=deadline) as line:
            line.send(orders)
            while missing:
                group = [
                    _result(each) for each in line.receive(at_most=len(missing)) if each.number in missing
                ]
                missing -= {position for position, _ in group}
                if group:
                    yield group
    except TimeoutError:
        pass
    except (ConnectionResetError, BrokenPipeError):
        silence = "The central system hung up; it must run with the same SECRET_KEY as the workers."
    except OSError as error:
        silence = f"The central system cannot be reached ({error.strerror}); is ocpp_server running?"
    except msgspec.MsgspecError:
        silence = "What listens at OCPP_CONTROL is not this portal's central system."
    if missing:
        yield [(position, DriverError(silence, permanent=False)) for position in sorted(missing)]


def _result(outcome: Outcome) -> tuple[int, Result]:
    if outcome.failure:
        return outcome.number, DriverError(outcome.failure, permanent=False, is_heard=outcome.is_heard)
    return outcome.number, Answer(outcome.is_accepted, detail=outcome.detail, proof=outcome.proof)


class _Line:
    """One connection to the central system, all of it before a deadline."""

    def __init__(self, *, deadline: float) -> None:
        self.deadline = deadline
        self.socket = socket.socket(socket.AF_UNIX)
        self.unread = b""

    def __enter__(self) -> _Line:
        try:
            self._wait_at_most(self.deadline)
            self.socket.connect(str(portal_settings.OCPP_CONTROL))
            [greeting] = self._lines()[:1]
            nonce = msgspec.json.decode(greeting, type=Greeting).nonce
            self.socket.sendall(msgspec.json.encode(Greeting(mac=answer_to(nonce))) + b"\n")
        except BaseException:
            self.socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, orders: Sequence[Order]) -> None:
        self._wait_at_most(self.deadline)
        self.socket.sendall(b"".join(msgspec.json.encode(order) + b"\n" for order in orders))

    def receive(self, *, at_most: int) -> list[Outcome]:
        """Return the outcomes that come next, with those that come right after them."""
        lines = self._lines()
        gather_until = min(self.deadline, time.monotonic() + GATHER_SECONDS)
        with suppress(OSError):  # what was received counts, also if the rest never comes
            while len(lines) < at_most:
                lines += self._lines(until=gather_until)
        return [msgspec.json.decode(line, type=Outcome) for line in lines]

    def _lines(self, *, until: float | None = None) -> list[bytes]:
        """Return the whole lines that come next. Raises TimeoutError, or OSError when it hangs up."""
        while b"\n" not in self.unread:
            self._wait_at_most(until or self.deadline)
            received = self.socket.recv(LONGEST_LINE)
            if not received:
                raise ConnectionResetError
            self.unread += received
        *lines, self.unread = self.unread.split(b"\n")
        return lines

    def _wait_at_most(self, until: float) -> None:
        """Wait no longer than that for the next step, but always take what is there already."""
        self.socket.settimeout(max(until - time.monotonic(), LEAST_WAIT_SECONDS))
