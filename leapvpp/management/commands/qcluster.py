"""django-q2's worker cluster, started so that its processes share what they all need."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any

from django_q.management.commands import qcluster

TASKS = ["devices.tasks", "dispatch.tasks", "leapvpp.tasks"]


class Command(qcluster.Command):
    """As django-q2's own. It loads no page and no address, of which a worker needs none."""

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the tasks before the cluster forks, and keep them out of the collector's way."""
        for name in TASKS:
            import_module(name)
        gc.collect()
        gc.freeze()
        super().handle(*args, **options)
