"""Leap's search in place of the posts that never came, asked of the simulator."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from dispatch.models import Source
from dispatch.receiving import receive
from leapvpp.leap.client import LeapClient
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.values import Level


def search(*, url: str, api_key: str, ledger: Sequence[LedgerEvent]) -> None:
    """Ask the simulator for the whole time of its ledger and hand its answers to the portal's recording.

    Raises the errors of `leapvpp.leap.errors` when the simulator does not answer in three attempts.
    """
    start = min(event.timeslot.start_time for event in ledger)
    end = max(event.timeslot.end_time for event in ledger)
    with LeapClient(base_url=url, api_key=api_key) as client:
        for level in Level:
            asked_at = timezone.now()
            pages = client.search_dispatches(level=level, window_start=start, window_end=end)
            for page in pages:
                if page.results:
                    body = page.as_notification()
                    receive(body=body, source=Source.POLL, received_at=asked_at, level=level.name)
