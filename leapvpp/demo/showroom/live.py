"""The stage of a running demo: its Leap posts to the webhook, its workers record, plan and send."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from devices.models import Device
from leapvpp.certification.observing import wait_until_settled
from leapvpp.certification.portfolio import Portfolio
from leapvpp.demo.showroom.rooms import BY_KEY
from leapvpp.demo.showroom.scenarios import Scenario
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.server import LeapSimulator

PATIENCE_SECONDS: Final = 60


class LiveStage:
    """Leap as the demo has it; what it posts is recorded, planned and sent by the demo's own processes."""

    def __init__(self, leap: LeapSimulator) -> None:
        self.leap = leap

    def told(self) -> Sequence[LedgerEvent]:
        """Return everything Leap says, as it says it now."""
        return self.leap.ledger.current()

    def tell(self, events: Sequence[LedgerEvent]) -> None:
        """Post one notification to the webhook."""
        self.leap.publish(events)

    def settle(self, scenario: Scenario) -> str:
        """Wait until the scenario's devices know all; return what is still open, or ""."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        if not self.leap.pusher.wait_until_idle(timeout=PATIENCE_SECONDS):
            return "not every post was answered with success"
        portfolio = _portfolio(scenario)
        posts = [
            each
            for each in self.leap.pusher.deliveries
            if not self._recipients(each.event_ids).isdisjoint(portfolio.meter_ids)
        ]
        return wait_until_settled(
            portfolio, deliveries=posts, timeout_seconds=max(0.0, deadline - time.monotonic())
        )

    def _recipients(self, event_ids: Sequence[str]) -> set[str]:
        """Return the meters that a delivery is about."""
        return {
            meter_id
            for event_id in event_ids
            for version in self.leap.ledger.versions(event_id)[-1:]
            for meter_id in version.meter_ids
        }


def _portfolio(scenario: Scenario) -> Portfolio:
    rooms = {BY_KEY[key].external_id: BY_KEY[key].meter_id for key in scenario.rooms}
    devices = Device.objects.filter(external_id__in=rooms).values_list("external_id", "pk")
    return Portfolio(
        recipients={},
        meter_ids=frozenset(rooms.values()),
        device_by_meter={rooms[external_id]: pk for external_id, pk in devices},
    )
