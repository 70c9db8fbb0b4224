"""One charger's connection: its messages answered as a central system must, its answers awaited.

What a charger may do harms only itself: messages are bounded in size and pace, an answer nobody waits for
is dropped, and whatever is not OCPP is passed over.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import uuid4

from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from devices.domain.charging import Composite, in_amperes, in_kilowatts, periods_of
from devices.domain.metering import Meters, Sample, read_moment, read_samples
from devices.domain.schedule import as_z
from devices.domain.wording import one_line
from devices.drivers.ocpp_control import Order
from devices.telemetry import AHEAD_AT_MOST
from leapvpp.charging.writing import Known, Outbox

quiet = logging.getLogger(f"{__name__}.library")
quiet.setLevel(logging.ERROR)  # it would log every message

HEARTBEAT_SECONDS: Final = 60
HEARD_EVERY_SECONDS: Final = 10.0
"""How often a charger that talks is noted as there."""
MESSAGES_A_SECOND, MOST_AT_ONCE = 20.0, 200.0
BYTES_OF_ONE: Final = 4096
"""A long message counts as several."""
FOR_EVER: Final = 3600
"""In seconds: each order has a time of its own."""

MOST_SECONDS: Final = 1e9
UNKNOWN_TO_IT: Final = {"NotImplemented", "NotSupported"}
ACCEPTED_TAG: Final = {"status": "Accepted"}
MOST_TRANSACTIONS: Final = 64


class Refused(Exception):
    """The charger answered, and the answer is no; the message is what it said."""


class NoAnswer(Exception):
    """Nothing of use came back; the message says what did. `is_heard`: something did."""

    def __init__(self, message: str, *, is_heard: bool = False) -> None:
        super().__init__(message)
        self.is_heard = is_heard


class Pace:
    """How much a charger may send: so many at once, so many a second."""

    def __init__(self, *, now: float) -> None:
        self.left = MOST_AT_ONCE
        self.counted_at = now

    def seconds_to_wait(self, size: int, *, now: float) -> float:
        """Count a message of so many bytes, and return how long to hear no other."""
        self.left = min(MOST_AT_ONCE, self.left + (now - self.counted_at) * MESSAGES_A_SECOND)
        self.counted_at = now
        self.left -= 1 + size // BYTES_OF_ONE
        return max(0.0, -self.left / MESSAGES_A_SECOND)


class Charger:
    """What both versions have in common, beside the library's ChargePoint in their classes.

    `newest`: no older version is written any more. `held`: the version it is known to hold, None if that
    is not known.
    """

    version_name: str
    _response_queue: asyncio.Queue[Any]

    def set_up(self, known: Known, connection: ServerConnection, outbox: Outbox) -> None:
        """Take what is known of the charger."""
        self.known = known
        self.name = known.external_id
        self.socket = connection
        self.outbox = outbox
        self.turn = asyncio.Lock()
        self.newest = known.version
        self.held: int | None = None
        self.is_asked = False
        self.expected = ""
        self.limit: asyncio.Timeout | None = None
        self.is_gone = False
        self.transactions: dict[str, int] = {}
        connectors = known.settings.connectors if known.settings else 1
        self.meters = Meters(has_one_connector=connectors == 1)
        self.loop = asyncio.get_running_loop()
        self.heard_at = self.loop.time()
        self.pace = Pace(now=self.loop.time())

    async def listen(self) -> None:
        """Hear the charger until it goes. Raises websockets.ConnectionClosed."""
        while True:
            message = await self.socket.recv()
            self._note_heard()
            await self._take(message)
            if seconds := self.pace.seconds_to_wait(len(message), now=self.loop.time()):
                await asyncio.sleep(seconds)

    def hang_up(self) -> None:
        """Note that the connection is over, so that nobody waits for an answer any more."""
        self.is_gone = True
        if self.limit is not None:
            self.limit.reschedule(self.loop.time())

    def _note_heard(self) -> None:
        now = self.loop.time()
        if now - self.heard_at >= HEARD_EVERY_SECONDS:
            self.heard_at = now
            self.outbox.note_presence(self.name, is_online=True)

    async def _take(self, message: str | bytes) -> None:
        """Answer a call, hand on an answer that is waited for, pass over anything else."""
        read, library = _read(message), cast(Any, self)
        if isinstance(read, Call):
            try:
                await library._handle_call(read)
            except OCPPError as error:
                await library._send(read.create_call_error(error).to_json())
        elif read is not None and read.unique_id == self.expected:
            self.expected = ""
            self._response_queue.put_nowait(read)

    async def ask(self, payload: object, *, until: float) -> Any:
        """Return the charger's answer to a call.

        Raises:
            Refused: it knows no such call.
            NoAnswer: nothing came by the loop's time `until`, or nothing that is OCPP.
        """
        number = uuid4().hex
        try:
            async with asyncio.timeout_at(until) as self.limit:
                if self.is_gone:
                    raise TimeoutError
                self.expected = number
                return await cast(Any, self).call(payload, suppress=False, unique_id=number)
        except (TimeoutError, ConnectionClosed) as error:
            what = "charger's connection broke" if self.is_gone else "charger did not answer in time"
            raise NoAnswer(f"The {what}.") from error
        except OCPPError as error:
            code = str(getattr(error, "code", ""))
            if code in UNKNOWN_TO_IT:
                raise Refused(f"does not know {type(payload).__name__} ({code})") from error
            text = "The charger answered with an error, or with what is not OCPP."
            raise NoAnswer(text, is_heard=True) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            text = "The charger answered with something that is not OCPP."
            raise NoAnswer(text, is_heard=True) from error
        finally:
            self.expected, self.limit = "", None
            while not self._response_queue.empty():
                self._response_queue.get_nowait()

    def note_meter_values(self, connector: int, meter_values: object) -> None:
        """Keep what a meter said of power, energy and charge."""
        for sample in read_samples(meter_values):
            self._take_sample(connector, sample)

    def note_counter(self, connector: int, *, at: object, watt_hours: object) -> None:
        """Keep the counter that begins or ends a transaction."""
        moment = read_moment(at)
        if moment is None or not isinstance(watt_hours, int | float):
            return
        self._take_sample(connector, Sample(moment, energy_kwh=watt_hours / 1000))

    def _take_sample(self, connector: int, sample: Sample) -> None:
        """Keep a sample, but none of the far future: it would hide all that follow."""
        if sample.at > datetime.now(UTC) + AHEAD_AT_MOST:
            return
        if metered := self.meters.take(connector, sample):
            self.outbox.note_reading(self.known, metered)

    def note_rest(self, connector: int, *, at: object) -> None:
        """Note that a connector takes nothing any more."""
        now = datetime.now(UTC)
        moment = min(read_moment(at) or now, now)
        if metered := self.meters.rest(connector, at=moment):
            self.outbox.note_reading(self.known, metered)

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Have the charger hold the order's limits. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def clear(self, order: Order, *, until: float) -> None:
        """Have the charger forget our profile; that there is none is as good. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what the charger will do from now on. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def find_held(self, order: Order, *, until: float) -> None:
        """Ask once whether the charger holds the order already, where the version of OCPP can tell."""


