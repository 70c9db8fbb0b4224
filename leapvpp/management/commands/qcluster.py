"""A worker cluster of django-q2, started so that its processes share what they all need."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.utils import timezone
from django_q.conf import Conf
from django_q.management.commands import qcluster

from devices.claiming import release_claims
from leapvpp.queue import CLUSTERS, COMMANDS


class Command(qcluster.Command):
    """As django-q2's own, for the cluster that Q_CLUSTER_NAME names, or else the first.

    It loads no page and no address, of which a worker needs none.
    """

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the tasks before the cluster forks, and keep them out of the collector's way.

        Commands that the workers before this cluster took with them are tried again at once.

        Raises: CommandError for a cluster that there is not; and for --name, which comes too late here.
        """
        found = {cluster.name: cluster for cluster in CLUSTERS}.get(Conf.CLUSTER_NAME)
        if found is None or options.get("cluster_name"):
            names = " or ".join(cluster.name for cluster in CLUSTERS)
            raise CommandError(f"Name the cluster with Q_CLUSTER_NAME={names}.")
        for name in found.tasks:
            import_module(name)
        if found is COMMANDS:
            release_claims(now=timezone.now())
            connections.close_all()  # the cluster forks
        gc.collect()
        gc.freeze()
        super().handle(*args, **options)
