"""The words for reasons: every choice of planning as a plain sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dispatch.domain.events import (
    GRID_EXPORTS_ALLOWED,
    KEPT,
    UP_TO_NOMINATION,
    UP_TO_SITE_LOAD,
    Event,
    asked_watts,
    to_kw,
)
from dispatch.domain.programs import label_of

_UUID_LENGTH: Final = 36
_MOST: Final = 3
_CAPS: Final = {
    UP_TO_NOMINATION: "nomination",
    UP_TO_SITE_LOAD: "site load",
    GRID_EXPORTS_ALLOWED: "site load and exports",
}


def short(leap_event_id: str) -> str:
    """Return an id as people read it out: the first eight signs of a UUID, anything else whole.

    >>> short("114751e8-c0df-4d69-8a4f-9e7cebef1f84")
    '114751e8'
    """
    return leap_event_id[:8] if len(leap_event_id) == _UUID_LENGTH else leap_event_id


def power(watts: int | None) -> str:
    """Return kW in words.

    >>> power(2_480_500), power(None)
    ('2,480.5 kW', 'the maximum')
    """
    return "the maximum" if watts is None else f"{to_kw(watts).normalize():,f} kW"


def cap_in_words(cap: str) -> str:
    """Return up to where performance is paid; a word unknown to us as Leap wrote it."""
    return _CAPS.get(cap, cap or "not said")


@lru_cache(maxsize=KEPT)
def serves_one(event: Event) -> str:
    """Say what is done for a single event, with the event's own number, not this device's share of it.

    So devices that fare alike are told alike; the share is the segment's target.
    """
    asked = asked_watts(event)
    amount = "as much as it can" if asked is None else f"its share of {_about(asked)}"
    kind = "voluntary" if event.is_voluntary else "a commitment"
    return f"Serves {_label(event)}, rank {event.rank}, {kind}: {amount}."


@lru_cache(maxsize=KEPT)
def serves_many(events: tuple[Event, ...], *, largest: Event, because: str, cap_of: Event) -> str:
    """Say what is done for overlapping events, best first: the largest share covers the others."""
    names = _names(events)
    rest = [event for event in events if event is not largest]
    met = _listed([f"{names[event.event_id]} ({_in_brackets(event)})" for event in rest])
    inside = f"{names[largest.event_id]}'s maximum"
    if asked_watts(largest) is not None:
        inside = f"{names[largest.event_id]}'s share ({_in_brackets(largest)})"
    widest = "" if len({event.cap for event in events}) == 1 else f" ({names[cap_of.event_id]})"
    return (
        f"{met} {'is' if len(rest) == 1 else 'are'} met inside {inside}. "
        f"{names[events[0].event_id]} comes first: {because}. "
        f"Paid up to {cap_in_words(cap_of.cap)}{widest}."
    )


@lru_cache(maxsize=KEPT)
def serves_in_turn(events: tuple[Event, ...]) -> str:
    """Say what a segment does that touching events were merged into."""
    alike = dict.fromkeys(serves_one(event) for event in events)
    if len(alike) == 1:
        return f"{serves_one(events[0]).removesuffix('.')}, in each of {len(events)} timeslots."
    return f"Serves {len(events)} timeslots in turn: {_listed(list(dict.fromkeys(map(_label, events))))}."


def in_order(reasons: Sequence[str]) -> str:
    """Join the reasons of a segment's slices, each said once, and not more than a few of them."""
    said = list(dict.fromkeys(reason for reason in reasons if reason))
    more = len(said) - _MOST
    return " Then: ".join(said[:_MOST]) + (f" Then {more} more overlaps like these." if more > 0 else "")


def held(who: str, why: str) -> str:
    """Say that a hold keeps the device still."""
    return f"Held by {who}{_because(why)}."


def opted_out(who: str, why: str) -> str:
    """Say that an opt-out keeps the device still."""
    return f"Opted out by {who}{_because(why)}."


def stays_committed(who: str) -> str:
    """Say that an opt-out does not reach a commitment."""
    return f"The opt-out by {who} does not confirm that a commitment is broken, so it stays."


def forced(watts: int, *, rated_watts: int, who: str, why: str) -> str:
    """Say that a person set the power."""
    return f"Forced to {_forced_power(watts, rated_watts)} by {who}{_because(why)}."


def forced_below(watts: int, *, rated_watts: int) -> str:
    """Say that a forced power does not reach what the event asks."""
    return f"The device is forced to {_forced_power(watts, rated_watts)}, below what the event asks of it."


