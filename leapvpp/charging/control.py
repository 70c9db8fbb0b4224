"""Take the orders of the workers' drivers, from a unix socket and only from those who know SECRET_KEY."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from devices.drivers.ocpp_control import LONGEST_LINE, Greeting, Order, Outcome, answer_to

logger = logging.getLogger(__name__)

GREETING_SECONDS: Final = 5.0
MOST_LINES: Final = 64
MOST_ORDERS: Final = 2_000
ONLY_MINE: Final = 0o177

Handler = Callable[[Order], Awaitable[Outcome]]


class Control:
    """Answers each order on the line that it came by."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._lines = 0
        self._orders: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> asyncio.Server:
        """Listen at a path that only this user can open."""
        path.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(ONLY_MINE)
        try:
            return await asyncio.start_unix_server(self._serve, path, limit=LONGEST_LINE)
        finally:
            os.umask(before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines += 1
        try:
            if self._lines <= MOST_LINES and await self._is_ours(reader, writer):
                while line := await reader.readline():
                    self._take(msgspec.json.decode(line, type=Order), writer)
        except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            logger.warning("A line to the central system broke: %s", type(error).__name__)
        finally:
            self._lines -= 1
            writer.close()

    async def _is_ours(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send a number used once, and say whether the answer shows that the other knows the key."""
        nonce = secrets.token_hex(32)
        writer.write(msgspec.json.encode(Greeting(nonce=nonce)) + b"\n")
        async with asyncio.timeout(GREETING_SECONDS):
            said = msgspec.json.decode(await reader.readline(), type=Greeting)
        return hmac.compare_digest(said.mac.encode(), answer_to(nonce).encode())

    def _take(self, order: Order, writer: asyncio.StreamWriter) -> None:
        """Answer an order when its charger has; none waits for another."""
        task = asyncio.create_task(self._answer(order, writer))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _answer(self, order: Order, writer: asyncio.StreamWriter) -> None:
        if len(self._orders) > MOST_ORDERS:
            outcome = Outcome(order.number, failure="The central system has too much to do.")
        else:
            outcome = await self._outcome(order)
        if not writer.is_closing():
            writer.write(msgspec.json.encode(outcome) + b"\n")

    async def _outcome(self, order: Order) -> Outcome:
        try:
            return await self._handle(order)
        except Exception as bug:  # whoever ordered must not wait in vain
            logger.exception("An order failed")
            return Outcome(order.number, failure=f"The central system failed: {type(bug).__name__}.")