def _read(message: str | bytes) -> Call | CallResult | CallError | None:
    """Return what a message is, None if it is not OCPP."""
    try:
        kind, *rest = json.loads(message)
        found = {2: Call, 3: CallResult, 4: CallError}[kind](*rest)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_text = isinstance(found.unique_id, str) and isinstance(getattr(found, "action", "") or "", str)
    return found if is_text else None


def check_status(said: Any, *, name: str, good: Iterable[str] = ("Accepted",)) -> None:
    """Raise Refused unless a status is good."""
    if said.status in good:
        return
    information = said.status_info if isinstance(getattr(said, "status_info", None), Mapping) else {}
    words = [str(said.status), information.get("reason_code"), information.get("additional_info")]
    raise Refused(f"refused {name} ({one_line(': '.join(str(word) for word in words if word))})")


def now_text() -> str:
    return as_z(datetime.now(UTC).replace(microsecond=0))


def _limit(order: Order, kilowatts: float) -> float:
    if order.unit == "A":
        return in_amperes(kilowatts, volts=order.volts, phases=order.phases)
    return round(kilowatts * 1000)


def schedule_of(order: Order) -> dict[str, Any]:
    """Return the charging schedule, its names in snake case, ending with the last limit."""
    first, last = order.limits[0], order.limits[-1]
    more = {"number_phases": order.phases} if order.unit == "A" else {}
    return {
        "start_schedule": as_z(first.start),
        "duration": int((last.end - first.start).total_seconds()),
        "charging_rate_unit": order.unit,
        "charging_schedule_period": [
            {"start_period": offset, "limit": _limit(order, kilowatts), **more}
            for offset, kilowatts in periods_of(order.limits, rated_kw=order.rated_kw)
        ],
    }


def is_that_of(order: Order, schedule: Mapping[str, Any]) -> bool:
    """Say whether a schedule that a charger holds is the order's, version, times and limits."""
    if not order.limits:
        return False
    ours = schedule_of(order)
    found = [(each["start_period"], each["limit"]) for each in schedule["charging_schedule_period"]]
    wanted = [(each["start_period"], each["limit"]) for each in ours["charging_schedule_period"]]
    names = ("duration", "charging_rate_unit")
    return (
        (schedule.get("id"), found) == (order.version, wanted)
        and read_moment(schedule.get("start_schedule")) == order.limits[0].start
        and all(schedule.get(name) == ours[name] for name in names)
    )


def composite_of(said: Mapping[str, Any], start: object, order: Order) -> Composite:
    """Return a composite schedule in kW. Raises NoAnswer if it is none."""
    try:
        periods = tuple(
            (float(each["start_period"]), _kilowatts(each, said["charging_rate_unit"], order))
            for each in said["charging_schedule_period"]
        )
        moment, seconds = read_moment(start), float(said["duration"])
        is_sane = all(0 <= offset <= MOST_SECONDS and math.isfinite(limit) for offset, limit in periods)
        if moment is None or not periods or not is_sane or not 0 <= seconds <= MOST_SECONDS:
            raise ValueError
        if not 2000 <= moment.year < 2200:  # its clock was never set
            raise ValueError
        return Composite(moment, seconds, periods)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NoAnswer("The charger's composite schedule cannot be read.") from error


def _kilowatts(period: Mapping[str, Any], unit: object, order: Order) -> float:
    limit = float(period["limit"])
    if unit == "A":
        return in_kilowatts(limit, volts=order.volts, phases=int(period.get("number_phases") or order.phases))
    return limit / 1000


Route = dict[str, Any]


def routes(handlers: Mapping[str, Callable[..., object]]) -> dict[str, Route]:
    return {
        action: {"_on_action": handler, "_skip_schema_validation": False}
        for action, handler in handlers.items()
    }


def always(result: object) -> Callable[..., object]:
    return lambda **_: result


def remember(transactions: dict[str, int], number: str, connector: int) -> None:
    """Keep where a transaction runs, the newest of them only."""
    transactions[number] = connector
    while len(transactions) > MOST_TRANSACTIONS:
        del transactions[next(iter(transactions))]
