"""How far a command has come: planned, sent, acknowledged, verified; or what ended it before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from devices.domain.proving import LOOKED_AT_FOR, Verdict


class Step(StrEnum):
    """Where a command stands in the ledger."""

    PLANNED = "PLANNED"
    SENT = "SENT"
    RETRYING = "RETRYING"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    VERIFIED = "VERIFIED"
    DEVIATES = "DEVIATES"
    NOT_PROVEN = "NOT_PROVEN"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"


class Tone(StrEnum):
    """How loudly a step is shown."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Told:
    """A command as far as the ledger asks.

    `state` is a stored state's name. `is_restore`: it returns a device that may run to normal. `is_refused`:
    the last answer was a refusal. `is_provable`: the device reads back, or a proof was begun.
    `verdict`: of its proof, None while there is none. Times are UTC.
    """

    state: str
    tries: int = 0
    is_restore: bool = False
    is_refused: bool = False
    is_provable: bool = False
    verdict: Verdict | None = None
    due_at: datetime | None = None


def step_of(told: Told, *, now: datetime) -> Step:
    """Return how far a command has come at `now`."""
    if told.state in (Step.EXPIRED, Step.SUPERSEDED):
        return Step(told.state)
    if told.state == Step.FAILED:
        return Step.REJECTED if told.is_refused else Step.FAILED
    if told.state == Step.ACKNOWLEDGED:
        return _accepted(told, now=now)
    if told.tries > 1 or (told.tries and told.state == "PENDING"):
        return Step.RETRYING
    return Step.SENT if told.tries else Step.PLANNED


def _accepted(told: Told, *, now: datetime) -> Step:
    if told.verdict is Verdict.PROVEN:
        return Step.VERIFIED
    if told.verdict is Verdict.DEVIATES:
        return Step.DEVIATES
    return Step.NOT_PROVEN if _is_unproven(told, now=now) else Step.ACKNOWLEDGED


def _is_unproven(told: Told, *, now: datetime) -> bool:
    """Say whether a device should be back to normal, could show it, and has not."""
    if not told.is_restore or not told.is_provable or told.due_at is None:
        return False
    return told.due_at <= now < told.due_at + LOOKED_AT_FOR


TONES: Final = {
    Step.PLANNED: Tone.PLAIN,
    Step.SENT: Tone.WARN,
    Step.RETRYING: Tone.WARN,
    Step.ACKNOWLEDGED: Tone.PLAIN,
    Step.VERIFIED: Tone.OK,
    Step.DEVIATES: Tone.BAD,
    Step.NOT_PROVEN: Tone.BAD,
    Step.REJECTED: Tone.BAD,
    Step.FAILED: Tone.BAD,
    Step.EXPIRED: Tone.BAD,
    Step.SUPERSEDED: Tone.PLAIN,
}


def tone_of(told: Told, *, now: datetime) -> Tone:
    """Return how loudly a command is shown: a return to normal that is due is red until it is proven.

    One that the device took and that nothing could ever prove is left as acknowledged.
    """
    step = step_of(told, now=now)
    is_open = step in (Step.PLANNED, Step.SENT, Step.RETRYING)
    if told.is_restore and is_open and told.due_at is not None and told.due_at <= now:
        return Tone.BAD
    return TONES[step]
