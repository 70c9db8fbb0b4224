"""Replays of policies: those of one policy, and one of them with what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final

from dispatch.reading import words
from dispatch.reading.policies import in_words
from dispatch.reading.replay_chart import DayChart, build_day_chart
from dispatch.reading.replay_words import Turns, delivered, energy, headline, turns
from dispatch.replay_models import OPEN_STATES, Baseline, PolicyReplay, ReplayScope, ReplayState

WORST_DAYS: Final = 3
VERDICTS: Final = {
    ReplayState.WAITING: "plain",
    ReplayState.RUNNING: "plain",
    ReplayState.DONE: "ok",
    ReplayState.FAILED: "bad",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One replay in a list."""

    id: int
    label: str
    days: str
    state: str
    verdict: str
    energy: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: a program, day, event or device, before and after, and why."""

    title: str
    turns: Turns
    under: str = ""
    address: str = ""
    asked: str = ""
    reason: str = ""
    is_new_reason: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a replay, ready to be shown."""

    headline: str
    is_empty: bool
    turns: Turns
    asked: str
    events: str
    others: str
    late_events: int
    chart: DayChart | None
    programs: tuple[Line, ...]
    days: tuple[Line, ...]
    worst: tuple[Line, ...]
    changed_events: tuple[Line, ...]
    changed_devices: tuple[Line, ...]
    reasons: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One replay. `compared`: with what, in words. `rest`: what this policy was compared with before."""

    replay: PolicyReplay
    policy_name: str
    days: str
    whom: str
    compared: str
    says: tuple[str, ...]
    is_open: bool
    is_failed: bool
    answer: Answer | None


def read_rows(policy_id: int, *, zone: tzinfo) -> tuple[Row, ...]:
    """Read a policy's replays, newest first. One query."""
    replays = PolicyReplay.objects.filter(policy=policy_id).defer("checkpoint", "content").order_by("-pk")
    return tuple(
        Row(
            id=each.pk,
            label=each.label,
            days=_days_of(each, zone=zone),
            state=f"{each.progress} %" if each.state == ReplayState.RUNNING else each.get_state_display(),
            verdict=VERDICTS[ReplayState(each.state)],
            energy=delivered(each.result["before"], each.result["after"]).change if each.result else "",
        )
        for each in replays
    )


def read_replay(policy_id: int, replay_id: int, *, zone: tzinfo) -> Page:
    """Read one replay. One query.

    Raises:
        PolicyReplay.DoesNotExist: the policy has no such replay, or no more.
    """
    replays = PolicyReplay.objects.select_related("policy").defer("checkpoint")
    replay = replays.get(pk=replay_id, policy=policy_id)
    return Page(
        replay=replay,
        policy_name=replay.policy.name,
        days=_days_of(replay, zone=zone),
        whom=_whom(replay),
        compared="no policy" if replay.baseline == Baseline.NONE else "what is in force now",
        says=in_words(replay.content),
        is_open=replay.state in OPEN_STATES,
        is_failed=replay.state == ReplayState.FAILED,
        answer=_answer(replay, replay.result, zone=zone) if replay.result else None,
    )


def _answer(replay: PolicyReplay, result: Mapping[str, Any], *, zone: tzinfo) -> Answer:
    days = [_day(day) for day in result["days"]]
    return Answer(
        headline=headline(label=replay.label, whom=_whom(replay), result=result),
        is_empty=not result["events"],
        turns=turns(result["before"], result["after"]),
        asked=energy(result["asked_kwh"]),
        events=_events(result),
        others=_others(result["others"]),
        late_events=result["late_events"],
        chart=_chart(replay, result["days"], zone=zone) if days else None,
        programs=tuple(_program(each) for each in result["programs"]),
        days=tuple(line for _, line in days),
        worst=tuple(line for size, line in sorted(days, key=lambda each: -each[0])[:WORST_DAYS] if size),
        changed_events=tuple(_event(each, zone=zone) for each in result["changed_events"]),
        changed_devices=tuple(_device(each) for each in result["changed_devices"]),
        reasons=tuple(
            (each["reason"], _hours(each["before_device_hours"]), _hours(each["after_device_hours"]))
            for each in result["reasons"]
        ),
    )


def _chart(replay: PolicyReplay, days: Sequence[Mapping[str, Any]], *, zone: tzinfo) -> DayChart:
    last = replay.ends_at - timedelta(microseconds=1)
    return build_day_chart(
        days,
        first=replay.starts_at.astimezone(zone).date(),
        last=last.astimezone(zone).date(),
    )


def _whom(replay: PolicyReplay) -> str:
    """Say whom the policy was tried on."""
    if replay.scope == ReplayScope.FLEET:
        return "the fleet"
    if replay.scope == ReplayScope.GIVEN:
        return "those it is given to"
    return replay.target_name


def _days_of(replay: PolicyReplay, *, zone: tzinfo) -> str:
    last = replay.ends_at - timedelta(microseconds=1)
    return f"{words.day(replay.starts_at, zone=zone)} to {words.day(last, zone=zone)}"


def _events(result: Mapping[str, Any]) -> str:
    said = words.counted(result["events"], one="event")
    if result["unnumbered_events"]:
        said += f", {result['unnumbered_events']:,} of them for the maximum"
    if result["cancelled_events"]:
        said += f"; {result['cancelled_events']:,} cancelled"
    return said


def _others(others: Mapping[str, Any]) -> str:
    """Say what those would give who share the events, where it is not what they gave."""
    before, after = others["before"]["delivered_kwh"], others["after"]["delivered_kwh"]
    if before == after:
        return ""
    more = "more" if after > before else "less"
    return f"Others that share its events would have delivered {energy(abs(after - before))} {more}."


def _program(each: Mapping[str, Any]) -> Line:
    asked = energy(each["asked_kwh"]) if each["asked_kwh"] or not each["unnumbered_events"] else "maximum"
    return Line(
        title=each["program"],
        under=words.counted(each["events"], one="event"),
        asked=asked,
        turns=turns(each["before"], each["after"]),
    )


def _day(each: Mapping[str, Any]) -> tuple[float, Line]:
    """Return how much a day changes, and its line."""
    day = date.fromisoformat(each["date"])
    size = abs(each["after"]["delivered_kwh"] - each["before"]["delivered_kwh"])
    return size, Line(
        title=f"{day:%a} {day.day} {day:%b}",
        address=f"/calendar/?view=day&date={day.isoformat()}",
        asked=energy(each["asked_kwh"]),
        reason=each["reason"],
        is_new_reason=each["is_new_reason"],
        turns=turns(each["before"], each["after"]),
    )


def _event(each: Mapping[str, Any], *, zone: tzinfo) -> Line:
    start, end = (datetime.fromisoformat(each[key]) for key in ("starts_at", "ends_at"))
    return Line(
        title=each["program"],
        under=f"{words.day(start, zone=zone)}, {words.window(start, end, zone=zone)}",
        address=f"/events/{each['id']}/",
        reason=each["reason"],
        is_new_reason=each["is_new_reason"],
        turns=turns(each["before"], each["after"]),
    )


def _device(each: Mapping[str, Any]) -> Line:
    return Line(
        title=each["name"],
        under=each["external_id"],
        address=f"/devices/{each['id']}/",
        reason=each["reason"],
        is_new_reason=each["is_new_reason"],
        turns=turns(each["before"], each["after"]),
    )


def _hours(hours: float) -> str:
    return f"{words.number(hours)} h" if hours else "none"
