"""What about a device needs a person, what to raise and clear, and the words of the messages about it.

Power is kW, times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from devices.domain.proving import Verdict
from devices.domain.wording import clock, one_line

BEFORE_A_RUN: Final = timedelta(minutes=15)
"""How long before a run an offline device is an alert: enough to go and look, too short to be routine."""
RESTORED_WITHIN: Final = timedelta(minutes=5)
SAME_WITHIN: Final = timedelta(minutes=10)
"""An alert that comes back so soon after it cleared is the same one: nobody is told, or asked, again."""
MESSAGE_EVERY: Final = timedelta(minutes=1)
"""A herd that fails together makes one message of a kind, and the stragglers one more."""
MOST_LINES: Final = 20
LONGEST_SUBJECT: Final = 200
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=5)
TRIED_FOR: Final = timedelta(days=3)


class Kind(StrEnum):
    """What can be wrong with a device."""

    FAILED = "FAILED"
    UNVERIFIED = "UNVERIFIED"
    OFFLINE_BEFORE_EVENT = "OFFLINE_BEFORE_EVENT"
    NOT_RESTORED = "NOT_RESTORED"
    CHANGED_BY_OTHERS = "CHANGED_BY_OTHERS"


Key = tuple[int, Kind]
"""A device and a kind: at most one alert of it is open."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A proof that is not proven, or of a device that was found changed.

    `found_changed`: by whom and how, in words; put right since. `was_proven`: the proof was, at some time.
    """

    device_id: int
    is_normal: bool
    verdict: Verdict
    sentence: str
    since: datetime
    found_changed: str
    was_proven: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the devices at a time, by device.

    `failing`: with something to do and the words of the last failure. `offline`: when the next run of
    a device that is offline begins, or began. `unrestored`: since when a command to stop was to be taken, and
    what came of it.
    """

    failing: Mapping[int, str]
    offline: Mapping[int, datetime]
    doubtful: Sequence[Doubtful]
    unrestored: Mapping[int, tuple[datetime, str]]


def wrong_now(facts: Facts, *, now: datetime) -> dict[Key, str]:
    """Return what is wrong at `now`, in words.

    What follows from something else is not said twice: a device that takes no command is not also called
    offline, and neither is called unverified.
    """
    found: dict[Key, str] = {}
    for device_id, words in facts.failing.items():
        found[device_id, Kind.FAILED] = words or "It refused, or does not answer."
    for device_id, begins_at in facts.offline.items():
        if begins_at <= now + BEFORE_A_RUN and device_id not in facts.failing:
            verb = "begins" if begins_at > now else "began"
            found[device_id, Kind.OFFLINE_BEFORE_EVENT] = f"Offline; its run {verb} at {clock(begins_at)}."
    for device_id, (since, words) in facts.unrestored.items():
        if since + RESTORED_WITHIN <= now:
            text = f"Told to go back to normal since {clock(since)}, and did not accept it. {words}"
            found[device_id, Kind.NOT_RESTORED] = text.strip()
    for proof in facts.doubtful:
        if named := _doubt(proof, known=found, now=now):
            kind, text = named
            found.setdefault((proof.device_id, kind), text)
    return found


def _doubt(proof: Doubtful, *, known: Mapping[Key, str], now: datetime) -> tuple[Kind, str] | None:
    if proof.is_normal:
        if proof.verdict is Verdict.AWAITED or proof.since + RESTORED_WITHIN > now:
            return None
        return Kind.NOT_RESTORED, f"{proof.sentence} It was to be as usual from {clock(proof.since)} on."
    if proof.found_changed:
        return Kind.CHANGED_BY_OTHERS, f"{proof.found_changed} {proof.sentence}"
    if proof.verdict is Verdict.DEVIATES and proof.was_proven:
        return Kind.CHANGED_BY_OTHERS, f"It did what it was told, and does not any more. {proof.sentence}"
    if proof.verdict in {Verdict.AWAITED, Verdict.PROVEN} or (proof.device_id, Kind.FAILED) in known:
        return None
    if proof.verdict is Verdict.UNKNOWN and (proof.device_id, Kind.OFFLINE_BEFORE_EVENT) in known:
        return None
    return Kind.UNVERIFIED, proof.sentence


@dataclass(frozen=True, slots=True)
class Held:
    """An open alert: its row and what it says."""

    row_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Turns:
    """What to write: alerts to raise, rows to clear, and rows that say something else now."""

    raised: Mapping[Key, str]
    cleared: tuple[int, ...]
    reworded: Mapping[int, str]


def turns(wrong: Mapping[Key, str], held: Mapping[Key, Held]) -> Turns:
    """Compare what is wrong with the open alerts."""
    return Turns(
        raised={key: text for key, text in wrong.items() if key not in held},
        cleared=tuple(alert.row_id for key, alert in held.items() if key not in wrong),
        reworded={
            alert.row_id: wrong[key]
            for key, alert in held.items()
            if key in wrong and wrong[key] != alert.text
        },
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One alert in a message."""

    device: str
    text: str
    is_cleared: bool = False


def subject_of(label: str, lines: Sequence[Line]) -> str:
    """Return the head of a message about alerts of a kind.

    >>> subject_of("Not verified", [Line("Battery 7", "Gives 3.1 of 4.5 kW.")])
    'Not verified: Battery 7'
    """
    what = lines[0].device if len(lines) == 1 else f"{len(lines)} devices"
    return one_line(f"{label}: {what}", longest=LONGEST_SUBJECT)


def text_of(label: str, lines: Sequence[Line]) -> str:
    """Return a message about alerts of a kind: the first lines, and how many more there are."""
    shown = [
        f"{one_line(line.device)}: {one_line(line.text)}{' Cleared since.' if line.is_cleared else ''}"
        for line in lines[:MOST_LINES]
    ]
    more = len(lines) - len(shown)
    ends = [f"and {more} more."] if more else []
    return "\n".join([f"{subject_of(label, lines)}", *shown, *ends, "See Alerts in the portal."])


def pause(attempts_made: int) -> timedelta:
    """Return how long to wait after so many tries that failed.

    >>> [pause(n).total_seconds() for n in (1, 2, 3, 50)]
    [30.0, 60.0, 120.0, 300.0]
    """
    return min(FIRST_PAUSE * (1 << min(attempts_made - 1, 10)), LONGEST_PAUSE)
