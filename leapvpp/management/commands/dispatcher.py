"""Look twice a second for work that nobody was woken for."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.utils import timezone

from leapvpp.dispatching import Dispatcher

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.5


class Command(BaseCommand):
    """Runs until it is stopped; any number may run at once."""

    requires_system_checks = []  # they load every page and address, of which it needs none
    help = "Wake workers for due commands and for work whose wake-up was lost."

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, sleep, and survive a database that is away."""
        dispatcher = Dispatcher()
        while True:
            began = time.monotonic()
            try:
                dispatcher.look(now=timezone.now())
            except DatabaseError:
                logger.exception("The database does not answer")
                connection.close()
            time.sleep(max(0.0, LOOK_EVERY_SECONDS - (time.monotonic() - began)))
