"""What is on its way to devices: a lane per driver, refilled as answers come; nobody waits for the slow.

Only threads and counting; the rows are written by `devices.claiming` and `devices.outcomes`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final

from devices.claiming import Try
from devices.drivers import driver_named
from devices.drivers.base import (
    Capabilities,
    Delivery,
    Driver,
    DriverError,
    Result,
    as_stored,
    failure,
)

logger = logging.getLogger(__name__)

BATCH_WITHOUT_DRIVER: Final = 500
LEASE_MARGIN_SECONDS: Final = 3
VALUE_MARGIN_SECONDS: Final = 5
"""As above, where whoever is late may write nothing: the time that a try has to begin."""
FILLED_AGAIN_AFTER_SECONDS: Final = 0.2
SHORTEST_TRY_SECONDS: Final = 5.0
LONGEST_TRY_SECONDS: Final = 40.0
"""A worker's time limit leaves room for no more, whatever a driver says."""


class Flow(Enum):
    """What kind of commands a batch carries: each kind has turns of its own."""

    STOPS = "stops"
    """What stops devices, tried for the first time."""
    USUAL = "usual"
    SILENT = "silent"
    """Devices that did not answer when they were tried last."""


@dataclass(eq=False, slots=True)
class Batch:
    """Claimed commands of one flow on their way; `missing`: the positions that have no result yet."""

    lane: Lane
    flow: Flow
    tries: Sequence[Try]
    given_up_at: float
    missing: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Results that came in together, or that nothing more of the batch will come."""

    batch: Batch
    results: Sequence[tuple[int, Result]]
    is_end: bool = False


Arrivals = SimpleQueue[Arrival | BaseException]


class Lane:
    """One driver, and what it has on its way."""

    def __init__(self, name: str, *, arrivals: Arrivals) -> None:
        self.name = name
        self.driver: Driver | DriverError
        try:
            self.driver = driver_named(name)
        except DriverError as error:
            self.driver = error
        self._arrivals = arrivals
        self._on_their_way: Counter[Flow] = Counter()
        self._sent_at = dict.fromkeys(Flow, -FILLED_AGAIN_AFTER_SECONDS)

    @property
    def abilities(self) -> Capabilities:
        """What the driver's devices can do."""
        return Capabilities() if isinstance(self.driver, DriverError) else self.driver.capabilities

    @property
    def lease(self) -> timedelta:
        """How long one try may take until somebody else may try: as soon after the dead as is safe."""
        allowed = 0 if isinstance(self.driver, DriverError) else self.driver.timeout_seconds
        longest = min(max(allowed, SHORTEST_TRY_SECONDS), LONGEST_TRY_SECONDS)
        margin = LEASE_MARGIN_SECONDS if self.abilities.holds_schedule else VALUE_MARGIN_SECONDS
        return timedelta(seconds=longest + margin)

    @property
    def is_inline(self) -> bool:
        """Say whether nobody outside is spoken to, so that there is nothing to wait for."""
        return isinstance(self.driver, DriverError) or self.driver.works_in_database

    def free(self, flow: Flow) -> int:
        """Return how many more commands of a kind may be on their way.

        A quarter of the turns is kept for what stops devices; silent devices have few, beside the others'.
        """
        if isinstance(self.driver, DriverError):
            return BATCH_WITHOUT_DRIVER
        most = self.driver.concurrency
        under_way = self._on_their_way
        if flow is Flow.SILENT:
            return (most if self.is_inline else max(1, most // 4)) - under_way[flow]
        left = most - under_way[Flow.STOPS] - under_way[Flow.USUAL]
        if flow is Flow.STOPS or self.is_inline:
            return left
        return min(left, most - most // 4 - under_way[Flow.USUAL])

    def is_worth_filling(self, flow: Flow) -> bool:
        """Say whether so much is free that it makes a batch, as each batch may be a connection; else soon."""
        if isinstance(self.driver, DriverError) or self.is_inline:
            return True
        is_much = self.free(flow) >= self.driver.concurrency // 8
        return is_much or time.monotonic() - self._sent_at[flow] >= FILLED_AGAIN_AFTER_SECONDS

    def carry_inline(self, deliveries: Sequence[Delivery]) -> Sequence[tuple[int, Result]]:
        """Return what came of deliveries that leave the machine by nobody."""
        if isinstance(self.driver, DriverError):
            return [(position, self.driver) for position in range(len(deliveries))]
        return [result for group in self._delivered(deliveries) for result in group]

    def send(self, flow: Flow, tries: Sequence[Try], deliveries: Sequence[Delivery]) -> Batch:
        """Send a batch on its way, in a thread of its own."""
        given_up_at = time.monotonic() + self.lease.total_seconds()
        batch = Batch(self, flow, tries, given_up_at, set(range(len(tries))))
        self._on_their_way[flow] += len(tries)
        self._sent_at[flow] = time.monotonic()
        # A daemon: a driver that never comes back must not keep the worker from ending.
        threading.Thread(
            target=self._carry, args=(batch, deliveries), name=f"commands by {self.name}", daemon=True
        ).start()
        return batch

    def _carry(self, batch: Batch, deliveries: Sequence[Delivery]) -> None:
        try:
            for group in self._delivered(deliveries):
                self._arrivals.put(Arrival(batch, group))
        except BaseException as error:
            self._arrivals.put(error)
            return
        self._arrivals.put(Arrival(batch, [], is_end=True))

    def _delivered(self, deliveries: Sequence[Delivery]) -> Iterator[list[tuple[int, Result]]]:
        """Yield one result of each delivery, whatever the driver does; what ends the process is raised."""
        why: Exception = NoResult()
        left = set(range(len(deliveries)))
        try:
            assert isinstance(self.driver, Driver)  # noqa: S101 - for mypy: of others nothing is carried
            for said in self.driver.deliver_all(deliveries):
                group = {position: result for position, result in said if position in left}
                left -= group.keys()
                yield [
                    (position, as_stored(result, device=deliveries[position].device))
                    for position, result in group.items()
                ]
        except Exception as error:
            why = error
        if left:
            yield [(position, failure(why, device=deliveries[position].device)) for position in sorted(left)]

    def note_arrived(self, batch: Batch, positions: Sequence[int]) -> None:
        """Give the turns of results back."""
        gone = batch.missing & set(positions)
        batch.missing -= gone
        self._on_their_way[batch.flow] -= len(gone)


class NoResult(Exception):
    """A driver ended without saying what became of a delivery."""


class Traffic:
    """All that is on its way, whichever driver carries it."""

    def __init__(self) -> None:
        self._arrivals: Arrivals = SimpleQueue()
        self._lanes: dict[str, Lane] = {}
        self._batches: set[Batch] = set()

    @property
    def is_under_way(self) -> bool:
        """Say whether there is anything to wait for."""
        return bool(self._batches)

    def lane(self, name: str) -> Lane:
        """Return the lane of a driver."""
        if name not in self._lanes:
            self._lanes[name] = Lane(name, arrivals=self._arrivals)
        return self._lanes[name]

    def send(self, lane: Lane, flow: Flow, tries: Sequence[Try], deliveries: Sequence[Delivery]) -> None:
        """Send a batch on its way."""
        self._batches.add(lane.send(flow, tries, deliveries))

    def arrived(self, *, within_seconds: float) -> dict[Lane, list[tuple[Try, Result]]]:
        """Return what has come in, by lane, once something has or the time is over.

        What takes longer than its lease is waited for no more; should it still come, it is among the results.

        Raises:
            BaseException: what ended a driver's thread and should end the process.
        """
        found: dict[Lane, list[tuple[Try, Result]]] = {}
        for arrival in self._drained(within_seconds=within_seconds):
            if isinstance(arrival, BaseException):
                raise arrival
            batch = arrival.batch
            batch.lane.note_arrived(batch, [position for position, _ in arrival.results])
            found.setdefault(batch.lane, []).extend(
                (batch.tries[position], result) for position, result in arrival.results
            )
            if arrival.is_end:
                self._batches.discard(batch)
        self._give_up()
        return {lane: results for lane, results in found.items() if results}

    def _drained(self, *, within_seconds: float) -> list[Arrival | BaseException]:
        found: list[Arrival | BaseException] = []
        try:
            found.append(self._arrivals.get(timeout=within_seconds))
            while True:
                found.append(self._arrivals.get_nowait())
        except Empty:
            return found

    def _give_up(self) -> None:
        late = [batch for batch in self._batches if batch.given_up_at <= time.monotonic()]
        for batch in late:
            logger.error("%s tries by %s took longer than allowed", len(batch.missing), batch.lane.name)
            batch.lane.note_arrived(batch, list(batch.missing))
            self._batches.discard(batch)
