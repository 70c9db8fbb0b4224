"""One play of a scenario: clear the stage, take the steps, compare with what must come of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Protocol

import msgspec

from devices.registering import register_devices
from dispatch.models import Override, OverrideAction, OverrideScope
from dispatch.overrides import OverrideRefused, add_override, end_override
from leapvpp.certification.comparing import Finding
from leapvpp.certification.playing import IN_TIME
from leapvpp.demo.day import Ask, as_event
from leapvpp.demo.showroom.expecting import compare
from leapvpp.demo.showroom.observing import read_held
from leapvpp.demo.showroom.rooms import BY_KEY, recipient
from leapvpp.demo.showroom.scenarios import Scenario, Step
from leapvpp.leap.simulator.ledger import LedgerEvent

BY = "the showroom"


class Stage(Protocol):
    """Leap as the portal meets it."""

    def told(self) -> Sequence[LedgerEvent]:
        """Return everything Leap says, as it says it now."""

    def tell(self, events: Sequence[LedgerEvent]) -> None:
        """Post one notification to the webhook."""

    def settle(self, scenario: Scenario) -> str:
        """Wait until the scenario's devices know all; return what is still open, or ""."""


def events_of(scenario: Scenario, *, day: date, told_at: datetime) -> dict[str, LedgerEvent]:
    """Put the scenario's calls into Leap's words, by name; their ids are of this telling."""
    return {
        name: as_event(
            Ask(
                f"{scenario.key} {name}",
                call.to,
                call.terms,
                scenario.moment(day, call.start),
                scenario.moment(day, call.end),
                call.share,
            ),
            recipient(call.to),
            told_at=told_at,
        )
        for name, call in scenario.calls.items()
    }


def play(
    scenario: Scenario,
    *,
    stage: Stage,
    now: Callable[[], datetime],
    on_ids: Callable[[dict[str, str]], None],
    on_step: Callable[[tuple[Finding, ...]], None],
) -> None:
    """Play a scenario on the stage; `on_step` hears after each step what came of its expectations.

    `on_ids` hears Leap's ids of the calls, by name, before anything is told.

    What an earlier play or a visitor left on the scenario's own devices is taken back first: standing calls
    are cancelled, overrides end, batteries say their charge anew.
    """
    began = now()
    day = scenario.day(now=began)
    events = events_of(scenario, day=day, told_at=began)
    ids = {name: event.event_id for name, event in events.items()}
    on_ids(ids)
    clear(scenario, stage=stage, now=began)
    stage.settle(scenario)
    for step in scenario.steps:
        _take(step, scenario=scenario, events=events, day=day, stage=stage, now=now())
        still_open = stage.settle(scenario)
        held = read_held(scenario, event_ids=ids, now=now())
        findings = compare(scenario, step.expected, held=held, day=day)
        late = Finding(IN_TIME, f"It took too long: {still_open}.", is_passed=False)
        on_step((late, *findings) if still_open else findings)


def clear(scenario: Scenario, *, stage: Stage, now: datetime) -> None:
    """Take back what stands on the scenario's devices and let its batteries say their charge."""
    recipients = {recipient(call.to).leap_id for call in scenario.calls.values()}
    standing = [
        _cancelled(event)
        for event in stage.told()
        if event.recipient_id in recipients and not event.timeslot.cancelled and event.timeslot.end_time > now
    ]
    if standing:
        stage.tell(standing)
    names = [BY_KEY[key].external_id for key in scenario.rooms]
    held = Override.objects.filter(scope=OverrideScope.DEVICE, target__in=names, ended_at__isnull=True)
    for override in held.filter(ends_at__gt=now):
        try:
            end_override(override_id=override.pk, now=now, by=BY)
        except OverrideRefused:  # somebody else was faster
            continue
    register_devices(
        wanted={BY_KEY[key].external_id: _said(scenario, key) for key in scenario.rooms}, now=now
    )


def _cancelled(event: LedgerEvent) -> LedgerEvent:
    slot = msgspec.structs.replace(event.timeslot, cancelled=True)
    return msgspec.structs.replace(event, timeslot=slot)


def _said(scenario: Scenario, key: str) -> dict[str, object]:
    return {
        "policy": BY_KEY[key].policy,
        "commitments_only": False,
        "state_of_charge_percent": scenario.charges.get(key),
    }


def _take(
    step: Step,
    *,
    scenario: Scenario,
    events: dict[str, LedgerEvent],
    day: date,
    stage: Stage,
    now: datetime,
) -> None:
    if step.tell:
        stage.tell([events[name] for name in step.tell])
    if step.cancel:
        stage.tell([_cancelled(events[name]) for name in step.cancel])
    if step.hold:
        calls = scenario.calls.values()
        add_override(
            scope=OverrideScope.DEVICE,
            target=BY_KEY[step.hold].external_id,
            action=OverrideAction.HOLD,
            starts_at=min(scenario.moment(day, call.start) for call in calls),
            ends_at=max(scenario.moment(day, call.end) for call in calls),
            target_kw=None,
            reason=step.why,
            created_by=BY,
            confirm_commitment=True,
            now=now,
        )
