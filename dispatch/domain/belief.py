"""Which of the things Leap said is true now.

Leap's bodies carry no number, no time and no signature, and are retried for 50 minutes: an old one can
arrive after a newer one, and nothing in it tells. So a body that says what was already superseded is
*suspect*: the current state is kept and Leap's search is the referee.
Source: Leap, "Retry mechanism" (every minute, 50 times) and "Dispatch Event Polling".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from dispatch.domain.revisions import EventFields, Kind, Test, is_ended_early_after, kind_of_change


class Source(StrEnum):
    """Who says so."""

    WEBHOOK = "WEBHOOK"
    POLL = "POLL"
    OPERATOR = "OPERATOR"


class Outcome(StrEnum):
    """What one timeslot led to."""

    CREATED = "CREATED"
    REVISED = "REVISED"
    REPEATED = "REPEATED"
    SUSPECT = "SUSPECT"
    CONFIRMED = "CONFIRMED"
    QUARANTINED = "QUARANTINED"


class Verdict(StrEnum):
    """How an open doubt ends: what was held stays, what was doubted is taken, or newer news makes it moot."""

    KEPT = "KEPT"
    TAKEN = "TAKEN"
    OVERTAKEN = "OVERTAKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A version that may be the true one instead of the one held."""

    fields: EventFields
    why: str
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the portal holds about one event. `superseded`: digest → number of each older revision."""

    fields: EventFields
    revision: int
    received_at: datetime
    is_ended_early: bool = False
    superseded: Mapping[str, int] = field(default_factory=dict)
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One timeslot as heard at `at`. For a search that is when Leap was asked, not when it answered."""

    fields: EventFields
    source: Source
    at: datetime
    is_replay: bool = False
    is_contradicted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an arrival leads to: what is held afterwards and, where given, a revision or a settled doubt."""

    outcome: Outcome
    held: Held
    reason: str = ""
    kind: Kind | None = None
    verdict: Verdict | None = None


def judge(held: Held | None, arrival: Arrival, *, may_ask: bool) -> Judgement:
    """Return what the arrival leads to.

    `may_ask`: Leap's search can be asked. Without it a cancellation and an early end stay, and
    otherwise the last arrival wins; either way the event is unconfirmed until somebody settles it.
    """
    if held is None:
        return _create(arrival)
    if arrival.fields.test == Test.INTEGRATION and held.fields.test != Test.INTEGRATION:
        reason = "An integration test that carries the id of a real event changes nothing."
        return Judgement(outcome=Outcome.QUARANTINED, held=held, reason=reason)
    if arrival.source is Source.POLL:
        return _hear_the_search(held, arrival)
    if arrival.fields.digest == held.fields.digest:
        return Judgement(outcome=Outcome.REPEATED, held=held)
    if arrival.source is Source.OPERATOR:
        return _revise(held, arrival, verdict=_verdict_of(held, arrival))
    why = suspicion(held, arrival)
    if not why:
        return _revise(held, arrival, verdict=Verdict.OVERTAKEN if held.doubt else None)
    if may_ask or _stays(held, arrival):
        return _doubt(held, arrival, why=why)
    return _take_though_suspect(held, arrival, why=why)


def suspicion(held: Held, arrival: Arrival) -> str:
    """Return why the arrival may be older than what is held, as one sentence; "" when nothing says so."""
    if arrival.is_contradicted:
        return "Another timeslot of the same body says something else about this event."
    if arrival.fields.digest in held.superseded:
        return f"It says what revision {held.superseded[arrival.fields.digest]} said, which was superseded."
    if held.fields.is_cancelled and arrival.fields.cancelled().digest == held.fields.digest:
        return "It says what was cancelled, as if it had not been: a late original looks the same."
    if arrival.is_replay and arrival.at < held.received_at:
        return "It was received before what is held."
    return ""


def _create(arrival: Arrival) -> Judgement:
    # A cancellation of an event never seen is kept, so that its late original cannot revive it.
    kind = Kind.CANCELLED if arrival.fields.is_cancelled else Kind.CREATED
    held = Held(fields=arrival.fields, revision=1, received_at=arrival.at)
    return Judgement(outcome=Outcome.CREATED, held=held, kind=kind)


def _hear_the_search(held: Held, arrival: Arrival) -> Judgement:
    """Leap's search is right about everything it was asked after."""
    is_same = arrival.fields.digest == held.fields.digest
    is_outdated = arrival.at < held.received_at or (
        held.doubt is not None and arrival.at < held.doubt.raised_at
    )
    if is_outdated:
        reason = "" if is_same else "Newer news arrived after this was asked; the next search decides."
        return Judgement(outcome=Outcome.REPEATED, held=held, reason=reason)
    if not is_same:
        return _revise(held, arrival, verdict=_verdict_of(held, arrival))
    if held.doubt is None:
        return Judgement(outcome=Outcome.REPEATED, held=held)
    settled = replace(held, doubt=None)
    return Judgement(outcome=Outcome.CONFIRMED, held=settled, verdict=Verdict.KEPT)


def _verdict_of(held: Held, arrival: Arrival) -> Verdict | None:
    if held.doubt is None:
        return None
    is_taken = held.doubt.fields.digest == arrival.fields.digest
    return Verdict.TAKEN if is_taken else Verdict.OVERTAKEN


def _revise(held: Held, arrival: Arrival, *, verdict: Verdict | None) -> Judgement:
    kind = kind_of_change(held.fields, arrival.fields, at=arrival.at)
    is_ended_early = is_ended_early_after(kind, old=held.fields, new=arrival.fields, was=held.is_ended_early)
    after = Held(
        fields=arrival.fields,
        revision=held.revision + 1,
        received_at=arrival.at,
        is_ended_early=is_ended_early,
        superseded={**held.superseded, held.fields.digest: held.revision},
    )
    return Judgement(outcome=Outcome.REVISED, held=after, kind=kind, verdict=verdict)


def _stays(held: Held, arrival: Arrival) -> bool:
    is_stopped = held.fields.is_cancelled or held.is_ended_early
    return is_stopped or arrival.is_replay or arrival.is_contradicted


def _doubt(held: Held, arrival: Arrival, *, why: str) -> Judgement:
    is_known = held.doubt is not None and held.doubt.fields.digest == arrival.fields.digest
    if is_known:
        return Judgement(outcome=Outcome.SUSPECT, held=held, reason=why)
    doubt = Doubt(fields=arrival.fields, why=why, raised_at=arrival.at)
    verdict = Verdict.OVERTAKEN if held.doubt else None
    return Judgement(outcome=Outcome.SUSPECT, held=replace(held, doubt=doubt), reason=why, verdict=verdict)


def _take_though_suspect(held: Held, arrival: Arrival, *, why: str) -> Judgement:
    """Let the last arrival win, and keep what it displaced as the doubt: only a person can tell."""
    judgement = _revise(held, arrival, verdict=Verdict.OVERTAKEN if held.doubt else None)
    reason = f"{why} Leap's search cannot tell, so the last arrival wins."
    doubt = Doubt(fields=held.fields, why=reason, raised_at=arrival.at)
    return replace(judgement, held=replace(judgement.held, doubt=doubt), reason=reason)
