"""Hear what devices say and announce at the MQTT broker, and have it written a batch at a time.

Holds nothing that matters: an acknowledgement that is lost with this process is asked for again by the
next try of its command, a status is kept at the broker, and telemetry comes again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Final

import aiomqtt
from django.conf import settings
from django.utils import timezone

from devices.domain.discovery import Announcement
from devices.domain.reports import Reading
from devices.drivers.mqtt_broker import Broker, from_topic, in_words, subscribe, topic
from devices.reporting import Report, read_report, record_reports
from leapvpp.announcing import Announcements, ask_who_is_there, write_announcements
from leapvpp.health import MQTT_LISTENER
from leapvpp.writing import Beat, is_dealt_with

logger = logging.getLogger(__name__)

DRIVER: Final = "mqtt"
TOPICS: Final = {topic("+", "ack"): 1, topic("+", "status"): 1, topic("+", "telemetry"): 0}
WRITE_EVERY_SECONDS = 0.5
BATCH = 500
MOST_KEPT = 20_000
CONNECT_SECONDS = 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class Inbox:
    """What was heard and is not written yet: every reading, else of each device and kind the newest.

    No more than a limit: where that is reached the oldest reading makes room, so that while the database is
    away readings are lost before anything else is.
    """

    def __init__(self, *, limit: int = MOST_KEPT) -> None:
        self.limit = limit
        self.reports: dict[tuple[object, ...], Report] = {}
        self.readings: dict[tuple[object, ...], None] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.reports)

    def add(self, report: Report) -> None:
        """Keep a report, in place of an older one of its kind; without room drop a reading, or it."""
        key = _key(report)
        self._forget(key)  # so that the newer one stands where it was said
        if len(self.reports) >= self.limit:
            self.dropped += 1
            if not self.readings:
                return
            self._forget(next(iter(self.readings)))
        self.reports[key] = report
        if isinstance(report.said, Reading):
            self.readings[key] = None

    def first(self) -> list[Report]:
        """Return the batch to write next; it stays until it is `done`."""
        return list(islice(self.reports.values(), BATCH))

    def done(self, batch: Sequence[Report]) -> None:
        """Take out what was written, but for what was said anew meanwhile."""
        for report in batch:
            key = _key(report)
            if self.reports.get(key) is report:
                self._forget(key)

    def _forget(self, key: tuple[object, ...]) -> None:
        self.reports.pop(key, None)
        self.readings.pop(key, None)


def _key(report: Report) -> tuple[object, ...]:
    """Return what a report says the same as an earlier one of: versions and moments are said one by one."""
    said = report.said
    moment = (said.at, said.state_of_charge_percent is None) if isinstance(said, Reading) else None
    return report.external_id, type(said), getattr(said, "version", None), moment


class Listener:
    """Connects, subscribes, hears and writes until it is told to stop."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.inbox = Inbox()
        self.announcements = Announcements(settings.MQTT_DISCOVERY)
        self.client: aiomqtt.Client | None = None
        self.asking: asyncio.Task[None] | None = None
        self.is_full = asyncio.Event()
        self.is_stopping = asyncio.Event()
        # One thread, and so one connection to the database.
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self.writer = Writer()

    async def run(self) -> None:
        """Listen until SIGTERM or SIGINT, then write what is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.is_stopping.set)
        hearing = asyncio.create_task(self._hear_for_ever())
        await self._write_for_ever()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await self._write()
        self.pool.shutdown()

    async def _hear_for_ever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self.broker.client(
                    timeout_seconds=CONNECT_SECONDS, most_waiting=MOST_KEPT
                ) as client:
                    await subscribe(client, TOPICS, wants_retained=True)
                    await self.announcements.subscribe(client)
                    self.client = client
                    logger.info("Listening at %s", self.broker)
                    pause = FIRST_PAUSE_SECONDS
                    async for message in client.messages:
                        self._take(message)
            except (aiomqtt.MqttError, OSError) as error:
                logger.warning("%s", in_words(self.broker, error))
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads, hides nothing
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _take(self, message: aiomqtt.Message) -> None:
        place = from_topic(message.topic.value)
        if place is None:
            self.announcements.take(message)
            return
        report = read_report(
            external_id=place[0], part=place[1], payload=message.payload, is_kept=message.retain
        )
        if report is None:
            logger.debug("Nothing of use under %r", message.topic.value)
            return
        self.inbox.add(report)
        if len(self.inbox) >= BATCH:
            self.is_full.set()

    async def _write_for_ever(self) -> None:
        while not self.is_stopping.is_set():
            await self._wait()
            await self._write()

    async def _wait(self) -> None:
        """Wait for half a second, a full batch or the end, whichever is first."""
        signs = [asyncio.create_task(sign.wait()) for sign in (self.is_full, self.is_stopping)]
        await asyncio.wait(signs, timeout=WRITE_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for sign in signs:
            sign.cancel()

    async def _write(self) -> None:
        """Write one batch. One that fails for a fault of the database is kept; any other is not."""
        await self._write_announcements()
        batch = self.inbox.first()
        is_over = await asyncio.get_running_loop().run_in_executor(self.pool, self.writer.write, batch)
        if is_over:
            self.inbox.done(batch)
        else:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
        if len(self.inbox) < BATCH:
            self.is_full.clear()

    async def _write_announcements(self) -> None:
        batch = self.announcements.first()
        if not batch:
            return
        loop = asyncio.get_running_loop()
        is_over, has_new = await loop.run_in_executor(self.pool, self.writer.write_announcements, batch)
        if is_over:
            self.announcements.done(batch)
        if has_new and self.client is not None and not self.is_stopping.is_set():
            self.asking = asyncio.create_task(ask_who_is_there(self.client))


class Writer:
    """Writes batches and signs of life, always from one thread."""

    def __init__(self) -> None:
        self.beat = Beat(MQTT_LISTENER)

    def write_announcements(self, batch: Sequence[Announcement]) -> tuple[bool, bool]:
        """Write what was announced; return whether the batch is dealt with and whether devices are new."""
        new: list[bool] = []
        is_over = is_dealt_with(
            lambda: new.append(write_announcements(batch, now=timezone.now())),
            what=f"{len(batch)} announcements",
        )
        return is_over, any(new)

    def write(self, batch: Sequence[Report]) -> bool:
        """Write a batch and, when it is time, the heartbeat; return whether the batch is dealt with."""
        return is_dealt_with(lambda: self._write(batch, now=timezone.now()), what=f"{len(batch)} reports")

    def _write(self, batch: Sequence[Report], *, now: datetime) -> None:
        if batch:
            record_reports(batch, driver_name=DRIVER, now=now)
        self.beat.note(now=now)
