"""Show, set or delete the address to which Leap posts this account's dispatches."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError
from leapvpp.leap.transport import LOOPBACK_HOSTS
from leapvpp.leap.values import DispatchWebhook, Header, Level


class Command(BaseCommand):
    help = (
        "Show, set or delete the webhook at Leap (LEAP_API_BASE_URL, LEAP_API_KEY). Group level is "
        "the default and Leap's advice; registering both levels brings every event twice."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["show", "set", "delete"])
        parser.add_argument("--level", choices=list(Level), help="meter or group; show looks at both.")
        parser.add_argument("--url", help="For set: https address of /webhooks/leap/dispatch/ on port 443.")

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
            header = Header(name=settings.LEAP_WEBHOOK_HEADER, value=_webhook_key())
            url = check_webhook_url(options["url"] or "")
            self._write(level, leap.set_dispatch_webhook(level=level, url=url, headers=[header]))
        elif options["action"] == "delete":
            was_there = leap.delete_dispatch_webhook(level=level)
            self.stdout.write(f"{level}: {'deleted' if was_there else 'nothing was registered'}")
        else:
            for shown in [level] if options["level"] else list(Level):
                self._write(shown, leap.get_dispatch_webhook(level=shown))

    def _write(self, level: Level, webhook: DispatchWebhook | None) -> None:
        if webhook is None:
            self.stdout.write(f"{level}: nothing is registered")
            return
        names = ", ".join(header.name for header in webhook.headers or ()) or "no headers"
        self.stdout.write(f"{level}: {webhook.url} ({names})")


def check_webhook_url(url: str) -> str:
    """Return the address if Leap could reach it. Raises ``CommandError`` saying why not.

    Source: Leap's guide on webhook notifications: https, port 443 only.
    """
    parts = urlsplit(url)
    is_simulated = urlsplit(settings.LEAP_API_BASE_URL).hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (is_simulated or (parts.scheme == "https" and parts.port in {None, 443})):
        raise CommandError("--url must be an https address on port 443, as Leap posts nowhere else.")
    return url


def _webhook_key() -> str:
    if not settings.LEAP_WEBHOOK_KEYS:
        raise CommandError("Set LEAP_WEBHOOK_KEYS: Leap must send one of these keys.")
    return str(settings.LEAP_WEBHOOK_KEYS[0])
