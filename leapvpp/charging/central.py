"""Let chargers in, keep one connection of each, and hand them what workers order."""

from __future__ import annotations

import asyncio
import hmac
import logging
import signal
import ssl
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from django.conf import settings
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from devices.drivers.ocpp_control import Order, Outcome
from leapvpp.charging.charger16 import Charger16
from leapvpp.charging.charger201 import Charger201
from leapvpp.charging.chargers import Charger
from leapvpp.charging.control import Control
from leapvpp.charging.delivering import deliver
from leapvpp.charging.writing import Away, Known, Outbox, Writer

logger = logging.getLogger(__name__)
quiet = logging.getLogger(f"{__name__}.library")
quiet.setLevel(logging.CRITICAL)  # it would log every stranger's handshake

VERSIONS: Final[dict[str, type[Charger16] | type[Charger201]]] = {
    "ocpp2.0.1": Charger201,
    "ocpp1.6": Charger16,
}
LARGEST_MESSAGE: Final = 64 * 1024
MOST_UNREAD: Final = 4
MOST_SIGNING_IN: Final = 2_000
MOST_NOTED: Final = 1_000
PING_SECONDS: Final = 30
CLOSE_SECONDS: Final = 2
WRITE_EVERY_SECONDS: Final = 0.5
LOOK_UP_AT_ONCE: Final = 500
RECHECK_SECONDS: Final = 5
REPLACED: Final = 4000
NOT_LET_IN: Final = 1008


def name_in(target: str) -> str:
    """Return the charger that a request's target names: `/<external_id>` or `/ocpp/<external_id>`.

    >>> name_in("/ocpp/garage%201?x=1")
    'garage 1'
    """
    return unquote(target.partition("?")[0].removeprefix("/").removeprefix("ocpp/"))


def _why_not(known: Known, authorization: Sequence[str]) -> str:
    """Return why a registered charger may not come in, "" if it may."""
    if known.settings is None:
        return "its settings are not understood; look at the device"
    password = known.settings.password
    if not password:
        return "" if settings.OCPP_ALLOW_NO_PASSWORD else "the device has no password in its settings"
    scheme, _, said = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    try:
        name, _, given = b64decode(said.strip(), validate=True).partition(b":")
    except (NotBase64, ValueError):
        return "what it signs in with cannot be read"
    is_it = hmac.compare_digest(given, password.encode()) and name == known.external_id.encode()
    return "" if is_it and scheme.lower() == "basic" else "name or password is wrong"


