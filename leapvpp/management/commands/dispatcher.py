"""Look twice a second for work that nobody was woken for, and wake for commands when they fall due."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.utils import timezone

from leapvpp.dispatching import LOOK_EVERY, Dispatcher, coming_moments
from meters.sync_turns import request_at_start

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs until it is stopped; any number may run at once."""

    requires_system_checks = []  # they load every page and address, of which it needs none
    help = "Wake workers for due commands and for work whose wake-up was lost."

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, sleep, and survive a database that is away."""
        dispatcher = Dispatcher()
        is_beginning = True
        while True:
            now = timezone.now()
            try:
                if is_beginning:
                    request_at_start(now=now)
                    is_beginning = False
                look(dispatcher, now=now)
            except DatabaseError:
                logger.exception("The database does not answer")
                connection.close()
            sleep_until(now + LOOK_EVERY)


def look(dispatcher: Dispatcher, *, now: datetime) -> None:
    """Wake what waits at `now`, then, at their moments, the commands that fall due before the next look."""
    dispatcher.look(now=now)
    for moment in coming_moments(now=now):
        sleep_until(moment)
        dispatcher.wake_commands(now=moment)


def sleep_until(moment: datetime) -> None:
    """Sleep, unless the moment is over; never for longer than a look, whatever becomes of the clock."""
    left = (moment - timezone.now()).total_seconds()
    time.sleep(min(max(0.0, left), LOOK_EVERY.total_seconds()))
