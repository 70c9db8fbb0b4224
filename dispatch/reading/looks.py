"""How an event's state looks: one word, one icon, one class. The same on every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """The state marks of the pages, by the strongest thing to say about an event."""

    COMMITTED = "committed"
    VOLUNTARY = "voluntary"
    LIVE = "live"
    LIVE_VOLUNTARY = "live-voluntary"
    UNCONFIRMED = "unconfirmed"
    TEST = "test"
    CANCELLED = "cancelled"
    DONE = "done"
    FINAL = "final"
    HOLD = "hold"


STATE_ICONS = {
    State.COMMITTED: "diamond",
    State.VOLUNTARY: "diamond-open",
    State.LIVE: "disc",
    State.LIVE_VOLUNTARY: "disc",
    State.UNCONFIRMED: "question",
    State.TEST: "flask",
    State.CANCELLED: "cross",
    State.DONE: "tick",
    State.FINAL: "",
    State.HOLD: "pause",
}
STATE_WORDS = {
    State.COMMITTED: "Committed",
    State.VOLUNTARY: "Voluntary",
    State.LIVE: "Live",
    State.LIVE_VOLUNTARY: "Live, voluntary",
    State.UNCONFIRMED: "Unconfirmed",
    State.TEST: "Test",
    State.CANCELLED: "Cancelled",
    State.DONE: "Done",
    State.FINAL: "Final: what devices will do",
    State.HOLD: "Hold",
}
LEGEND = (
    State.COMMITTED,
    State.VOLUNTARY,
    State.LIVE,
    State.UNCONFIRMED,
    State.TEST,
    State.CANCELLED,
    State.DONE,
    State.FINAL,
)


class Shown(Protocol):
    """The fields of an event that decide how it looks."""

    is_cancelled: bool
    is_confirmed: bool
    is_voluntary: bool
    test: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """A state with its icon, its word and its class."""

    state: State

    @property
    def icon(self) -> str:
        """Give the icon's name; empty for none."""
        return STATE_ICONS[self.state]

    @property
    def words(self) -> str:
        """Say the state."""
        return STATE_WORDS[self.state]

    @property
    def css(self) -> str:
        """Give the class that dresses marks and bars."""
        return f"is-{self.state}"


def look_of(event: Shown, *, now: datetime) -> Look:
    """Choose the mark: cancelled, unconfirmed, done, test, live, voluntary, committed, in this order."""
    if event.is_cancelled:
        return Look(State.CANCELLED)
    if not event.is_confirmed:
        return Look(State.UNCONFIRMED)
    if event.ends_at <= now:
        return Look(State.DONE)
    if event.test:
        return Look(State.TEST)
    if event.starts_at <= now:
        return Look(State.LIVE_VOLUNTARY if event.is_voluntary else State.LIVE)
    return Look(State.VOLUNTARY if event.is_voluntary else State.COMMITTED)
