"""How long a voluntary run has waited to begin, and since when it has stopped.

A battery recharges in a voluntary event that it does not serve. That energy is for others: who stopped for
want of energy does not begin again on it, and who could not begin does not begin later in the same run, or a
device would serve, recharge and serve within one event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dispatch.domain.charging import in_span
from dispatch.domain.events import Window
from dispatch.domain.terms import Delivery
from dispatch.domain.windows import micros

_MINUTE: Final = micros(timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Pause:
    """What touching slices of a class have recharged in until now, in microseconds.

    `waited`: before anything ran in them; `stopped`: since.
    """

    has_run: bool = False
    waited: int = 0
    stopped: int = 0

    @property
    def length(self) -> int:
        """What was recharged in all this time is no energy of the run."""
        return self.waited + self.stopped

    @property
    def is_over(self) -> bool:
        """Say whether the run has ended early; energy that ends is no shorter than a whole minute."""
        return self.has_run and self.stopped >= _MINUTE

    def then(self, *, runs: bool, idle: int) -> Pause:
        """Return the pause after a slice that runs or does not, and then recharges."""
        if self.has_run or runs:
            return Pause(has_run=True, waited=self.waited, stopped=self.stopped + idle)
        return Pause(waited=self.waited + idle)


def pause_of(windows: Iterable[tuple[Window, bool]], delivered: Sequence[Delivery]) -> Pause:
    """Return the pause after windows that are past, each with whether it may recharge in it."""
    places = [(each.window, place) for place, each in enumerate(delivered) if each.watts != 0]
    pause = Pause()
    for window, may_recharge in windows:
        for piece, place in in_span(places, window.start, window.end):
            is_idle = place is None and may_recharge
            idle = micros(piece.end - piece.start) if is_idle else 0
            pause = pause.then(runs=place is not None, idle=idle)
    return pause
