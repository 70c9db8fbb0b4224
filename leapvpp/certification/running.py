"""A run: its scenarios one after the other, each in whatever process calls `play_next`.

The rows are the truth: a scenario is claimed by a conditional update, so two processes never play the same
one, and a run whose process died is found by its silence, ended and cleaned up after.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from leapvpp.certification.comparing import Finding
from leapvpp.certification.observing import Timings
from leapvpp.certification.playing import IN_TIME, Outcome, Target, play
from leapvpp.certification.portfolio import is_anything_left, remove_everything
from leapvpp.certification.queries import DEAD_AFTER
from leapvpp.leap.simulator.scenario import ScenarioError, find_scenario, scenario_paths
from leapvpp.models import CertificationResult, CertificationRun, ResultState, RunState

logger = logging.getLogger(__name__)

WEBHOOK_PATH: Final = "/webhooks/leap/dispatch/"
MOST_OUT_OF_TIME: Final = 3
HOPELESS: Final = "It was ended: three scenarios in a row were not handled in time. Is the worker running?"


class RunRefused(Exception):
    """A run cannot begin; the message says why."""


def start_run(
    *,
    url: str,
    started_by: str,
    names: Sequence[str] = (),
    is_in_worker: bool = False,
    is_kept: bool = False,
    now: datetime,
) -> CertificationRun:
    """Begin a run of the named scenarios, all of them when none is named, against `url` (scheme and host).

    What a dead run left is removed first. `is_in_worker`: the dispatcher has workers play it. `is_kept`
    leaves the run's own meters, devices and events behind for a look; the next run removes them.

    Raises:
        RunRefused: another run is under way.
        ScenarioError: there is no such scenario, or none of dispatches.
    """
    chosen = {name: find_scenario(name) for name in names or scenario_paths()}
    if about_meters := [name for name, scenario in chosen.items() if not scenario.events]:
        raise ScenarioError(f"{', '.join(about_meters)}: there are no dispatches to certify in it")
    end_dead_runs(now=now)
    try:
        with transaction.atomic():
            run = CertificationRun.objects.create(
                started_at=now,
                touched_at=now,
                started_by=started_by,
                url=url.rstrip("/") + WEBHOOK_PATH,
                version=_own_version(),
                database=connection.vendor,
                is_in_worker=is_in_worker,
                is_kept=is_kept,
            )
            CertificationResult.objects.bulk_create(
                CertificationResult(run=run, position=position, scenario=name, title=scenario.title)
                for position, (name, scenario) in enumerate(chosen.items(), start=1)
            )
    except IntegrityError:
        raise RunRefused("A certification run is under way; wait for its report.") from None
    clean(now=now)
    return run


def play_next(*, run_id: int, now: datetime) -> CertificationResult | None:
    """Play the run's next scenario and store what came of it; end the run when there is none left.

    Returns the result, or None when nothing was left to play here.
    """
    try:
        result = _claim_next(run_id, now=now)
    except IntegrityError:  # another process plays one
        return None
    if result is None:
        _finish(run_id, now=now)
        return None
    target = Target(
        url=result.run.url,
        header=settings.LEAP_WEBHOOK_HEADER,
        key=next(iter(settings.LEAP_WEBHOOK_KEYS), ""),
    )
    try:
        scenario = find_scenario(result.scenario)
        outcome = play(scenario, target=target, label=f"{run_id}-{result.position}", seed=result.position)
    except Exception as error:  # one scenario's failure is a finding, and the others still tell something
        logger.exception("Certification scenario %s could not be played", result.scenario)
        outcome = _not_played(error)
    finally:
        if not result.run.is_kept:
            remove_everything()
    _store(result, outcome, now=timezone.now())
    return result


def play_waiting(*, now: datetime) -> str:
    """Play the next scenario of the run that workers play, if there is one; return what was done.

    What a run left whose process died is removed first.
    """
    if end_dead_runs(now=now):
        clean(now=now)
    run = CertificationRun.objects.filter(state=RunState.RUNNING, is_in_worker=True).first()
    result = play_next(run_id=run.pk, now=now) if run else None
    return f"{result.scenario}: {result.state}" if result else "nothing to play"


def is_over(*, run_id: int) -> bool:
    """Say whether every scenario of the run has been played or skipped."""
    open_states = [ResultState.WAITING, ResultState.PLAYING]
    return not CertificationResult.objects.filter(run=run_id, state__in=open_states).exists()


def abort_run(*, run_id: int, reason: str, now: datetime) -> None:
    """End a run that is under way; what was not played is skipped."""
    with transaction.atomic():
        ended = CertificationRun.objects.filter(pk=run_id, state=RunState.RUNNING).update(
            state=RunState.ABORTED, finished_at=now, touched_at=now, reason=reason
        )
        if ended:
            CertificationResult.objects.filter(
                run=run_id, state__in=[ResultState.WAITING, ResultState.PLAYING]
            ).update(state=ResultState.SKIPPED)


def end_dead_runs(*, now: datetime) -> int:
    """End the run of a process that died; return how many there were."""
    silent = CertificationRun.objects.filter(state=RunState.RUNNING, touched_at__lt=now - DEAD_AFTER)
    dead = list(silent.values_list("pk", flat=True))
    for run_id in dead:
        abort_run(run_id=run_id, reason="Its process stopped before the end.", now=now)
    return len(dead)


def clean(*, now: datetime) -> int:
    """Remove what runs left behind, unless one is playing; return how many meters went."""
    end_dead_runs(now=now)
    playing = CertificationResult.objects.filter(state=ResultState.PLAYING, run__state=RunState.RUNNING)
    if playing.exists() or not is_anything_left():
        return 0
    return remove_everything()


def _claim_next(run_id: int, *, now: datetime) -> CertificationResult | None:
    waiting = CertificationResult.objects.filter(
        run=run_id, run__state=RunState.RUNNING, state=ResultState.WAITING
    )
    result = waiting.select_related("run").order_by("position").first()
    if result is None:
        return None
    with transaction.atomic():
        claim = CertificationResult.objects.filter(pk=result.pk, state=ResultState.WAITING)
        if not claim.update(state=ResultState.PLAYING, started_at=now):
            return None
        CertificationRun.objects.filter(pk=run_id).update(touched_at=now)
    return result


def _not_played(error: Exception) -> Outcome:
    finding = Finding("Played", f"It broke off. {type(error).__name__}: {error}", is_passed=False)
    return Outcome(findings=(finding,), timings=Timings(), notifications=0, events=0, is_searched=False)


def _store(result: CertificationResult, outcome: Outcome, *, now: datetime) -> None:
    result.state = ResultState.PASSED if outcome.is_passed else ResultState.FAILED
    result.finished_at = now
    result.checks = [_as_check(finding) for finding in outcome.findings]
    result.notifications = outcome.notifications
    result.events = outcome.events
    result.is_searched = outcome.is_searched
    for name, seconds in asdict(outcome.timings).items():
        setattr(result, f"{name}_seconds", seconds)
    result.save()
    CertificationRun.objects.filter(pk=result.run_id).update(touched_at=now)
    if _is_hopeless(result):
        abort_run(run_id=result.run_id, reason=HOPELESS, now=now)
    if is_over(run_id=result.run_id):
        _finish(result.run_id, now=now)


def _is_hopeless(result: CertificationResult) -> bool:
    """Say whether the portal kept up with none of the latest scenarios."""
    recent = CertificationResult.objects.filter(run=result.run_id, position__lte=result.position)
    latest = list(recent.order_by("-position").values_list("checks", flat=True)[:MOST_OUT_OF_TIME])
    late = [checks for checks in latest if any(check["name"] == IN_TIME for check in checks)]
    return len(late) == MOST_OUT_OF_TIME


def _as_check(finding: Finding) -> dict[str, object]:
    return {"name": finding.name, "passed": finding.is_passed, "sentence": finding.sentence}


def _finish(run_id: int, *, now: datetime) -> None:
    """End the run once nothing of it is left to play."""
    if not is_over(run_id=run_id):
        return
    results = CertificationResult.objects.filter(run=run_id)
    is_passed = not results.exclude(state=ResultState.PASSED).exists()
    CertificationRun.objects.filter(pk=run_id, state=RunState.RUNNING).update(
        state=RunState.PASSED if is_passed else RunState.FAILED, finished_at=now, touched_at=now
    )


def _own_version() -> str:
    """Return the version in the project's own file: the portal runs from its source tree."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])