def no_share() -> str:
    """Say that allocation gave the device nothing."""
    return "The event's kW are few enough that this device's share is 0 kW."


def not_armed(until: datetime | None) -> str:
    """Say that an integration test moves nothing."""
    if until is None:
        return "An integration test moves a device only while its meter is armed, and it is not."
    return f"An integration test moves a device only while its meter is armed, which ends at {_at(until)}."


def asked_at_both(level: str, program: str) -> str:
    """Say why an event is left to its twin at the other level.

    >>> asked_at_both("GROUP", "CCA")
    'Asked at group level too; CCA is acted upon at group level.'
    """
    return f"Asked at {level.lower()} level too; {program} is acted upon at {level.lower()} level."


def ranked(event: Event) -> str:
    """Name an event where it uses up a limit."""
    return f"{_label(event)} (rank {event.rank})"


def a_day(length: timedelta) -> str:
    """Name the limit of running in a local day."""
    return f"{_length(length)} a day"


def a_run(length: timedelta) -> str:
    """Name the limit of one run."""
    return f"{_length(length)} in a run"


def events_a_day(count: int) -> str:
    """Name the limit of runs in a local day."""
    return f"{count} {'event' if count == 1 else 'events'} a day"


def used_up(what: str, names: Sequence[str], *, label: str) -> str:
    """Say which limit leaves no room, and what uses it.

    >>> used_up("4 h a day", ["CCA (rank 2)"], label="Home battery v3")
    'Dropped: 4 h a day are used by CCA (rank 2). Policy Home battery v3.'
    """
    are = "is" if what.startswith("1 ") else "are"
    return f"Dropped: {what} {are} used{_by(names)}. Policy {label}."


def rests(rest: timedelta, names: Sequence[str], *, label: str) -> str:
    """Say that the device rests beside a run."""
    beside = f" beside {_listed(names)}" if names else ""
    return f"Dropped: it rests {_length(rest)} between runs{beside}. Policy {label}."


def in_blackout(label: str) -> str:
    """Say that nothing runs at this time of day."""
    return f"Dropped: nothing runs at this time of its day. Policy {label}."


def too_little(watts: int, *, below: int, label: str) -> str:
    """Say that so little is not worth moving for."""
    return f"Dropped: {power(watts)} is below the {power(below)} from which it moves. Policy {label}."


def too_late(heard_at: datetime, notice: timedelta, *, label: str) -> str:
    """Say that the device needs longer notice."""
    return f"Dropped: it needs {_length(notice)} of notice and was told at {_at(heard_at)}. Policy {label}."


def at_mark(mark: str, percent: int) -> str:
    """Say down to where energy is given."""
    return f"{mark} {percent} %"


def kept_for(name: str, at: datetime, *, beside: datetime) -> str:
    """Say which later run the energy is for; with the date where it is another one than `beside`."""
    return f"the rest is kept for {name} at {_clock(at, beside=beside)}"


def stops(at: datetime, why: str, *, label: str, is_less: bool) -> str:
    """Say when energy ends before the run does, or is enough for less only.

    >>> stops(datetime(2026, 7, 21, 20, 10), "reserve 20 %", label="Home battery v3", is_less=False)
    'Stops at 20:10Z: reserve 20 %. Policy Home battery v3.'
    """
    what = f"Less from {_clock(at, beside=at)} on" if is_less else f"Stops at {_clock(at, beside=at)}"
    return f"{what}: {why}. Policy {label}."


def less_than_asked(names: Sequence[str], why: str, *, label: str) -> str:
    """Say that a run has less power than events ask, so that its energy lasts."""
    return f"Less than {_listed(names)} {'asks' if len(names) == 1 else 'ask'}: {why}. Policy {label}."


def given_less(watts: int, *, asked: int) -> str:
    """Say that a commitment gets less than it asks.

    >>> given_less(800, asked=8000)
    'Given 0.8 kW of 8 kW.'
    """
    return f"Given {power(watts)} of {power(asked)}."


def no_energy(why: str, *, label: str) -> str:
    """Say that nothing is left for a run."""
    return f"Dropped: no energy is left: {why}. Policy {label}."


def no_reserve(*, is_capacity_known: bool) -> str:
    """Say that the energy of a battery is not planned, though its policy asks for it.

    >>> no_reserve(is_capacity_known=False)
    'Its energy is not planned and no reserve is kept: its energy capacity is not known.'
    """
    unknown = "rated power" if is_capacity_known else "energy capacity"
    return f"Its energy is not planned and no reserve is kept: its {unknown} is not known."


