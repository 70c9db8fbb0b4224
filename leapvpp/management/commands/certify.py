"""Certify this installation: play Leap's scenarios to it and print what it made of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leapvpp.certification import running
from leapvpp.certification.readiness import why_not_ready
from leapvpp.certification.reporting import as_markdown, heading, line_of, summary
from leapvpp.leap.simulator.scenario import ScenarioError, find_scenario, scenario_paths
from leapvpp.models import CertificationRun, RunState


class Command(BaseCommand):
    help = (
        "Play Leap's scenarios to this running installation, through its webhook, and print a report. "
        "Exits with 1 when something was not as Leap asked. The run brings its own meters and devices and "
        "removes them."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        port = os.environ.get("PORT", "8000")
        parser.add_argument(
            "--url", default=f"http://127.0.0.1:{port}", help="Scheme and host of this installation."
        )
        parser.add_argument(
            "--scenario", action="append", default=[], help="Name or path; repeatable; all unless told."
        )
        parser.add_argument("--list", action="store_true", help="List the scenarios and stop.")
        parser.add_argument("--report", type=Path, help="File for the report, as Markdown.")
        parser.add_argument(
            "--keep", action="store_true", help="Leave meters, devices and events for a look."
        )
        parser.add_argument("--clean", action="store_true", help="Remove what runs left behind and stop.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for name in scenario_paths():
                self.stdout.write(f"{name:28} {find_scenario(name).title}")
        elif options["clean"]:
            self._clean()
        else:
            self._certify(options)

    def _clean(self) -> None:
        removed = running.clean(now=timezone.now())
        under_way = CertificationRun.objects.filter(state=RunState.RUNNING).first()
        if under_way:
            raise CommandError(
                f"Run {under_way.pk} is under way. One that died is ended after three minutes."
            )
        self.stdout.write(f"{removed} meters removed.")

    def _certify(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        if reason := why_not_ready(url=options["url"], now=now):
            raise CommandError(reason)
        try:
            run = running.start_run(
                url=options["url"],
                started_by="manage.py certify",
                names=options["scenario"],
                is_kept=options["keep"],
                now=now,
            )
        except (running.RunRefused, ScenarioError) as error:
            raise CommandError(str(error)) from error
        try:
            self._play(run)
        except BaseException as error:
            reason = "It was stopped." if isinstance(error, KeyboardInterrupt) else f"It broke off: {error}"
            running.abort_run(run_id=run.pk, reason=reason, now=timezone.now())
            running.clean(now=timezone.now())
            raise
        self._report(run, path=options["report"])

    def _play(self, run: CertificationRun) -> None:
        self.stdout.write(heading())
        while result := running.play_next(run_id=run.pk, now=timezone.now()):
            self.stdout.write(line_of(result))

    def _report(self, run: CertificationRun, *, path: Path | None) -> None:
        run.refresh_from_db()
        results = list(run.results.order_by("position"))
        self.stdout.write(summary(run, results))
        if path:
            path.write_text(as_markdown(run, results), encoding="utf-8")
        if run.state != RunState.PASSED:
            raise CommandError("This installation did not pass.", returncode=1)
