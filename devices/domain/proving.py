"""Does a device do what it was told, by what it says it takes and gives?

Power is kW at the device: what it takes from the grid is positive, what it gives negative. Times are UTC.
Targets are as in a segment: kW reduced or given, None for the most the device can manage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from devices.domain.schedule import Mode
from devices.domain.wording import clock, figure, kw

TOLERANCE: Final = Decimal("0.1")
"""Part of the target by which a device may miss it: what meters of small devices and ramps leave open."""
LEAST_TOLERANCE_KW: Final = Decimal("0.1")
"""Standby, and the last digit of what devices say."""
WAVERS_BY: Final = Decimal("0.15")
"""Part of what a load took before by which it may have come to take more or less by itself."""
MOST_AT_LEAST: Final = Decimal("0.5")
"""Part of its rating that storage exports when the most it can was asked; what it can is not known better."""
SETTLES_WITHIN: Final = timedelta(minutes=2)
"""How long a device without a ramp may take until it counts."""
MEAN_OVER: Final = timedelta(minutes=2)
"""Over how long a settled device's power is averaged, so that one odd reading is no alarm."""
CYCLES_WITHIN: Final = timedelta(minutes=10)
"""The same for loads that say no mode: a thermostat that is told to take less is still on at times."""
SILENT_AFTER: Final = timedelta(minutes=5)
LOOKED_AT_FOR: Final = timedelta(hours=24)
"""How long after its time a return to normal is looked at; from then on nothing more is learnt of it."""
SOONEST_LOOK: Final = timedelta(seconds=15)
LATEST_LOOK: Final = timedelta(minutes=15)
LOOK_WHILE_PROVEN: Final = timedelta(minutes=1)


class Verdict(StrEnum):
    """What is known of a device that was told something."""

    AWAITED = "AWAITED"
    PROVEN = "PROVEN"
    DEVIATES = "DEVIATES"
    UNKNOWN = "UNKNOWN"


class How(StrEnum):
    """What a verdict rests on: the device was asked what it holds, or said what it takes and gives."""

    READ_BACK = "READ_BACK"
    TELEMETRY = "TELEMETRY"


