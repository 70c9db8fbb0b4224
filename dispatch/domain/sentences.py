"""The words for reasons: every choice of planning as a plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dispatch.domain.events import Event, to_kw

_UUID_LENGTH: Final = 36


def short(leap_event_id: str) -> str:
    """Return an id as people read it out: the first eight signs of a UUID, anything else whole.

    >>> short("114751e8-c0df-4d69-8a4f-9e7cebef1f84")
    '114751e8'
    """
    return leap_event_id[:8] if len(leap_event_id) == _UUID_LENGTH else leap_event_id


def power(watts: int | None) -> str:
    """Return kW in words.

    >>> power(8500), power(None)
    ('8.5 kW', 'the maximum')
    """
    return "the maximum" if watts is None else f"{to_kw(watts).normalize():f} kW"


def promise(event: Event) -> str:
    """Return whether the event commits."""
    return "voluntary" if event.is_voluntary else "commitment"


def serves_one(event: Event, watts: int | None) -> str:
    """Say what is done for a single event."""
    return f"Serves {short(event.leap_event_id)} (rank {event.rank}, {promise(event)}): {power(watts)}."


def serves_many(
    events: Sequence[Event], *, watts: int | None, largest: Event, because: str, cap_of: Event
) -> str:
    """Say what is done for overlapping events, best first: the largest request covers the others."""
    first = events[0]
    return (
        f"Serves {len(events)} overlapping events with the same kilowatts: {power(watts)}, the largest "
        f"request ({short(largest.leap_event_id)}). {short(first.leap_event_id)} comes first: {because}. "
        f"Paid as {cap_of.cap}, the most permissive cap ({short(cap_of.leap_event_id)})."
    )


def serves_in_turn(count: int, watts: int | None) -> str:
    """Say what a segment does that touching events were merged into."""
    return f"Serves {count} events one after the other: {power(watts)}."


def in_order(reasons: Sequence[str]) -> str:
    """Join the reasons of a segment's slices, each said once."""
    return " Then: ".join(dict.fromkeys(reasons))


def held(who: str, why: str) -> str:
    """Say that a hold keeps the device still."""
    return f"Held by {who}{_because(why)}."


def opted_out(who: str, why: str) -> str:
    """Say that an opt-out keeps the device still."""
    return f"Opted out by {who}{_because(why)}."


def stays_committed(who: str) -> str:
    """Say that an opt-out does not reach a commitment."""
    return f"The opt-out by {who} does not confirm that a commitment is broken, so it stays."


def forced(watts: int, *, who: str, why: str) -> str:
    """Say that a person set the power."""
    return f"Forced to {power(watts)} by {who}{_because(why)}."


def forced_below(watts: int, asked: int | None) -> str:
    """Say that a forced power does not reach what the event asks."""
    return f"The device is forced to {power(watts)}, below {power(asked)} that the event asks of it."


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


def _because(why: str) -> str:
    return f": {why.rstrip('.')}" if why else ""


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}Z"
