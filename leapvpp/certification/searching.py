"""Leap's search in place of the posts that never came, asked of the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone

from dispatch import reconciling
from dispatch.models import Level, PollState
from leapvpp.leap.client import LeapClient


def search(*, url: str, api_key: str) -> None:
    """Ask the simulator what the portal asks Leap every minute; recording hears the answers.

    Raises the errors of `leapvpp.leap.errors` when the simulator does not answer in three attempts.
    """
    with LeapClient(base_url=url, api_key=api_key) as client:
        for level in Level:
            reconciling.ask(client, level, until=timezone.now() + reconciling.BUDGET, clock=timezone.now)


@contextmanager
def apart_from_push_path() -> Iterator[None]:
    """Keep what the simulator's search finds from being taken for a sign that Leap's posts get lost."""
    found_at = dict(PollState.objects.values_list("level", "found_unpushed_at"))
    try:
        yield
    finally:
        for level, at in found_at.items():
            PollState.objects.filter(level=level).update(found_unpushed_at=at)