@dataclass(frozen=True, slots=True)
class Said:
    """What a device said at a time; `mode` in its words, "" if it says none."""

    at: datetime
    power_kw: Decimal
    mode: str = ""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a device held when it was asked, in words."""

    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device was told: to run, or (`is_normal`) to be as usual again after such a run.

    `since`: from when on; `settles_at`: from when on it counts. `baseline_kw`: its mean power over the
    quarter of an hour before the run; None if that is not known. `may_be_empty`: what it does depends on a
    car that comes and goes.
    """

    is_normal: bool
    mode: Mode
    target_kw: Decimal | None
    rated_kw: Decimal
    since: datetime
    settles_at: datetime
    baseline_kw: Decimal | None
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the sentence that operators read. `how` is None where nothing is known."""

    verdict: Verdict
    sentence: str
    measured_kw: Decimal | None = None
    how: How | None = None


def judge(
    asked: Asked,
    *,
    said: Sequence[Said],
    last_said_at: datetime | None,
    read_back: ReadBack | None,
    now: datetime,
) -> Judgement:
    """Say whether a device does what it was told.

    `said`: its readings of the last minutes, oldest first; `last_said_at`: of the newest ever, None if there
    is none. A read-back since it was told proves at once; only measured power that has settled and is
    another outweighs it.
    """
    held = read_back if read_back and read_back.at >= asked.since else None
    measured = _measure(asked, said=said, now=now)
    seen = _compare(asked, measured, is_held=held is not None) if measured else None
    if measured and seen and _outweighs(seen, held=held, is_settled=measured.at >= asked.settles_at):
        return seen
    if held:
        power = measured.power_kw if measured else None
        return Judgement(Verdict.PROVEN, held.words or "It holds what it was told.", power, How.READ_BACK)
    return _without_proof(asked, last_said_at=last_said_at, now=now)


def _outweighs(seen: Judgement, *, held: ReadBack | None, is_settled: bool) -> bool:
    if seen.verdict is Verdict.PROVEN:
        return True
    return is_settled and (held is None or seen.verdict is Verdict.DEVIATES)


def _without_proof(asked: Asked, *, last_said_at: datetime | None, now: datetime) -> Judgement:
    silent_since = max(asked.settles_at, last_said_at or asked.settles_at)
    if now < asked.settles_at:
        return Judgement(Verdict.AWAITED, f"Judged from {clock(asked.settles_at)} on.")
    if now < silent_since + SILENT_AFTER:
        return Judgement(
            Verdict.AWAITED, f"No reading of it yet; awaited until {clock(silent_since + SILENT_AFTER)}."
        )
    return Judgement(Verdict.UNKNOWN, _silence(last_said_at, now=now))


def _silence(last_said_at: datetime | None, *, now: datetime) -> str:
    if last_said_at is None:
        return "Never said what it takes."
    day = "" if now - last_said_at < timedelta(hours=12) else f"{last_said_at.astimezone(UTC):%Y-%m-%d} "
    return f"Said nothing since {day}{clock(last_said_at)}."


@dataclass(frozen=True, slots=True)
class _Measured:
    at: datetime
    power_kw: Decimal
    mode: str


def _measure(asked: Asked, *, said: Sequence[Said], now: datetime) -> _Measured | None:
    """Return the newest reading before it has settled, the mean of the last minutes from then on."""
    counted = [each for each in said if each.at >= asked.since]
    if not counted or counted[-1].at <= now - SILENT_AFTER:
        return None
    latest = counted[-1]
    begin = latest.at - _mean_over(asked, latest)
    settled = [each for each in counted if each.at >= asked.settles_at and each.at > begin]
    if not settled:
        return _Measured(latest.at, latest.power_kw, latest.mode)
    mean = sum((each.power_kw for each in settled), Decimal(0)) / len(settled)
    return _Measured(latest.at, mean.quantize(Decimal("0.001")), latest.mode)


def _mean_over(asked: Asked, latest: Said) -> timedelta:
    is_load = asked.mode not in {Mode.DISCHARGE, Mode.EXPORT}
    return CYCLES_WITHIN if is_load and not latest.mode else MEAN_OVER


def _compare(asked: Asked, measured: _Measured, *, is_held: bool) -> Judgement:
    is_storage = asked.mode in {Mode.DISCHARGE, Mode.EXPORT}
    if measured.mode == "normal":
        again = " again" if asked.is_normal else ""
        verdict = _verdict(is_right=asked.is_normal)
        text = f"Says that it works as usual{again}; {_does(measured.power_kw)}."
    elif asked.is_normal:
        verdict, text = (_restored_storage if is_storage else _restored_load)(asked, measured)
    elif is_storage:
        verdict, text = _giving(asked, measured)
    else:
        verdict, text = _taking_less(asked, measured, is_held=is_held)
    return Judgement(verdict, text, measured.power_kw, How.TELEMETRY)


def _giving(asked: Asked, measured: _Measured) -> tuple[Verdict, str]:
    """Judge storage that was told to give."""
    gives = -measured.power_kw
    begin = _begin(measured.power_kw)
    if asked.target_kw is None and asked.mode is Mode.DISCHARGE:
        return _verdict(is_right=gives >= LEAST_TOLERANCE_KW), f"{begin}; it was to follow the site's load."
    if asked.target_kw is None:
        is_enough = gives >= max(asked.rated_kw * MOST_AT_LEAST, LEAST_TOLERANCE_KW)
        text = f"{begin}; the most it can was asked, rated {kw(asked.rated_kw)}."
        return _verdict(is_right=is_enough), text
    is_right = abs(gives - asked.target_kw) <= tolerance(asked.target_kw)
    if gives < 0 or is_as_good_as_nothing(gives):
        return _verdict(is_right=is_right), f"{begin}; it was to give {kw(asked.target_kw)}."
    return _verdict(is_right=is_right), f"Gives {figure(gives)} of {kw(asked.target_kw)}."


def _taking_less(asked: Asked, measured: _Measured, *, is_held: bool) -> tuple[Verdict, str]:
    """Judge a load that was told to take less; one that takes nothing can take no less.

    What it would take otherwise is known from before only, so as far as that wavers is no deviation.
    Chargers and the like are told as a limit, what is left of their rating. To keep to it is enough for one
    that took less than it is to shed, such as a charger without a car, and for one found to hold it.
    """
    power, before = measured.power_kw, asked.baseline_kw
    does = _begin(power)
    if before is None:
        if power <= LEAST_TOLERANCE_KW:
            return Verdict.PROVEN, f"{does}."
        is_said = measured.mode == Mode.CURTAIL.lower()
        word = "says that it curtails, and " if is_said else ""
        verdict = Verdict.PROVEN if is_said else Verdict.UNKNOWN
        return verdict, f"{does}; {word}what it took before is not known."
    wanted = _wanted_kw(asked, before=before)
    allowed = max(tolerance(wanted), _wavers_by(before, wanted=wanted))
    less = before - power
    text = f"{does}, {kw(abs(less))} {'less' if less >= 0 else 'more'} than before"
    if less >= wanted - allowed:
        return Verdict.PROVEN, f"{text}."
    left_kw = asked.rated_kw - wanted
    is_limited = asked.target_kw is not None and (is_held or before < wanted - tolerance(wanted))
    if is_limited and LEAST_TOLERANCE_KW < power <= left_kw + tolerance(wanted):
        return Verdict.PROVEN, f"{text}; up to {kw(left_kw)} is left to it."
    asked_for = (
        "it was to take as little as it can" if asked.target_kw is None else f"{kw(wanted)} less was asked"
    )
    is_off = power <= LEAST_TOLERANCE_KW
    return _verdict(is_right=is_off), f"{text}; {asked_for}."


def _restored_storage(asked: Asked, measured: _Measured) -> tuple[Verdict, str]:
    power = measured.power_kw
    if power < -tolerance(asked.rated_kw if asked.target_kw is None else asked.target_kw):
        return Verdict.DEVIATES, f"Still gives {kw(-power)}."
    return Verdict.PROVEN, f"Gives no more; {_does(power)}."


def _restored_load(asked: Asked, measured: _Measured) -> tuple[Verdict, str]:
    power, before = measured.power_kw, asked.baseline_kw
    does = _begin(power)
    if before is None:
        is_back = asked.target_kw is None and power > LEAST_TOLERANCE_KW
        verdict = Verdict.PROVEN if is_back else Verdict.UNKNOWN
        return verdict, f"{does} again." if is_back else f"{does}; what it took before is not known."
    wanted = min(_wanted_kw(asked, before=before), before)
    if power >= before - max(tolerance(before), wanted / 2):
        return Verdict.PROVEN, f"{does} again; {kw(before)} before."
    if asked.may_be_empty and is_as_good_as_nothing(power):
        return Verdict.AWAITED, f"{does}, as without a car; proven once it takes something again."
    return Verdict.DEVIATES, f"{does}; {kw(before)} before the run."


def _wanted_kw(asked: Asked, *, before: Decimal) -> Decimal:
    """Return by how much less a load was to take; all it took, where that was the most it can."""
    return min(asked.rated_kw, before) if asked.target_kw is None else asked.target_kw


def _wavers_by(before: Decimal, *, wanted: Decimal) -> Decimal:
    """Return how far what a load would take otherwise may be from what it took before, hours ago."""
    return min(before * WAVERS_BY, wanted / 2)


def next_look_at(asked: Asked, verdict: Verdict, *, now: datetime) -> datetime | None:
    """Return when to look again; None where nothing more is to be learnt.

    A run is looked at until it ends. The return to normal is looked at until it is proven, at growing pauses
    and for a day.
    """
    if not asked.is_normal:
        return now + (LOOK_WHILE_PROVEN if verdict is Verdict.PROVEN else SOONEST_LOOK)
    if verdict is Verdict.PROVEN or now >= asked.since + LOOKED_AT_FOR:
        return None
    if now < asked.since:
        return asked.since
    return now + min(max((now - asked.since) / 10, SOONEST_LOOK), LATEST_LOOK)


def settles_at(*, since: datetime, ramp_seconds: int | None) -> datetime:
    """Return from when on a device that was told something at `since` counts."""
    return since + (timedelta(seconds=ramp_seconds) if ramp_seconds else timedelta(0)) + SETTLES_WITHIN


def tolerance(target_kw: Decimal) -> Decimal:
    """Return by how many kW a target may be missed.

    >>> tolerance(Decimal("4.5")), tolerance(Decimal("0.2"))
    (Decimal('0.45'), Decimal('0.1'))
    """
    return max(target_kw * TOLERANCE, LEAST_TOLERANCE_KW)


def is_as_good_as_nothing(power_kw: Decimal) -> bool:
    """Say whether a device neither takes nor gives anything that counts."""
    return abs(power_kw) < LEAST_TOLERANCE_KW / 2


def _does(power_kw: Decimal) -> str:
    if is_as_good_as_nothing(power_kw):
        return "takes and gives nothing"
    return f"takes {kw(power_kw)}" if power_kw > 0 else f"gives {kw(-power_kw)}"


def _begin(power_kw: Decimal) -> str:
    does = _does(power_kw)
    return does[0].upper() + does[1:]


def _verdict(*, is_right: bool) -> Verdict:
    return Verdict.PROVEN if is_right else Verdict.DEVIATES
