"""Show, set or delete the address to which Leap posts this account's dispatches."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from dispatch.changing_leap import set_webhook
from dispatch.checking_leap import hook_of, is_simulated, ours
from dispatch.domain.leap_connection import DISPATCH_PORTS, Hook, problem_of_url
from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError
from leapvpp.leap.values import Level


class Command(BaseCommand):
    help = (
        "Show, set or delete the webhook at Leap (LEAP_API_BASE_URL, LEAP_API_KEY). Group level is "
        "the default and Leap's advice; registering both levels brings every event twice."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["show", "set", "delete"])
        parser.add_argument("--level", choices=list(Level), help="meter or group; show looks at both.")
        parser.add_argument(
            "--url",
            help="For set: https address of /webhooks/leap/dispatch/ on port 443; PORTAL_URL's if left out.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.LEAP_API_KEY:
            raise CommandError("Set LEAP_API_KEY to talk to Leap.")
        try:
            with LeapClient(base_url=settings.LEAP_API_BASE_URL, api_key=settings.LEAP_API_KEY) as leap:
                self._act(leap, options=options)
        except (LeapError, ValueError) as error:
            raise CommandError(str(error)) from error

    def _act(self, leap: LeapClient, *, options: dict[str, Any]) -> None:
        level = Level(options["level"] or Level.GROUP)
        if options["action"] == "set":
            url = options["url"] or ours().dispatch_url
            if problem := problem_of_url(url, ports=DISPATCH_PORTS, is_simulated=is_simulated()):
                raise CommandError(f"--url must be an https address on port 443. {problem}")
            self._write(level, set_webhook(leap, level=level, url=url))
        elif options["action"] == "delete":
            was_there = leap.delete_dispatch_webhook(level=level)
            self.stdout.write(f"{level}: {'deleted' if was_there else 'nothing was registered'}")
        else:
            for shown in [level] if options["level"] else list(Level):
                self._write(shown, hook_of(leap, shown))

    def _write(self, level: Level, webhook: Hook | None) -> None:
        if webhook is None:
            self.stdout.write(f"{level}: nothing is registered")
            return
        names = ", ".join(webhook.headers) or "no headers"
        self.stdout.write(f"{level}: {webhook.url} ({names})")
