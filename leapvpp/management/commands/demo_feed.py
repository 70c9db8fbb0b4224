"""Keep the demo busy: a Leap on this machine that posts to the portal's webhook and answers its search."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from django.utils import timezone

from leapvpp.demo.at_leap import remember
from leapvpp.demo.feeding import Feeder, read_recipients, wait_for_portal
from leapvpp.demo.leap import ledger_path, own_port
from leapvpp.demo.showroom.live import LiveStage
from leapvpp.demo.showroom.running import end_interrupted, play_next
from leapvpp.leap.simulator.server import LeapSimulator


class Command(BaseCommand):
    """Started by `manage.py up --demo`."""

    requires_system_checks: list[str] = []  # they load every page and address
    help = "Post the demo's day to the portal's webhook, then a new dispatch every few minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the portal's address."""
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="Where the portal answers.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Feed until stopped."""
        recipients = read_recipients(now=timezone.now())
        simulator = LeapSimulator(api_key=settings.LEAP_API_KEY, port=own_port(), ledger_path=ledger_path())
        remember(simulator.meters, now=timezone.now())
        connections.close_all()
        header, key = settings.LEAP_WEBHOOK_HEADER, settings.LEAP_WEBHOOK_KEYS[0]
        with simulator as leap:
            leap.push_to(url=f"{options['url']}/webhooks/leap/dispatch/", header=header, key=key)
            leap.tell(url=f"{options['url']}/webhooks/leap/events/", header=header, key=key)
            try:
                wait_for_portal(options["url"])
                end_interrupted()
                Feeder(
                    leap, recipients=recipients, in_between=partial(play_next, stage=LiveStage(leap))
                ).run_for_ever()
            except KeyboardInterrupt:
                return
