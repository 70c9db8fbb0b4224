"""Hear acknowledgements, last wills and telemetry at the MQTT broker."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from devices.drivers.base import DriverError
from devices.drivers.mqtt_broker import Broker, configured_broker
from leapvpp.listening import Listener


class Command(BaseCommand):
    """Runs until SIGTERM; any number may run at once, each writes the same."""

    requires_system_checks: list[str] = []  # they load every page and address
    help = "Listen at MQTT_URL for what devices say by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen, and survive a broker or a database that is away."""
        try:
            broker = configured_broker()
        except DriverError as error:
            raise CommandError(str(error)) from error
        asyncio.run(_listen(broker))


async def _listen(broker: Broker) -> None:
    await Listener(broker).run()
