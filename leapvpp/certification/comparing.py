"""What the portal holds beside what Leap's ledger says: one finding per question, in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from leapvpp.certification.expecting import alike, as_words, expected_pieces, remaining_pieces
from leapvpp.certification.observing import HeldEvent, HeldSchedule
from leapvpp.certification.portfolio import Portfolio
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.pusher import Delivery
from leapvpp.leap.values import Level

INTEGRATION = "INTEGRATION"
COMMUNICATION = "COMMUNICATION"
MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question. `sentence` says what was found, and what else was expected."""

    name: str
    sentence: str
    is_passed: bool


def finding(name: str, problems: Sequence[str], *, otherwise: str) -> Finding:
    """Return a finding that passed when there are no problems; the first three are told."""
    if not problems:
        return Finding(name, otherwise, is_passed=True)
    more = f" And {len(problems) - MOST_TOLD} more." if len(problems) > MOST_TOLD else ""
    return Finding(name, " ".join(problems[:MOST_TOLD]) + more, is_passed=False)


def check_deliveries(deliveries: Sequence[Delivery]) -> Finding:
    """Was every body that was posted answered with success?"""
    posted = [each for each in deliveries if each.outcome != "dropped"]
    problems = [
        f"A body of {len(each.event_ids)} events was {each.outcome}: {_last_answer(each)}."
        for each in posted
        if each.outcome != "delivered"
    ]
    if not posted:
        return finding("Webhook", (), otherwise="Nothing was posted: all of it was to be lost.")
    attempts = sum(len(each.attempts) for each in posted)
    said = f"{len(posted)} bodies answered with success in {attempts} posts."
    return finding("Webhook", problems, otherwise=said)


def _last_answer(delivery: Delivery) -> str:
    if not delivery.attempts:
        return "it was not posted in time"
    attempt = delivery.attempts[-1]
    return f"the last of {len(delivery.attempts)} posts met {attempt.status or attempt.answer}"


def check_events(
    held: Sequence[HeldEvent], *, ledger: Sequence[LedgerEvent], portfolio: Portfolio, name: str = "Events"
) -> Finding:
    """Does the portal hold exactly the ledger's events, field by field, besides integration tests?"""
    by_id = {event.leap_event_id: event for event in held}
    problems = []
    for event in ledger:
        if event.event_id in by_id:
            problems += _differences(event, by_id[event.event_id], portfolio=portfolio)
        else:
            problems.append(f"{_told(event, portfolio)} is missing.")
    known = {event.event_id for event in ledger}
    unknown = [each for each in held if each.leap_event_id not in known and each.test != INTEGRATION]
    problems += [f"Event {each.leap_event_id} is held, and Leap knows nothing of it." for each in unknown]
    return finding(name, problems, otherwise=f"All {len(ledger)} events are held as Leap's ledger has them.")


def _differences(event: LedgerEvent, held: HeldEvent, *, portfolio: Portfolio) -> list[str]:
    slot = event.timeslot
    is_group = event.level is Level.GROUP
    pairs = {
        "level": (held.level, event.level.name),
        "recipient": (held.market_group_id, event.recipient_id if is_group else ""),
        "meters": (sorted(held.meter_ids), sorted(set(event.meter_ids))),
        "start": (held.start, slot.start_time),
        "end": (held.end, slot.end_time),
        "cancelled": (held.cancelled, slot.cancelled),
        "energy_kw": (held.energy_kw, slot.energy_kw),
        "nomination_kw": (held.nomination_kw, slot.nomination_kw),
        "priority": (held.priority, slot.priority),
        "is_voluntary": (held.is_voluntary, slot.is_voluntary),
        "performance_compensation_cap": (held.cap, slot.performance_compensation_cap),
        "dispatch_event_types": (held.types, slot.dispatch_event_types),
        "programs": (held.programs, slot.programs),
        "test": (held.test, COMMUNICATION if slot.is_test else ""),
    }
    return [
        f"{_told(event, portfolio)}: {name} is {found}, Leap's ledger says {wanted}."
        for name, (found, wanted) in pairs.items()
        if found != wanted
    ]


def _told(event: LedgerEvent, portfolio: Portfolio) -> str:
    return f"{portfolio.name_of(event.recipient_id)} {event.timeslot.start_time:%d %b %H:%M:%S}"


def check_revisions(held: Sequence[HeldEvent], *, versions: Mapping[str, int]) -> Finding:
    """Was nothing counted twice? `versions`: how many different things Leap said of each event."""
    problems = [
        f"Event {each.leap_event_id} has {each.revision} revisions; Leap said {said} different things."
        for each in held
        if each.revision > (said := versions.get(each.leap_event_id, 1))
    ]
    return finding("Repeats", problems, otherwise="No event has more revisions than Leap told changes.")


def check_confirmation(held: Sequence[HeldEvent], *, doubtful: Collection[str]) -> Finding:
    """Are exactly the doubtful events marked as unconfirmed?"""
    unconfirmed = {each.leap_event_id for each in held if not each.is_confirmed}
    problems = [f"Event {each} should be unconfirmed and is not." for each in set(doubtful) - unconfirmed]
    problems += [f"Event {each} is unconfirmed without need." for each in unconfirmed - set(doubtful)]
    said = (
        f"{len(doubtful)} events await Leap's word and say so." if doubtful else "Every event is confirmed."
    )
    return finding("Before the search" if doubtful else "Confirmed", problems, otherwise=said)


def check_schedules(
    schedules: Mapping[str, HeldSchedule],
    *,
    ledger: Sequence[LedgerEvent],
    portfolio: Portfolio,
    now: datetime,
) -> Finding:
    """Does every device do, from `now` on, what its events ask for and nothing else?"""
    problems, busy = [], 0
    for meter_id in sorted(portfolio.meter_ids):
        expected = expected_pieces(ledger, meter_id=meter_id, after=now)
        held = schedules.get(meter_id)
        found = remaining_pieces(held.pieces if held else (), after=now)
        busy += bool(expected)
        if not alike(expected, found):
            problems.append(
                f"{portfolio.name_of(meter_id)} is to do {as_words(found)}; asked is {as_words(expected)}."
            )
    said = f"{busy} of {len(portfolio.meter_ids)} devices have something to do, all of them what is asked."
    return finding("Schedules", problems, otherwise=said)


def check_acknowledged(schedules: Mapping[str, HeldSchedule], *, portfolio: Portfolio) -> Finding:
    """Has every device that has a schedule accepted its newest version?"""
    problems = [
        f"{portfolio.name_of(meter_id)} holds version {held.accepted_version or 'none'}, and version"
        f" {held.version} is {held.state.lower()}."
        for meter_id, held in sorted(schedules.items())
        if held.state != "ACKNOWLEDGED" or held.accepted_version != held.version
    ]
    said = (
        f"{len(schedules)} devices accepted their newest schedule." if schedules else "No device was to move."
    )
    return finding("Devices", problems, otherwise=said)


def check_integration_tests(held: Sequence[HeldEvent], *, expected: int) -> Finding:
    """Did the integration tests arrive and stay tests?"""
    found = sum(each.test == INTEGRATION for each in held)
    problems = [f"{found} of {expected} integration tests are held."] if found != expected else []
    return finding("Tests", problems, otherwise=f"{expected} integration tests are held, and move nothing.")
