"""Run a Leap of our own: it answers Leap's API on loopback and posts scenarios to a webhook."""

from __future__ import annotations

import argparse
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leapvpp.leap.simulator.acts import ActError
from leapvpp.leap.simulator.pusher import Delivery, Faults
from leapvpp.leap.simulator.scenario import (
    Scenario,
    ScenarioError,
    find_scenario,
    fleet_paths,
    scenario_paths,
)
from leapvpp.leap.simulator.server import LeapSimulator


class Command(BaseCommand):
    help = (
        "Run a simulator of Leap. It answers the dispatch API and, given --scenario, posts that "
        "scenario's notifications. Without --scenario it serves until Ctrl-C."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8090, help="Port on loopback (default 8090).")
        parser.add_argument("--push-url", help="Webhook to register at once, instead of by the API.")
        parser.add_argument(
            "--header", default=settings.LEAP_WEBHOOK_HEADER, help="Name of the key's header."
        )
        parser.add_argument(
            "--key", help="Key sent in that header (default: the first of LEAP_WEBHOOK_KEYS)."
        )
        parser.add_argument(
            "--api-key", help="Key that clients must send (default: LEAP_API_KEY, or simulator)."
        )
        parser.add_argument(
            "--scenario", action="append", default=[], help="Name or path; repeatable; or all."
        )
        parser.add_argument("--list", action="store_true", help="List the scenarios that come along.")
        parser.add_argument(
            "--recipient", action="append", default=[], metavar="NAME=ID", help="Leap id of a name."
        )
        parser.add_argument("--speed", type=float, default=1.0, help="Divides every duration (default 1).")
        parser.add_argument(
            "--at-once", action="store_true", help="Take all steps now, the last one being due."
        )
        parser.add_argument("--exit", action="store_true", help="Stop when the scenarios are delivered.")
        parser.add_argument("--drop", type=float, default=0.0, help="Share of notifications never sent.")
        parser.add_argument("--duplicate", type=float, default=0.0, help="Share sent twice.")
        parser.add_argument("--reorder", type=float, default=0.0, help="Share sent up to 5 minutes late.")
        parser.add_argument(
            "--api-errors", type=float, default=0.0, help="Share of API requests answered 503."
        )
        parser.add_argument("--seed", type=int, default=0, help="Makes the faults repeatable.")
        parser.add_argument("--meters", type=int, default=0, help="How many meters it lists (default 0).")
        parser.add_argument("--ledger", type=Path, help="File that keeps the events between runs.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            return self._list()
        if options["speed"] <= 0:
            raise CommandError("--speed must be greater than 0.")
        names = list(scenario_paths()) if options["scenario"] == ["all"] else options["scenario"]
        try:
            scenarios = [find_scenario(name) for name in names]
            simulator = _simulator(options)
        except (ScenarioError, OSError) as error:
            raise CommandError(str(error)) from error
        with simulator:
            self.stdout.write(f"Leap simulator on {simulator.url}")
            try:
                self._run(simulator, scenarios, options=options)
            except ActError as error:
                raise CommandError(str(error)) from error
            except KeyboardInterrupt:
                self.stdout.write("Stopped.")

    def _list(self) -> None:
        for name in (*scenario_paths(), *fleet_paths()):
            self.stdout.write(f"{name:28} {find_scenario(name).title}")

    def _run(self, simulator: LeapSimulator, scenarios: list[Scenario], *, options: dict[str, Any]) -> None:
        if options["push_url"]:
            key = options["key"] or next(iter(settings.LEAP_WEBHOOK_KEYS), "")
            simulator.push_to(url=options["push_url"], header=options["header"], key=key)
        recipients = _recipients(options["recipient"])
        for scenario in scenarios:
            now = datetime.now(UTC)
            start = now - scenario.length if options["at_once"] else now
            self.stdout.write(f"Playing: {scenario.title}")
            simulator.play(scenario, start=start, at_once=options["at_once"], recipients=recipients)
        if scenarios:
            while not simulator.pusher.wait_until_idle(timeout=1):
                pass
            self._report([*simulator.pusher.deliveries, *simulator.pusher.platform_deliveries])
        if not options["exit"]:
            threading.Event().wait()

    def _report(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            answers = ", ".join(
                f"{attempt.status or 'no answer'} in {attempt.took_seconds * 1000:.0f} ms"
                for attempt in delivery.attempts[-3:]
            )
            level = delivery.level or "platform"
            self.stdout.write(f"{delivery.outcome:10} {level:8} {len(delivery.event_ids)} events  {answers}")


def _simulator(options: dict[str, Any]) -> LeapSimulator:
    faults = Faults(
        drop=options["drop"],
        duplicate=options["duplicate"],
        reorder=options["reorder"],
        api_errors=options["api_errors"],
    )
    simulator = LeapSimulator(
        api_key=options["api_key"] or settings.LEAP_API_KEY or "simulator",
        port=options["port"],
        speed=options["speed"],
        seed=options["seed"],
        faults=faults,
        ledger_path=options["ledger"],
    )
    simulator.meters.fill(options["meters"], now=datetime.now(UTC))
    return simulator


def _recipients(pairs: list[str]) -> dict[str, str]:
    """Read ``NAME=ID`` pairs. Raises ``CommandError`` for anything else."""
    recipients = {}
    for pair in pairs:
        name, sign, leap_id = pair.partition("=")
        if not (name and sign and leap_id):
            raise CommandError(f"--recipient wants NAME=ID, not {pair!r}.")
        recipients[name] = leap_id
    return recipients
