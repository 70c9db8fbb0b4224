"""Have the meters of a running simulator change, as Leap's would, and Leap's platform tell of it."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leapvpp.demo.leap import running_leap
from leapvpp.leap.connection import LeapConnection
from leapvpp.leap.errors import LeapError
from leapvpp.leap.simulator.acts import GLOBAL_STATUSES, METER_ACTIONS
from leapvpp.leap.simulator.control import PATH
from leapvpp.leap.values import decode_answer


class Command(BaseCommand):
    """Speaks to LEAP_API_BASE_URL or, without a LEAP_API_KEY, to the Leap of the demo that runs."""

    requires_system_checks: list[str] = []
    help = (
        "Change meters of a running simulator: of the one at LEAP_API_BASE_URL or, when LEAP_API_KEY is"
        " not set, of the demo's. Meters are named by Leap's id or their partner reference."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("do", choices=sorted(METER_ACTIONS), help="What happens.")
        parser.add_argument("meters", nargs="*", help="To which meters, or what new ones are called.")
        parser.add_argument("--group", default="", help="Of regroup and create: the group's id or name.")
        parser.add_argument("--program", default="", help="Of create, require and clear_actions: which.")
        parser.add_argument(
            "--status", default="", choices=("", *GLOBAL_STATUSES), help="Of status: to what."
        )
        parser.add_argument("--action", default="NO_MISSING_FIELDS", help="Of require: Leap's word for what.")
        parser.add_argument("--deadline", default="14d", help="Of require: how long from now.")
        parser.add_argument("--lasts", default="0s", help="Of idle: how long; without an end unless told.")
        parser.add_argument("--count", type=int, default=0, help="Of create: how many besides those named.")

    def handle(self, *args: Any, **options: Any) -> None:
        url, key = settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY
        if not key:
            url, key = running_leap()
        fields = ("do", "meters", "group", "program", "status", "action", "deadline", "lasts", "count")
        try:
            with _Hand(base_url=url, api_key=key) as hand:
                meter_ids = hand.act({name: options[name] for name in fields})
        except (LeapError, ValueError) as error:
            raise CommandError(str(error)) from error
        shown = "\n".join(meter_ids[:20])
        self.stdout.write(f"{options['do']}: {len(meter_ids)} meters\n{shown}")


class _Hand(LeapConnection):
    def act(self, content: dict[str, object]) -> tuple[str, ...]:
        body = self._transport.act("POST", PATH, content=content)
        return tuple(decode_answer(body, dict[str, tuple[str, ...]])["meter_ids"])
