"""Bring meters in step with Leap, now and to the end."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from meters import sync_turns, syncing
from meters.sync_models import MeterSync, SyncKind, SyncState


class Command(BaseCommand):
    """Runs one sync and says what it changed, or why it could not."""

    help = "Read meters from Leap (LEAP_API_BASE_URL, LEAP_API_KEY): what changed, or all with --full."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the only option there is."""
        parser.add_argument("--full", action="store_true", help="Read all meters. The first sync always is.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one sync. Raises CommandError saying why not."""
        if not settings.LEAP_API_KEY:
            raise CommandError("Set LEAP_API_KEY to talk to Leap.")
        now = timezone.now()
        kind = SyncKind.FULL if options["full"] else SyncKind.CHANGES
        asked, _ = sync_turns.request_sync(kind=kind, by="sync_meters", now=now)
        if kind == SyncKind.FULL:
            MeterSync.objects.filter(pk=asked.pk, state=SyncState.WAITING).update(kind=kind)
        begun = sync_turns.start(MeterSync.objects.get(pk=asked.pk), now=now)
        if begun is None:
            raise CommandError("A sync is running already. Its progress stands on the page Meters.")
        ended = syncing.run(begun)
        if ended.state != SyncState.DONE:
            raise CommandError(ended.detail)
        self.stdout.write(
            f"{ended.get_kind_display()} sync {ended.pk}: {ended.meters} meters read, "
            f"{ended.appeared} appeared, {ended.changed} changed, {ended.archived} archived, "
            f"{ended.vanished} no longer listed."
        )
        if ended.unreadable:
            raise CommandError(f"{ended.unreadable} meters could not be read; the log names some.")
