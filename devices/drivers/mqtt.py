"""Devices that listen at an MQTT broker: each schedule is published retained, each answer a message."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import ClassVar

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from devices.domain.reports import read_acknowledgement
from devices.drivers.base import Answer, BatchDriver, Capabilities, Delivery, DriverError, Result
from devices.drivers.mqtt_broker import (
    Broker,
    configured_broker,
    from_topic,
    in_words,
    subscribe,
    topic,
    why_no_topic,
)

logger = logging.getLogger(__name__)

LONGEST_EXPIRY_SECONDS = 2**32 - 1
GATHER_SECONDS = 0.02
"""How long the first answer of a group waits for others: each group is a transaction of the caller's."""
GOODBYE_SECONDS = 0.5
"""How long the broker may take to part: a try must end within its lease, whatever the broker does."""

Group = list[tuple[int, Result]]


class MqttDriver(BatchDriver):
    """Publishes schedules retained and waits for the devices' acknowledgements, a batch over one connection.

    A device that is away finds its schedule when it comes back, and the listener hears its
    acknowledgement; so a try need not wait long.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(holds_schedule=True, telemetry=True)
    timeout_seconds = 5
    concurrency = 500

    def deliver_all(self, deliveries: Sequence[Delivery]) -> Iterator[Group]:
        """Publish every message, and yield the answers in groups as they come; the silent come last."""
        try:
            broker = configured_broker()
        except DriverError as error:
            yield [(position, error) for position in range(len(deliveries))]
            return
        refused, usable = _sorted_out(deliveries)
        if refused:
            yield refused
        if usable:
            yield from _Batch(broker, usable, timeout_seconds=self.timeout_seconds).results()


def _sorted_out(deliveries: Sequence[Delivery]) -> tuple[Group, dict[int, Delivery]]:
    """Return the deliveries no topic can carry with the reason, and the others, by position."""
    refused: Group = []
    usable: dict[int, Delivery] = {}
    for position, delivery in enumerate(deliveries):
        if why := why_no_topic(delivery.message["device"]):
            refused.append((position, DriverError(why, permanent=True)))
        else:
            usable[position] = delivery
    return refused, usable


class _Batch:
    """One connection's work: subscribe to the answers, publish, gather; in a thread with a loop of its own.

    So answers are heard also while whoever iterates writes those that came before.
    """

    def __init__(self, broker: Broker, deliveries: dict[int, Delivery], *, timeout_seconds: float) -> None:
        self.broker = broker
        self.deliveries = deliveries
        self.messages = [delivery.message for delivery in deliveries.values()]
        self.timeout_seconds = timeout_seconds
        self.waiting: dict[tuple[str, int], list[int]] = {}
        for position, delivery in deliveries.items():
            key = (delivery.message["device"], delivery.message["version"])
            self.waiting.setdefault(key, []).append(position)
        self.group: Group = []
        self.groups: SimpleQueue[Group | None] = SimpleQueue()

    def results(self) -> Iterator[Group]:
        """Yield groups until every delivery has its result."""
        thread = threading.Thread(target=self._run, name="mqtt batch", daemon=True)
        thread.start()
        try:
            while (group := self.groups.get()) is not None:
                yield group
        finally:
            thread.join()

    def _run(self) -> None:
        error = f"The device sent no acknowledgement within {self.timeout_seconds:g} s."
        try:
            asyncio.run(self._exchange())
        except (aiomqtt.MqttError, OSError) as broken:
            error = in_words(self.broker, broken)
        except Exception as bug:  # whoever waits for the results must not wait for ever
            logger.exception("The MQTT driver failed")
            error = f"The driver failed: {type(bug).__name__}."
        self._flush()
        silent = [position for positions in self.waiting.values() for position in positions]
        if silent:
            self.groups.put([(position, DriverError(error, permanent=False)) for position in silent])
        self.groups.put(None)

    async def _exchange(self) -> None:
        """Publish everything and hear every answer, or as much of it as there is time for.

        Raises:
            MqttError, OSError: the broker cannot be used, or did not let the portal in within that time.
        """
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        async with (
            asyncio.timeout_at(deadline + GOODBYE_SECONDS),
            self.broker.client(timeout_seconds=self.timeout_seconds) as client,
        ):
            names = {topic(message["device"], "ack"): 1 for message in self.messages}
            await subscribe(client, names, wants_retained=False)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await asyncio.gather(self._hear(client), self._publish(client))

    async def _publish(self, client: aiomqtt.Client) -> None:
        now = datetime.now(UTC)
        ends = {message["expires_at"] for message in self.messages}
        properties = {end: _expiry(end, now=now) for end in ends}
        sending = (self._send(client, position, properties) for position in self.deliveries)
        await asyncio.gather(*sending)

    async def _send(self, client: aiomqtt.Client, position: int, properties: dict[str, Properties]) -> None:
        """Publish one schedule, unless whoever claimed it was paused so long that another has it by now.

        The broker keeps what was published last: an older version would be what a device that is away finds.
        """
        delivery = self.deliveries[position]
        message = delivery.message
        if delivery.not_after and datetime.now(UTC) >= delivery.not_after:
            logger.warning("A schedule for %s is too late to be published", message["device"])
            return
        await client.publish(
            topic(message["device"], "schedule"),
            msgspec.json.encode(message),
            qos=1,
            retain=True,
            properties=properties[message["expires_at"]],
        )

    async def _hear(self, client: aiomqtt.Client) -> None:
        """Take acknowledgements of the versions sent until all are there; whatever else comes is nothing."""
        async for message in client.messages:
            self._take(message)
            if not self.waiting:
                return

    def _take(self, message: aiomqtt.Message) -> None:
        place = from_topic(message.topic.value)
        said = read_acknowledgement(message.payload)
        # What is kept at the broker was said of an earlier try.
        if place is None or said is None or message.retain:
            return
        positions = self.waiting.pop((place[0], said.version), [])
        if positions and not self.group:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)
        answer = Answer(is_accepted=said.is_accepted, detail=said.detail)
        self.group += [(position, answer) for position in positions]

    def _flush(self) -> None:
        if self.group:
            self.groups.put(self.group)
            self.group = []


def _expiry(end: str, *, now: datetime) -> Properties:
    """Have the broker forget a schedule at its end, so that no device is told one that is over."""
    left = datetime.fromisoformat(end) - now
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = min(max(1, int(left.total_seconds())), LONGEST_EXPIRY_SECONDS)
    return properties
