"""Plays as rows: asked for on the page, played by the demo's Leap, one after another."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from leapvpp.certification.comparing import Finding
from leapvpp.demo.showroom.playing import Stage, play
from leapvpp.demo.showroom.scenarios import SCENARIOS
from leapvpp.models import ResultState, ScenarioPlay


def ask_for_play(*, key: str, asked_by: str, now: datetime) -> bool:
    """Have a scenario played; False when it already waits or plays."""
    try:
        with transaction.atomic():
            ScenarioPlay.objects.create(scenario=key, asked_by=asked_by, asked_at=now)
    except IntegrityError:
        return False
    return True


def end_interrupted() -> None:
    """End what a process that died was playing; only the process that plays may call this."""
    ScenarioPlay.objects.filter(state=ResultState.PLAYING).update(state=ResultState.SKIPPED)


def play_next(*, stage: Stage) -> ScenarioPlay | None:
    """Play what has waited longest; None when nothing waits.

    What breaks it off is a check that failed: the others can still be played.
    """
    row = ScenarioPlay.objects.filter(state=ResultState.WAITING).order_by("asked_at", "pk").first()
    if row is None:
        return None
    row.state, row.started_at = ResultState.PLAYING, timezone.now()
    row.save(update_fields=["state", "started_at"])

    def note(findings: tuple[Finding, ...]) -> None:
        row.steps_done += 1
        row.checks += [_as_check(row.steps_done, finding) for finding in findings]
        row.save(update_fields=["steps_done", "checks", "event_ids"])

    def note_ids(event_ids: dict[str, str]) -> None:
        row.event_ids = event_ids

    try:
        play(SCENARIOS[row.scenario], stage=stage, now=timezone.now, on_ids=note_ids, on_step=note)
    except Exception as error:  # one play's failure must not end the demo
        broken = Finding("Played", f"It broke off. {type(error).__name__}: {error}", is_passed=False)
        row.checks.append(_as_check(row.steps_done + 1, broken))
    is_passed = all(check["passed"] for check in row.checks)
    row.state = ResultState.PASSED if is_passed else ResultState.FAILED
    row.finished_at = timezone.now()
    row.save(update_fields=["state", "finished_at", "checks"])
    return row


def _as_check(step: int, finding: Finding) -> dict[str, object]:
    return {
        "step": step,
        "name": finding.name,
        "passed": finding.is_passed,
        "sentence": finding.sentence,
    }
