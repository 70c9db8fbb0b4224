"""One scenario, from the first post to the last question."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

from django.utils import timezone

from leapvpp.certification import comparing
from leapvpp.certification.comparing import Finding
from leapvpp.certification.observing import (
    Timings,
    measure,
    read_events,
    read_schedules,
    wait_until_settled,
)
from leapvpp.certification.portfolio import Portfolio, build_portfolio
from leapvpp.certification.searching import apart_from_push_path, search
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.pusher import Delivery, Faults
from leapvpp.leap.simulator.scenario import Scenario
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.simulator.words import parse_offset
from leapvpp.leap.values import timeslot_as_json

API_KEY: Final = "certification"
SPEED: Final = 600
"""An hour of Leap's lateness or absence is six seconds."""
SETTLE_SECONDS: Final = 60
SCENARIO_SECONDS: Final = 80
"""For all waiting together: it must fit into the time of a task, `leapvpp.queue.LONG_TASKS`."""
IN_TIME: Final = "In time"


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

    The last step is due now, the earlier ones before: events stand where the last step finds them,
    coming, running or over. Between steps the portal is waited for, unless the scenario is about what
    arrives late or out of order. What no post could bring, Leap's search is asked for afterwards.
    `label` marks the meters and devices made for it; they stay.
    """
    portfolio = build_portfolio(scenario, label=label, now=timezone.now())
    with LeapSimulator(api_key=API_KEY, speed=SPEED, seed=seed) as leap:
        leap.push_to(url=target.url, header=target.header, key=target.key)
        return _Performance(scenario, leap=leap, portfolio=portfolio).run()


class _Performance:
    """One scenario on one simulator, with the findings as they come."""

    def __init__(self, scenario: Scenario, *, leap: LeapSimulator, portfolio: Portfolio) -> None:
        self.scenario = scenario
        self.leap = leap
        self.portfolio = portfolio
        self.findings: list[Finding] = []
        self.deadline = time.monotonic() + SCENARIO_SECONDS

    def run(self) -> Outcome:
        """Post, wait, search where posts are not enough, and ask every question."""
        played = self.leap.play(
            self.scenario,
            start=timezone.now() - self.scenario.length,
            at_once=True,
            recipients=self.portfolio.recipients,
            after_step=self._settle if is_orderly(self.scenario) else None,
        )
        self._settle()
        self.findings.insert(0, comparing.check_deliveries(self._deliveries()))
        timings = measure(self.portfolio, deliveries=self._deliveries())
        ledger = self.leap.ledger.current()
        if needs_search(self.scenario):
            self._search(doubtful={played.event_id(name) for name in self.scenario.unconfirmed})
        self._question(ledger)
        return Outcome(
            findings=tuple(self.findings),
            timings=timings,
            notifications=len(self._deliveries()),
            events=len(ledger),
            is_searched=needs_search(self.scenario),
        )

    def _deliveries(self) -> tuple[Delivery, ...]:
        return tuple(self.leap.pusher.deliveries)

    def _settle(self) -> None:
        """Wait for the portal; it is a finding only when it does not get there. Once is enough."""
        if any(finding.name == IN_TIME for finding in self.findings):
            return
        if self.leap.pusher.wait_until_idle(timeout=self._patience()):
            still_open = wait_until_settled(
                self.portfolio,
                deliveries=self._deliveries(),
                timeout_seconds=min(self._patience(), SETTLE_SECONDS),
            )
        else:
            still_open = "not every post was answered with success"
        if still_open:
            self.findings.append(Finding(IN_TIME, f"It took too long: {still_open}.", is_passed=False))

    def _patience(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def _search(self, *, doubtful: Collection[str]) -> None:
        if doubtful:
            held = read_events(self.portfolio)
            self.findings.append(comparing.check_confirmation(held, doubtful=doubtful))
        with apart_from_push_path():
            search(url=self.leap.url, api_key=API_KEY)
            self._settle()

    def _question(self, ledger: Sequence[LedgerEvent]) -> None:
        """Ask everything that holds once the portal knows all."""
        held, schedules = read_events(self.portfolio), read_schedules(self.portfolio)
        tests = sum(len(step.events) for step in self.scenario.steps if step.do == "integration_test")
        self.findings += [
            comparing.check_events(held, ledger=ledger, portfolio=self.portfolio),
            comparing.check_schedules(schedules, ledger=ledger, portfolio=self.portfolio, now=timezone.now()),
            comparing.check_acknowledged(schedules, portfolio=self.portfolio),
            comparing.check_confirmation(held, doubtful=()),
        ]
        if tests:
            self.findings.append(comparing.check_integration_tests(held, expected=tests))
        if not needs_search(self.scenario):
            versions = {event.event_id: _told_changes(self.leap, event) for event in ledger}
            self.findings.append(comparing.check_revisions(held, versions=versions))


def is_orderly(scenario: Scenario) -> bool:
    """Say whether each step's posts arrive before the next step: none is late, and Leap never away."""
    is_late = any(parse_offset(step.late) > timedelta(0) for step in scenario.steps)
    is_away = any(step.do == "away" for step in scenario.steps)
    return scenario.faults == Faults() and not is_late and not is_away


def needs_search(scenario: Scenario) -> bool:
    """Say whether posts alone cannot tell what is true: some are lost, late or left to chance."""
    is_late = any(parse_offset(step.late) > timedelta(0) for step in scenario.steps)
    is_lost = any(step.lost for step in scenario.steps)
    return scenario.faults != Faults() or is_late or is_lost


def _told_changes(leap: LeapSimulator, event: LedgerEvent) -> int:
    """Count how often what Leap says of the event became something else."""
    said = [_as_said(version) for version in leap.ledger.versions(event.event_id)]
    return 1 + sum(before != after for before, after in pairwise(said))


def _as_said(version: LedgerEvent) -> object:
    return version.meter_ids, timeslot_as_json(version.timeslot, level=version.level)
