"""Hear what devices announce of themselves at the MQTT broker; the listener's part for discovery.

Announcements are kept at the broker, so nothing here matters: all come again with the next connection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Final

import aiomqtt

from devices.discovering import record_announcements
from devices.domain.discovery import Announcement, Refused, read_announcement
from devices.drivers.mqtt_broker import subscribe, topic

logger = logging.getLogger(__name__)

BATCH: Final = 500
MOST_WAITING: Final = 5_000
STATUS: Final = {topic("+", "status"): 1}


class Announcements:
    """What was announced and is not written yet: of each topic the newest, and no more than a limit."""

    def __init__(self, prefixes: Sequence[str], *, limit: int = MOST_WAITING) -> None:
        self.prefixes = tuple(prefixes)
        self.limit = limit
        self.waiting: dict[str, Announcement] = {}
        self.left_out = 0
        self.why = ""

    async def subscribe(self, client: aiomqtt.Client) -> None:
        """Ask for all that is announced; without leave to read it the listener hears all else."""
        names = {f"{prefix}/{part}/config": 1 for prefix in self.prefixes for part in ("+/+", "+/+/+")}
        if not names:
            return
        try:
            await subscribe(client, names, wants_retained=True)
        except aiomqtt.MqttError as error:
            logger.warning("What devices announce under %s is not heard: %s", ", ".join(self.prefixes), error)

    def take(self, message: aiomqtt.Message) -> None:
        """Keep what a message announces, in place of what was announced there before."""
        name = message.topic.value
        try:
            announcement = read_announcement(name, message.payload, prefixes=self.prefixes)
        except Refused as refusal:
            self._leave_out(f"{name!r}: {refusal}")
            return
        if announcement is None:
            return
        if name not in self.waiting and len(self.waiting) >= self.limit:
            self._leave_out(f"{name!r}: {self.limit} wait to be written")
            return
        self.waiting[name] = announcement

    def first(self) -> list[Announcement]:
        """Return the batch to write next, and say what was left out; it stays until it is `done`."""
        if self.left_out:
            logger.warning("Announcements left out: %s, the last from %s", self.left_out, self.why)
            self.left_out = 0
        return list(islice(self.waiting.values(), BATCH))

    def done(self, batch: Sequence[Announcement]) -> None:
        """Take out what was written, but for what was announced anew meanwhile."""
        for each in batch:
            if self.waiting.get(each.topic) is each:
                del self.waiting[each.topic]

    def _leave_out(self, why: str) -> None:
        self.left_out += 1
        self.why = why


def write_announcements(batch: Sequence[Announcement], *, now: datetime) -> bool:
    """Write a batch and return whether there are new devices, whose status is to be asked for."""
    return bool(batch) and record_announcements(batch, now=now) > 0


async def ask_who_is_there(client: aiomqtt.Client) -> None:
    """Have the broker say again who is online: what it said of a new device fell before that was known."""
    try:
        await subscribe(client, STATUS, wants_retained=True)
    except aiomqtt.MqttError as error:
        logger.warning("Who is online is not known of new devices: %s", error)
