"""Leap's side of a scenario without any process: a ledger, the door's own address, the workers' tasks."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from dispatch import tasks
from leapvpp.leap.simulator.ledger import Ledger, as_dispatches
from leapvpp.leap.simulator.pusher import notification_body


class Bench:
    """Posts through the door, then does at once what workers would."""

    def __init__(self, client) -> None:
        self.client = client
        self.ledger = Ledger()

    def told(self):
        return self.ledger.current()

    def tell(self, events):
        stored = [self.ledger.put(event) for event in events]
        answer = self.client.post(
            reverse("dispatch-webhook"),
            data=notification_body(level=stored[0].level, dispatches=as_dispatches(stored, with_flags=False)),
            content_type="application/json",
            headers={settings.LEAP_WEBHOOK_HEADER: settings.LEAP_WEBHOOK_KEYS[0]},
        )
        assert answer.status_code == 202, answer.content

    def settle(self, scenario):
        tasks.record_waiting()
        tasks.plan_waiting()
        return ""
