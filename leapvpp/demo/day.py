"""The demo's day as Leap would tell it: what is asked, when, and what is changed afterwards.

Pure: group facts and a time in, steps out. Every window is placed around the time given, so that
something is over, live and to come at any hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from leapvpp.demo.places import leap_id
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.values import Level, Timeslot

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A market group or a meter as a dispatch names it; kW is what its meters nominate together."""

    level: Level
    leap_id: str
    meter_ids: tuple[str, ...]
    nomination_kw: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """How a program asks. Source: Leap's published program examples, read 2026-08."""

    program: str
    priority: int
    cap: str
    types: tuple[str, ...] = ("standard",)
    is_voluntary: bool = False


CCA = Terms("CCA", 2, "up-to-site-load", ("day-ahead",))
CCA_TEST = Terms("CCA", 1, "up-to-nomination", ("capacity-test",))
ELRP = Terms("ELRP", 3, "grid-exports-allowed", is_voluntary=True)
DSGS = Terms("CEC-DSGS", 4, "grid-exports-allowed", is_voluntary=True)
SCR = Terms("NYISO-SCR", 1, "up-to-nomination")
CSRP = Terms("CONED-CSRP", 3, "up-to-nomination")
DLRP = Terms("CONED-DLRP", 5, "up-to-nomination")
ERS = Terms("ERCOT-ERS", 1, "up-to-nomination")
CS = Terms("NATGRID-CS", 1, "grid-exports-allowed", is_voluntary=True)
CPS = Terms("MA_DOER-CPS", 2, "grid-exports-allowed", is_voluntary=True)
PJM = Terms("PJM-CAPACITY", 1, "up-to-nomination")


@dataclass(frozen=True, slots=True)
class Ask:
    """One event; `share` of the nomination is asked for, None is the maximum."""

    name: str
    to: str
    terms: Terms
    start: datetime
    end: datetime
    share: str | None = "0.8"
    is_cancelled: bool = False
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One notification, some time after the one before."""

    asks: tuple[Ask, ...]
    after: timedelta = timedelta(0)
    is_integration_test: bool = False


def the_day(now: datetime) -> Iterator[Step]:
    """Tell the day around `now`: what was, what is live, what is to come, then what changes."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    yield from _what_was(hour)
    yield from _what_is_live(hour, now=now)
    yield from _what_is_to_come(hour)
    yield from _what_changes(hour, now=now)


def _hours(name: str, to: str, terms: Terms, start: datetime, *, count: int, share: str) -> tuple[Ask, ...]:
    """Make one event an hour, as the Californian day-ahead market awards them."""
    return tuple(
        Ask(f"{name} {n}", to, terms, start + n * HOUR, start + (n + 1) * HOUR, share) for n in range(count)
    )


# Every so many days: whom, under which terms, from which hour UTC, for how many, for which share.
_HABITS = (
    (1, "cps", CPS, 20, 4, "0.8"),
    (2, "cca-south", CCA, 1, 2, "0.7"),
    (3, "cca-north", CCA, 1, 3, "0.6"),
    (4, "cs", CS, 21, 2, "1"),
    (5, "csrp", CSRP, 18, 4, "0.8"),
    (6, "dsgs", DSGS, 2, 2, "0.9"),
    (7, "ers-west", ERS, 22, 1, "1"),
)
_DAYS_BACK, _DAYS_AHEAD = 14, 4


