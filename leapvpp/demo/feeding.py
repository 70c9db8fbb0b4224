"""Tells the demo's day to the portal through its webhook, then something new every few minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
from django.db.models import Prefetch

from leapvpp.demo.day import Recipient, Step, events_of, next_dispatch, the_day, the_days_around
from leapvpp.demo.places import GROUPS, leap_id
from leapvpp.demo.showroom.rooms import MARK
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import Level
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter

EVERY = timedelta(minutes=4)
SOON, TODAY, FEW_TO_COME = timedelta(hours=1), timedelta(hours=12), 3


class Feeder:
    """Holds what the demo's Leap knows of the portfolio, and speaks for it."""

    def __init__(
        self,
        leap: LeapSimulator,
        *,
        recipients: dict[str, Recipient],
        wait: Callable[[float], None] = time.sleep,
        in_between: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the Leap to speak for; `in_between` is called about once a second while nothing is told."""
        self.leap = leap
        self.recipients = recipients
        self.wait = wait
        self.in_between = in_between
        self.told_count = 0

    def run_for_ever(self) -> None:
        """Tell a day, and another when little of it is left; in between a new dispatch every few minutes."""
        while True:
            now = datetime.now(UTC)
            if not self.told():
                self.tell(the_days_around(now), told_at=now)
            if self.is_little_to_come(now):
                self.tell(the_day(now), told_at=now)
            self.pass_time(EVERY.total_seconds())
            now = datetime.now(UTC)
            self.tell([next_dispatch(now, number=self.told_count)], told_at=now)

    def pass_time(self, seconds: float) -> None:
        """Let time pass until the next dispatch, a second at a time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.in_between()
            self.wait(1)

    def is_little_to_come(self, now: datetime) -> bool:
        """Tell whether the day is nearly over, or was never told."""
        starts = [event.timeslot.start_time - now for event in self.told()]
        return sum(SOON < start < TODAY for start in starts) < FEW_TO_COME

    def told(self) -> list[LedgerEvent]:
        """Return what Leap says to the feeder's own recipients."""
        mine = {recipient.leap_id for recipient in self.recipients.values()}
        return [event for event in self.leap.ledger.current() if event.recipient_id in mine]

    def tell(self, steps: Iterable[Step], *, told_at: datetime) -> None:
        """Have Leap post the steps, one after another."""
        for step in steps:
            self.wait(step.after.total_seconds())
            events = events_of(step, self.recipients, told_at=told_at)
            if step.is_integration_test:
                self.leap.pusher.publish(events, is_integration_test=True)
            else:
                self.leap.publish(events)
            self.told_count += 1


def read_recipients(*, now: datetime) -> dict[str, Recipient]:
    """Read the demo's market groups, by their key in the script, and its meters, by name.

    The showroom is not among them: it is played, not fed.
    """
    present = MarketGroupMembership.objects.filter(in_effect(now))
    groups = MarketGroup.objects.prefetch_related(Prefetch("memberships", present.select_related("meter")))
    by_id = {group.market_group_id: group for group in groups}
    found = {
        meter.name: Recipient(
            Level.METER, meter.meter_id, (meter.meter_id,), meter.nomination_kw or Decimal(1)
        )
        for meter in Meter.objects.filter(archived_at__isnull=True).exclude(
            partner_reference__startswith=MARK
        )
    }
    for plan in GROUPS:
        group = by_id[leap_id(plan.key)]
        meters = {membership.meter for membership in group.memberships.all()}
        found[plan.key] = Recipient(
            Level.GROUP,
            group.market_group_id,
            tuple(sorted(meter.meter_id for meter in meters)),
            sum((meter.nomination_kw or Decimal(0) for meter in meters), Decimal(0)),
        )
    return found


def wait_for_portal(url: str, *, wait: Callable[[float], None] = time.sleep) -> None:
    """Return once the portal answers."""
    while True:
        try:
            if httpx.get(f"{url}/healthz", timeout=2, trust_env=False).status_code < 500:
                return
        except httpx.HTTPError:
            pass
        wait(0.5)
