"""A door of the simulator's own, beside Leap's: what an operator has its meters do.

Guarded as all else by the key, and by being on loopback.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from leapvpp.leap.simulator.acts import Act, ActError, perform
from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, decode
from leapvpp.leap.simulator.meters import MeterBook

PATH = "/simulator/meters"


class Control:
    """The service that does by hand what a scenario's steps do."""

    def __init__(self, meters: MeterBook) -> None:
        self._meters = meters

    def routes(self) -> Sequence[Route]:
        """Return what it answers."""
        return (("POST", PATH, self._act),)

    def _act(self, call: Call) -> Answer:
        act = decode(call.body, Act)
        try:
            meter_ids = perform(self._meters, act.do, act, now=datetime.now(UTC))
        except ActError as error:
            raise Refusal(400, str(error)) from error
        return 200, {"meter_ids": meter_ids}
