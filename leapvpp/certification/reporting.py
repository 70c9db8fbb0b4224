"""The report of a run as text for a terminal and as Markdown to be kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from leapvpp.models import CertificationResult, CertificationRun, ResultState, RunState

WORDS = {
    ResultState.PASSED: "passed",
    ResultState.FAILED: "FAILED",
    ResultState.SKIPPED: "not played",
    ResultState.WAITING: "waiting",
    ResultState.PLAYING: "playing",
}


VERDICTS = {
    ResultState.PASSED: "ok",
    ResultState.FAILED: "bad",
    ResultState.SKIPPED: "plain",
    ResultState.WAITING: "plain",
    ResultState.PLAYING: "plain",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario of a report."""

    title: str
    scenario: str
    state: str
    verdict: str
    words: str
    checks: Sequence[dict[str, object]]
    passed: int
    notifications: int
    events: int
    is_searched: bool
    recorded: str
    planned: str
    acknowledged: str


@dataclass(frozen=True, slots=True)
class Report:
    """A run with its numbers; seconds are medians over the scenarios that were measured."""

    run: CertificationRun
    rows: Sequence[Row]
    passed: int
    failed: int
    done: int
    checks: int
    checks_passed: int
    recorded: str
    planned: str
    acknowledged: str

    @property
    def is_running(self) -> bool:
        """Say whether more is to come."""
        return self.run.state == RunState.RUNNING

    @property
    def verdict(self) -> str:
        """Name the chip that suits the run's state."""
        return {RunState.PASSED: "ok", RunState.FAILED: "bad"}.get(RunState(self.run.state), "warn")


def read_report(run: CertificationRun) -> Report:
    """Return a run's report. One query."""
    results = list(run.results.order_by("position"))
    rows = [_as_row(result) for result in results]
    return Report(
        run=run,
        rows=rows,
        passed=sum(row.state == ResultState.PASSED for row in rows),
        failed=sum(row.state == ResultState.FAILED for row in rows),
        done=sum(row.state in (ResultState.PASSED, ResultState.FAILED) for row in rows),
        checks=sum(len(row.checks) for row in rows),
        checks_passed=sum(row.passed for row in rows),
        recorded=_median(result.recorded_seconds for result in results),
        planned=_median(result.planned_seconds for result in results),
        acknowledged=_median(result.acknowledged_seconds for result in results),
    )


def _as_row(result: CertificationResult) -> Row:
    state = ResultState(result.state)
    return Row(
        title=result.title,
        scenario=result.scenario,
        state=state,
        verdict=VERDICTS[state],
        words=state.label,
        checks=result.checks,
        passed=sum(check["passed"] for check in result.checks),
        notifications=result.notifications,
        events=result.events,
        is_searched=result.is_searched,
        recorded=seconds(result.recorded_seconds),
        planned=seconds(result.planned_seconds),
        acknowledged=seconds(result.acknowledged_seconds),
    )


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return seconds(median(known) if known else None)


def line_of(result: CertificationResult) -> str:
    """Return a result as one line of a terminal, failures below it."""
    passed = sum(check["passed"] for check in result.checks)
    line = (
        f"{result.scenario:28} {WORDS[ResultState(result.state)]:10} {passed:2} of {len(result.checks):2}"
        f"  {seconds(result.recorded_seconds):>8} {seconds(result.planned_seconds):>8}"
        f" {seconds(result.acknowledged_seconds):>12}"
    )
    return "\n".join([line, *(f"    {check['name']}: {check['sentence']}" for check in failures(result))])


def heading() -> str:
    """Return the line above the results."""
    return f"{'Scenario':28} {'Result':10} {'Checks':8}  {'recorded':>8} {'planned':>8} {'acknowledged':>12}"


def failures(result: CertificationResult) -> list[dict[str, str]]:
    """Return the checks that did not pass."""
    return [check for check in result.checks if not check["passed"]]


def summary(run: CertificationRun, results: Sequence[CertificationResult]) -> str:
    """Return the run's result in one sentence."""
    passed = sum(result.state == ResultState.PASSED for result in results)
    checks = [check for result in results for check in result.checks]
    good = sum(check["passed"] for check in checks)
    said = f"{passed} of {len(results)} scenarios and {good} of {len(checks)} checks passed"
    took = f" in {(run.finished_at - run.started_at).total_seconds():.0f} s" if run.finished_at else ""
    return f"{said}{took}.{' ' + run.reason if run.reason else ''}"


def seconds(value: float | None) -> str:
    """Return a duration such as "0.41 s", or a dash where nothing was measured."""
    return "–" if value is None else f"{value:.2f} s"


def as_markdown(run: CertificationRun, results: Sequence[CertificationResult]) -> str:
    """Return the whole report as a Markdown document."""
    lines = [
        "# Certification report",
        "",
        f"**{run.get_state_display()}.** {summary(run, results)}",
        "",
        f"Run {run.pk}, begun {_moment(run.started_at)}, against `{run.url}`"
        f" (version {run.version}, {run.database}). Seconds are medians from the answered post.",
        "",
        "| Scenario | Result | Checks | Posts | Events | Search | Recorded | Planned | Acknowledged |",
        "|---|---|---|---:|---:|---|---:|---:|---:|",
        *(_row(result) for result in results),
    ]
    for result in results:
        lines += [
            "",
            f"## {result.title}",
            "",
            f"`{result.scenario}`: {WORDS[ResultState(result.state)]}",
            "",
        ]
        lines += [
            f"- {'✓' if check['passed'] else '✕'} **{check['name']}.** {check['sentence']}"
            for check in result.checks
        ]
    return "\n".join(lines) + "\n"


def _row(result: CertificationResult) -> str:
    passed = sum(check["passed"] for check in result.checks)
    cells = [
        result.title,
        WORDS[ResultState(result.state)],
        f"{passed} of {len(result.checks)}",
        str(result.notifications),
        str(result.events),
        "asked" if result.is_searched else "not needed",
        seconds(result.recorded_seconds),
        seconds(result.planned_seconds),
        seconds(result.acknowledged_seconds),
    ]
    return f"| {' | '.join(cells)} |"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