def beyond_award(event: Event, *, cap: str, label: str) -> str:
    """Say that more is given than is asked."""
    return f"Beyond the award, as {_label(event)} pays up to {cap_in_words(cap)}. Policy {label}."


def commitments_only() -> str:
    """Say that the customer wishes for nothing voluntary."""
    return "Skipped: the customer answers commitments only."


def skipped(why: str, *, label: str) -> str:
    """Say that a policy leaves a voluntary event out, and why.

    >>> skipped(voluntary_always(), label="EV charger v2")
    'Skipped: voluntary events always are. Policy EV charger v2.'
    """
    return f"Skipped: {why}. Policy {label}."


def reduced(events: Sequence[Event], percent: int, why: str, *, label: str) -> str:
    """Say which voluntary events get how much of what they ask, and why."""
    names = list(dict.fromkeys(map(_label, events)))
    return f"{_listed(names)} reduced to {percent} %: {why}. Policy {label}."


def voluntary_always() -> str:
    """Name the condition that is none."""
    return "voluntary events always are"


def voluntary_hour() -> str:
    """Name the condition of the time of day."""
    return "voluntary events are at this time of its day"


def charge_below(percent: Decimal, *, below: int) -> str:
    """Name the condition of the state of charge.

    >>> charge_below(Decimal("30.00"), below=40)
    '30 % of charge is below 40 %'
    """
    return f"{percent.normalize():f} % of charge is below {below} %"


def pays_less(cents: int, *, than: int) -> str:
    """Name the condition of the price.

    >>> pays_less(50, than=150)
    'it pays 0.50 $/kWh, less than the 1.50 $/kWh of comfort'
    """
    return f"it pays {cents / 100:.2f} $/kWh, less than the {than / 100:.2f} $/kWh of comfort"


def did_not_run() -> str:
    """Say that a time has passed without the device running."""
    return "The time has passed, and the device did not run."


def shaped(
    precondition_from: datetime | None,
    ramp_seconds: int | None,
    recover_until: datetime | None,
    *,
    label: str,
) -> str:
    """Say what comes before a segment, at its beginning and after it; empty where nothing does.

    >>> shaped(None, 300, None, label="Generator v1")
    'Takes 5 min to its power. Policy Generator v1.'
    """
    said = [
        f"prepares from {precondition_from:%H:%M}Z" if precondition_from else "",
        f"takes {_length(timedelta(seconds=ramp_seconds))} to its power" if ramp_seconds else "",
        f"back to normal by {recover_until:%H:%M}Z" if recover_until else "",
    ]
    text = "; ".join(filter(None, said))
    return f"{text[0].upper()}{text[1:]}. Policy {label}." if text else ""


def _length(length: timedelta) -> str:
    """Return hours where they are short to say, else minutes."""
    minutes = int(length.total_seconds() // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes / 60:g} h"


def _by(names: Sequence[str]) -> str:
    return f" by {_listed(names)}" if names else ""


def _because(why: str) -> str:
    return f": {why.rstrip('.')}" if why else ""


def _forced_power(watts: int, rated_watts: int) -> str:
    return "its rated power" if watts == rated_watts else power(watts)


def _label(event: Event) -> str:
    return label_of(event.programs) or short(event.leap_event_id)


def _names(events: Sequence[Event]) -> dict[int, str]:
    """Name events by program; where two share it, by their start too, else by their id."""
    plain = Counter(_label(event) for event in events)
    timed = Counter((_label(event), event.window.start) for event in events)
    names = {}
    for event in events:
        label, start = _label(event), event.window.start
        if plain[label] == 1:
            names[event.event_id] = label
        elif timed[label, start] == 1:
            names[event.event_id] = f"{label} {start:%H:%M}Z"
        else:
            names[event.event_id] = f"{label} {short(event.leap_event_id)}"
    return names


def _in_brackets(event: Event) -> str:
    asked = asked_watts(event)
    return f"rank {event.rank}, {'maximum' if asked is None else _about(asked)}"


def _about(watts: int) -> str:
    """Write an event's power as the pages do: without decimals from 100 kW on; a stand-by call in full."""
    kw = to_kw(watts)
    return f"{round(kw, 0 if kw >= 100 else 1 if kw >= 1 else 3).normalize():,f} kW"


def _listed(names: Sequence[str]) -> str:
    """Join names, and count those that are too many to name."""
    named = list(names) if len(names) <= _MOST else [*names[: _MOST - 1], f"{len(names) - _MOST + 1} more"]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _clock(time: datetime, *, beside: datetime) -> str:
    return f"{time:%H:%M}Z" if time.date() == beside.date() else _at(time)


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}Z"