class NotedOnce:
    """Remembers what was logged, so that a stranger who knocks all day fills no log."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def warn(self, text: str, *values: object) -> None:
        """Log a warning unless the same was logged before; none at all once there were very many."""
        line = text % values
        if line not in self._seen and len(self._seen) < MOST_NOTED:
            self._seen.add(line)
            logger.warning("%s", line)


class Central:
    """The central system, until it is told to stop."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.writer = Writer()
        # One thread, and so one connection to the database.
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self.chargers: dict[str, Charger] = {}
        # By the id of the row: a charger that is registered anew begins anew.
        self.newest: dict[int, int] = {}
        self.orders: dict[int, Order] = {}
        self.signed_in: WeakKeyDictionary[ServerConnection, Known] = WeakKeyDictionary()
        self.knocking: dict[str, asyncio.Future[Known | None]] = {}
        self.has_knocked = asyncio.Event()
        self.noted = NotedOnce()
        self.is_stopping = asyncio.Event()
        self.closing: set[asyncio.Task[None]] = set()

    async def run(self, *, host: str, port: int, tls: ssl.SSLContext | None, control: Path) -> None:
        """Serve until SIGTERM or SIGINT, then write what is left. Raises OSError: the port is taken."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.is_stopping.set)
        async with serve(
            self._serve,
            host,
            port,
            ssl=tls,
            subprotocols=[Subprotocol(name) for name in VERSIONS],
            process_request=self._sign_in,
            max_size=LARGEST_MESSAGE,
            max_queue=MOST_UNREAD,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            compression=None,
            server_header=None,
            logger=quiet,
        ):
            # Only who has the port may have the socket: a second central system takes neither.
            orders = await Control(self.order).start(control)
            logger.info("Chargers are let in at %s:%s", host, port)
            looking = [
                asyncio.create_task(work) for work in (self._look_up_for_ever(), self._recheck_for_ever())
            ]
            for task in looking:
                task.add_done_callback(self._note_ended)
            await self._write_for_ever()
            orders.close()
            for task in looking:
                task.remove_done_callback(self._note_ended)
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        while self.outbox.presence or self.outbox.readings:
            if not await self._write():
                break
        self.pool.shutdown()

    def _note_ended(self, task: asyncio.Task[None]) -> None:
        """Stop when a part ends that should not: half a central system lets nobody in and looks well."""
        logger.error("A part of the central system ended", exc_info=task.exception())
        self.is_stopping.set()

    async def _sign_in(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse whoever is not a registered charger with its password; None lets it in."""
        name = name_in(request.path)
        try:
            known = await self._look_up(name)
        except Away:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Try again later.\n")
        if known is None:
            self.noted.warn("No charger %r is registered with the driver ocpp; it is refused", name[:128])
            return connection.respond(HTTPStatus.NOT_FOUND, "No such charger.\n")
        if why := _why_not(known, request.headers.get_all("Authorization")):
            self.noted.warn("The charger %r is refused: %s", name, why)
            refusal = connection.respond(HTTPStatus.UNAUTHORIZED, "Name and password are needed.\n")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="chargers"'
            return refusal
        self.signed_in[connection] = known
        return None

    async def _look_up(self, name: str) -> Known | None:
        """Return the registered charger, asked for together with whoever else knocks. Raises Away."""
        if not name or "\0" in name or len(name) > 128:
            return None
        waiting = self.knocking.get(name)
        if waiting is None:
            if len(self.knocking) >= MOST_SIGNING_IN:
                raise Away
            waiting = self.knocking[name] = asyncio.get_running_loop().create_future()
            self.has_knocked.set()
        return await asyncio.shield(waiting)

    async def _look_up_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.has_knocked.wait()
            names = list(self.knocking)[:LOOK_UP_AT_ONCE]
            try:
                found = await loop.run_in_executor(self.pool, self.writer.look_up, names)
                for name in names:
                    self.knocking.pop(name).set_result(found.get(name))
            except Away as error:
                for name in names:
                    waiting = self.knocking.pop(name)
                    waiting.set_exception(error)
                    waiting.exception()  # whoever waited may be gone
            if not self.knocking:
                self.has_knocked.clear()

    async def _recheck_for_ever(self) -> None:
        """Send away who is no longer registered, or not with the password that it signed in with."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            connected = list(self.chargers.values())
            for first in range(0, len(connected), LOOK_UP_AT_ONCE):
                some = connected[first : first + LOOK_UP_AT_ONCE]
                names = [charger.name for charger in some]
                try:
                    found = await loop.run_in_executor(self.pool, self.writer.look_up, names)
                except Away:
                    break
                for charger in some:
                    if not charger.known.is_let_in_as(found.get(charger.name)):
                        self._close(charger, NOT_LET_IN, "It is not registered as it was.")

    async def _serve(self, connection: ServerConnection) -> None:
        """Hear a charger for as long as it is connected; it takes the place of its earlier connection."""
        known = self.signed_in.pop(connection)
        charger = VERSIONS[connection.subprotocol or ""](known, connection, self.outbox)
        name = known.external_id
        charger.route_map["BootNotification"]["_after_action"] = self._after_boot(name)
        earlier = self.chargers.get(name)
        is_the_same = earlier is not None and earlier.known.device_id == known.device_id
        charger.newest = max(
            charger.newest,
            self.newest.get(known.device_id, 0),
            earlier.newest if earlier is not None and is_the_same else 0,
        )
        self.chargers[name] = charger
        self.outbox.note_presence(name, is_online=True, has_come=True)
        if earlier is not None:
            self._close(earlier, REPLACED, "A newer connection took its place.")
        try:
            await charger.listen()
        except ConnectionClosed:
            pass
        except Exception:  # the library's log, which is off, would have it
            logger.exception("The connection of the charger %r failed", name)
        finally:
            charger.hang_up()
            if self.chargers.get(name) is charger:
                del self.chargers[name]
                self.outbox.note_presence(name, is_online=False)

    def _close(self, charger: Charger, code: int, reason: str) -> None:
        charger.hang_up()
        task = asyncio.create_task(charger.socket.close(code, reason))
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    async def order(self, order: Order) -> Outcome:
        """Have a charger hold what a worker orders."""
        charger = self.chargers.get(order.charger)
        if charger is None:
            return Outcome(order.number, failure="The charger is not connected.")
        outcome = await deliver(charger, order)
        device_id = charger.known.device_id
        self.newest[device_id] = max(charger.newest, self.newest.get(device_id, 0))
        if outcome.is_accepted:
            self.orders[device_id] = order
        return outcome

    def _after_boot(self, name: str) -> Any:
        async def give_again(**_: object) -> None:
            """Give a charger that started anew what it accepted before: not every one keeps it."""
            charger = self.chargers.get(name)
            order = self.orders.get(charger.known.device_id) if charger else None
            now = datetime.now(UTC)
            if order is None or charger is None or not order.limits or order.limits[-1].end <= now:
                return
            if order.version < charger.newest:  # a newer one is on its way
                return
            again = replace(order, not_after=now.timestamp() + order.seconds)
            outcome = await deliver(charger, again)
            if not outcome.is_accepted:
                logger.warning("%s started anew and lost its limits: %s", name, outcome)

        return give_again

    async def _write_for_ever(self) -> None:
        is_done = True
        while not self.is_stopping.is_set():
            if not (is_done and self.outbox.readings):  # else there is more
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_EVERY_SECONDS):
                        await self.is_stopping.wait()
            is_done = await self._write()

    async def _write(self) -> bool:
        """Write one batch; one that fails for a fault of the database is kept."""
        presence, readings = self.outbox.take()
        connected = frozenset(self.chargers)
        loop = asyncio.get_running_loop()
        is_done = await loop.run_in_executor(
            self.pool, lambda: self.writer.write(presence, readings, connected=connected)
        )
        if not is_done:
            self.outbox.put_back(presence, readings)
        return is_done
