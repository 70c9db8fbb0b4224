"""One scenario, from the first post to the last question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

from django.utils import timezone

from leapvpp.certification import comparing
from leapvpp.certification.comparing import Finding
from leapvpp.certification.observing import (
    HeldEvent,
    Timings,
    measure,
    read_events,
    read_schedules,
    wait_until_settled,
)
from leapvpp.certification.portfolio import Portfolio, build_portfolio
from leapvpp.certification.searching import search
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.pusher import Delivery, Faults
from leapvpp.leap.simulator.scenario import Scenario, parse_offset
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import timeslot_as_json

API_KEY: Final = "certification"
SPEED: Final = 600
"""An hour of Leap's lateness or absence is six seconds."""
PUSH_SECONDS: Final = 30
SETTLE_SECONDS: Final = 30
"""All waiting together must fit into the time of a task, `leapvpp.queue.LONG_TASKS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The installation's webhook: its address, the name of the key's header, and the key."""

    url: str
    header: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a scenario led to."""

    findings: tuple[Finding, ...]
    timings: Timings
    notifications: int
    events: int
    is_searched: bool

    @property
    def is_passed(self) -> bool:
        """Say whether every question was answered well."""
        return all(finding.is_passed for finding in self.findings)


def play(scenario: Scenario, *, target: Target, label: str, seed: int = 0) -> Outcome:
    """Play a scenario to the installation and question what it made of it.

    All steps are taken at once, the last one being due now, so that events stand where the last step
    finds them: coming, running or over. What no post could bring, Leap's search is asked for afterwards.
    `label` marks the meters and devices made for it; they stay.
    """
    portfolio = build_portfolio(scenario, label=label, now=timezone.now())
    with LeapSimulator(api_key=API_KEY, speed=SPEED, seed=seed) as leap:
        leap.push_to(url=target.url, header=target.header, key=target.key)
        start = timezone.now() - scenario.length
        played = leap.play(scenario, start=start, at_once=True, recipients=portfolio.recipients)
        leap.pusher.wait_until_idle(timeout=PUSH_SECONDS)
        deliveries = tuple(leap.pusher.deliveries)
        findings = [comparing.check_deliveries(deliveries)]
        findings += _settle(portfolio, deliveries=deliveries)
        timings = measure(portfolio, deliveries=deliveries)
        doubtful = {played.event_id(name) for name in scenario.unconfirmed}
        ledger = leap.ledger.current()
        if needs_search(scenario):
            if doubtful:
                findings.append(comparing.check_confirmation(read_events(portfolio), doubtful=doubtful))
            search(leap, api_key=API_KEY, ledger=ledger)
            findings += _settle(portfolio, deliveries=deliveries)
        held = read_events(portfolio)
        findings += _question(held, scenario, ledger=ledger, portfolio=portfolio)
        if not needs_search(scenario):
            versions = {event.event_id: _told_changes(leap, event) for event in ledger}
            findings.append(comparing.check_revisions(held, versions=versions))
    return Outcome(
        findings=tuple(findings),
        timings=timings,
        notifications=len(deliveries),
        events=len(ledger),
        is_searched=needs_search(scenario),
    )


def needs_search(scenario: Scenario) -> bool:
    """Say whether posts alone cannot tell what is true: some are lost, late or left to chance."""
    is_left_to_chance = scenario.faults != Faults()
    is_late = any(parse_offset(step.late) > timedelta(0) for step in scenario.steps)
    return is_left_to_chance or is_late or any(step.lost for step in scenario.steps)


def _settle(portfolio: Portfolio, *, deliveries: Sequence[Delivery]) -> list[Finding]:
    """Wait for the portal; return a finding only when it does not get there."""
    still_open = wait_until_settled(portfolio, deliveries=deliveries, timeout_seconds=SETTLE_SECONDS)
    if not still_open:
        return []
    return [Finding("In time", f"After {SETTLE_SECONDS} s {still_open}.", is_passed=False)]


def _question(
    held: Sequence[HeldEvent], scenario: Scenario, *, ledger: Sequence[LedgerEvent], portfolio: Portfolio
) -> list[Finding]:
    """Ask everything that holds once the portal knows all."""
    schedules = read_schedules(portfolio)
    tests = sum(len(step.events) for step in scenario.steps if step.do == "integration_test")
    findings = [
        comparing.check_events(held, ledger=ledger, portfolio=portfolio),
        comparing.check_schedules(schedules, ledger=ledger, portfolio=portfolio, now=timezone.now()),
        comparing.check_acknowledged(schedules, portfolio=portfolio),
        comparing.check_confirmation(held, doubtful=()),
    ]
    if tests:
        findings.append(comparing.check_integration_tests(held, expected=tests))
    return findings


def _told_changes(leap: LeapSimulator, event: LedgerEvent) -> int:
    """Count how often what Leap says of the event became something else."""
    said = [_as_said(version) for version in leap.ledger.versions(event.event_id)]
    return 1 + sum(before != after for before, after in pairwise(said))


def _as_said(version: LedgerEvent) -> object:
    return version.meter_ids, timeslot_as_json(version.timeslot, level=version.level)