def the_days_around(now: datetime) -> Iterator[Step]:
    """Tell each group its past days and what is known of the next ones, in one notification."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for every, to, terms, first, lasts, share in _HABITS:
        ahead = _DAYS_AHEAD if terms is CPS else 2  # the others call a day or two ahead
        days = (today + timedelta(days=n) for n in range(-_DAYS_BACK, ahead + 1) if n and n % every == 0)
        yield Step(
            tuple(
                Ask(f"{day:%d %B}", to, terms, day + first * HOUR, day + (first + lasts) * HOUR, share)
                for day in days
            )
        )


def _what_was(hour: datetime) -> Iterator[Step]:
    yield Step(_hours("morning award", "cca-north", CCA, hour - 7 * HOUR, count=2, share="0.7"))
    yield Step((Ask("morning peak", "csrp", CSRP, hour - 10 * HOUR, hour - 6 * HOUR),))
    yield Step((Ask("west emergency", "ers-west", ERS, hour - 5 * HOUR, hour - 3 * HOUR, "1"),))
    yield Step((Ask("clean peak before", "cps", CPS, hour - 24 * HOUR, hour - 20 * HOUR),))


def _what_is_live(hour: datetime, *, now: datetime) -> Iterator[Step]:
    yield Step(_hours("evening award", "cca-south", CCA, hour, count=2, share="0.8"))
    yield Step((Ask("heat emergency", "elrp", ELRP, hour, hour + 4 * HOUR, None),))
    yield Step((Ask("network relief", "dlrp", DLRP, hour - HOUR, hour + 3 * HOUR),))
    yield Step((Ask("ice peak", "cs", CS, hour, hour + 3 * HOUR, "1"),))
    yield Step((_houston(now, end=now + 50 * MINUTE),))


def _houston(now: datetime, *, end: datetime) -> Ask:
    start = now.replace(minute=0, second=0, microsecond=0) - HOUR
    return Ask("houston emergency", "ers-houston", ERS, start, end.replace(second=0, microsecond=0), "1")


def _what_is_to_come(hour: datetime) -> Iterator[Step]:
    peak = Ask("afternoon peak", "csrp", CSRP, hour + HOUR, hour + 5 * HOUR)
    yield Step((peak, Ask("city reserve", "scr", SCR, hour + 2 * HOUR, hour + 3 * HOUR, "1")))
    yield Step((Ask("battery hours", "dsgs", DSGS, hour + 2 * HOUR, hour + 4 * HOUR, "0.9"),))
    yield Step((Ask("clean peak", "cps", CPS, hour + HOUR, hour + 5 * HOUR),))
    yield Step(_hours("late award", "cca-north", CCA, hour + 3 * HOUR, count=3, share="0.5"))
    yield Step((_new_jersey(hour),))
    yield Step((Ask("philadelphia test", "pjm-pa", PJM, hour + 19 * HOUR, hour + 20 * HOUR, "1"),))
    yield Step((_capacity_test(hour),))
    wiring = Ask("wiring check", "Gowanus Cold Works", SCR, hour + HOUR, hour + 2 * HOUR, "0.2", is_test=True)
    yield Step((wiring,))
    dry = replace(wiring, name="integration", to="Astoria Bakery", is_test=False)
    yield Step((dry,), is_integration_test=True)


def _new_jersey(hour: datetime) -> Ask:
    return Ask("new jersey capacity", "pjm-nj", PJM, hour + 3 * HOUR, hour + 6 * HOUR, "1")


def _capacity_test(hour: datetime) -> Ask:
    return Ask("capacity test", "cca-south", CCA_TEST, hour + 21 * HOUR, hour + 22 * HOUR, "1")


def _what_changes(hour: datetime, *, now: datetime) -> Iterator[Step]:
    """Cancel, end early, raise: late enough that devices have their first schedule by then."""
    later = timedelta(seconds=20)
    yield Step((replace(_new_jersey(hour), is_cancelled=True),), after=later)
    yield Step((_houston(now, end=now - 3 * MINUTE),), after=later)
    both = replace(CCA, types=("day-ahead", "hour-ahead"))
    awards = _hours("late award", "cca-north", both, hour + 3 * HOUR, count=3, share="0.9")
    yield Step(awards[1:], after=later)
    combined = replace(CCA_TEST, types=("capacity-test", "day-ahead"))
    yield Step((replace(_capacity_test(hour), terms=combined),))


_ROUND = (
    ("cca-north", replace(CCA, types=("hour-ahead",)), "0.6"),
    ("ers-west", ERS, "1"),
    ("dsgs", DSGS, None),
    ("pjm-pa", PJM, "0.8"),
    ("csrp", CSRP, "0.7"),
    ("cs", CS, "1"),
    ("cca-south", replace(CCA, types=("hour-ahead",)), "0.4"),
)


def next_dispatch(now: datetime, *, number: int) -> Step:
    """Make the dispatch that comes every few minutes: the groups in turn, soon, for half an hour or so."""
    to, terms, share = _ROUND[number % len(_ROUND)]
    start = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0) + 15 * MINUTE
    return Step((Ask("called", to, terms, start, start + (20 + number % 3 * 15) * MINUTE, share),))


def as_event(ask: Ask, recipient: Recipient, *, told_at: datetime) -> LedgerEvent:
    """Put an ask into Leap's words; its id follows from its name and the day's telling."""
    event_id = leap_id(f"{told_at.isoformat()} {ask.name} {ask.to}")
    is_group = recipient.level is Level.GROUP
    asked = (
        None if ask.share is None else (Decimal(ask.share) * recipient.nomination_kw).quantize(Decimal("0.1"))
    )
    slot = Timeslot(
        meter_event_id=None if is_group else event_id,
        market_group_event_id=event_id if is_group else None,
        start_time=ask.start,
        end_time=ask.end,
        cancelled=ask.is_cancelled,
        energy_kw=asked,
        nomination_kw=recipient.nomination_kw,
        performance_compensation_cap=ask.terms.cap,
        priority=ask.terms.priority,
        is_voluntary=ask.terms.is_voluntary,
        dispatch_event_types=ask.terms.types,
        programs=(ask.terms.program,),
        communication_test=ask.is_test,
    )
    return LedgerEvent(
        level=recipient.level, recipient_id=recipient.leap_id, meter_ids=recipient.meter_ids, timeslot=slot
    )


def events_of(step: Step, recipients: Mapping[str, Recipient], *, told_at: datetime) -> list[LedgerEvent]:
    """Put a step into Leap's words."""
    return [as_event(ask, recipients[ask.to], told_at=told_at) for ask in step.asks]
