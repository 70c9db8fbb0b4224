"""One charger's connection: its messages answered as a central system must, its answers awaited.

What a charger may do harms only itself: messages are bounded in size and pace, an answer nobody waits for
is dropped, and whatever is not OCPP is passed over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import uuid4

from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from devices.domain.charging import Composite, in_amperes, in_kilowatts, periods_of
from devices.domain.metering import Meters, Sample, read_moment, read_samples
from devices.domain.schedule import as_z
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
PROFILE_ID: Final = 7301
"""The one profile of ours in a 2.0.1 station, so that a newer one takes its place without a gap."""
LONGEST_DETAIL: Final = 300
FOR_EVER: Final = 3600
"""In seconds: each order has a time of its own."""

UNKNOWN_TO_IT: Final = {"NotImplemented", "NotSupported"}
ACCEPTED_TAG: Final = {"status": "Accepted"}


class Refused(Exception):
    """The charger answered, and the answer is no; the message is what it said."""


class NoAnswer(Exception):
    """Nothing of use came back; the message says what did."""


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
    """What both versions have in common, as a part of the library's ChargePoint.

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
            raise NoAnswer("The charger answered with an error, or with what is not OCPP.") from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise NoAnswer("The charger answered with something that is not OCPP.") from error
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
            self.outbox.note_reading(self.known.device_id, metered)

    def note_rest(self, connector: int, *, at: object) -> None:
        """Note that a connector takes nothing any more."""
        now = datetime.now(UTC)
        moment = min(read_moment(at) or now, now)
        if metered := self.meters.rest(connector, at=moment):
            self.outbox.note_reading(self.known.device_id, metered)

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Have the charger hold the order's limits. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def clear(self, order: Order, *, until: float) -> None:
        """Have the charger forget our profile; that there is none is as good. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what the charger will do from now on. Raises Refused, NoAnswer."""
        raise NotImplementedError

    async def find_held(self, *, until: float) -> None:
        """Ask once which version the charger holds, where the version of OCPP can tell."""


def _read(message: str | bytes) -> Call | CallResult | CallError | None:
    """Return what a message is, None if it is not OCPP."""
    try:
        kind, *rest = json.loads(message)
        found = {2: Call, 3: CallResult, 4: CallError}[kind](*rest)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_text = isinstance(found.unique_id, str) and isinstance(getattr(found, "action", "") or "", str)
    return found if is_text else None


def _one_line(text: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:LONGEST_DETAIL]


def _check_status(said: Any, *, name: str, good: Iterable[str] = ("Accepted",)) -> None:
    """Raise Refused unless a status is good."""
    if said.status in good:
        return
    information = said.status_info if isinstance(getattr(said, "status_info", None), Mapping) else {}
    words = [str(said.status), information.get("reason_code"), information.get("additional_info")]
    raise Refused(f"refused {name} ({_one_line(': '.join(word for word in words if word))})")


def _now() -> str:
    return as_z(datetime.now(UTC).replace(microsecond=0))


def _limit(order: Order, kilowatts: float) -> float:
    if order.unit == "A":
        return in_amperes(kilowatts, volts=order.volts, phases=order.phases)
    return round(kilowatts * 1000)


def _schedule(order: Order) -> dict[str, Any]:
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


def _composite(said: Mapping[str, Any], start: object, order: Order) -> Composite:
    """Return a composite schedule in kW. Raises NoAnswer if it is none."""
    try:
        periods = tuple(
            (float(each["start_period"]), _kilowatts(each, said["charging_rate_unit"], order))
            for each in said["charging_schedule_period"]
        )
        moment = read_moment(start)
        if moment is None or not periods:
            raise ValueError
        return Composite(moment, float(said["duration"]), periods)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NoAnswer("The charger's composite schedule cannot be read.") from error


def _kilowatts(period: Mapping[str, Any], unit: object, order: Order) -> float:
    limit = float(period["limit"])
    if unit == "A":
        return in_kilowatts(limit, volts=order.volts, phases=int(period.get("number_phases") or order.phases))
    return limit / 1000


Route = dict[str, Any]


def _routes(handlers: Mapping[str, Callable[..., object]]) -> dict[str, Route]:
    return {
        action: {"_on_action": handler, "_skip_schema_validation": False}
        for action, handler in handlers.items()
    }


def _always(result: object) -> Callable[..., object]:
    return lambda **_: result


class Charger16(Charger, ChargePoint16):
    """A charger that speaks OCPP 1.6; it cannot be asked which version it holds."""

    version_name = "1.6"

    def __init__(self, known: Known, connection: ServerConnection, outbox: Outbox) -> None:
        ChargePoint16.__init__(self, known.external_id, connection, response_timeout=FOR_EVER, logger=quiet)
        self.set_up(known, connection, outbox)
        nothing = {
            name: _always(getattr(result16, name)())
            for name in (
                "DiagnosticsStatusNotification",
                "FirmwareStatusNotification",
                "LogStatusNotification",
                "SecurityEventNotification",
                "SignedFirmwareStatusNotification",
            )
        }
        self.route_map = _routes(
            nothing
            | {
                "Authorize": _always(result16.Authorize(ACCEPTED_TAG)),
                "BootNotification": self._boot,
                "DataTransfer": _always(result16.DataTransfer("UnknownVendorId")),
                "Heartbeat": lambda **_: result16.Heartbeat(_now()),
                "MeterValues": self._meter_values,
                "SignCertificate": _always(result16.SignCertificate("Rejected")),
                "StartTransaction": self._start_transaction,
                "StatusNotification": self._status,
                "StopTransaction": self._stop_transaction,
            }
        )

    def _boot(self, **_: Any) -> object:
        self.held = None
        return result16.BootNotification(_now(), HEARTBEAT_SECONDS, "Accepted")

    def _status(self, *, connector_id: int, status: str, timestamp: str = "", **_: Any) -> object:
        if status == "Available" and connector_id:
            self.note_rest(connector_id, at=timestamp)
        return result16.StatusNotification()

    def _meter_values(self, *, connector_id: int, meter_value: object, **_: Any) -> object:
        self.note_meter_values(connector_id, meter_value)
        return result16.MeterValues()

    def _start_transaction(self, *, connector_id: int, meter_start: int, timestamp: str, **_: Any) -> object:
        number = uuid4().int >> 98  # 30 bits, which every charger can keep
        remember(self.transactions, str(number), connector_id)
        self.note_counter(connector_id, at=timestamp, watt_hours=meter_start)
        return result16.StartTransaction(number, ACCEPTED_TAG)

    def _stop_transaction(
        self,
        *,
        transaction_id: int,
        meter_stop: int,
        timestamp: str,
        transaction_data: object = None,
        **_: Any,
    ) -> object:
        connector = self.transactions.pop(str(transaction_id), 1)
        self.note_meter_values(connector, transaction_data)
        self.note_counter(connector, at=timestamp, watt_hours=meter_stop)
        self.note_rest(connector, at=timestamp)
        return result16.StopTransaction()

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Set a profile whose id is the version; it takes the place of the one of the same kind and level."""
        profile = {
            "charging_profile_id": order.version,
            "stack_level": order.stack_level,
            "charging_profile_purpose": PURPOSES_16[order.purpose],
            "charging_profile_kind": "Absolute",
            "valid_to": as_z(order.limits[-1].end),
            "charging_schedule": _schedule(order),
        }
        said = await self.ask(call16.SetChargingProfile(0, profile), until=until)
        _check_status(said, name="the charging profile")

    async def clear(self, order: Order, *, until: float) -> None:
        """Forget whatever profile has our kind and level."""
        asked = call16.ClearChargingProfile(
            connector_id=0,
            charging_profile_purpose=PURPOSES_16[order.purpose],
            stack_level=order.stack_level,
        )
        said = await self.ask(asked, until=until)
        _check_status(said, name="to clear the charging profile", good=("Accepted", "Unknown"))

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what connector 0, the whole charger, will do."""
        said = await self.ask(call16.GetCompositeSchedule(0, seconds, order.unit), until=until)
        _check_status(said, name="to say what it holds")
        schedule = dict(said.charging_schedule or {})
        schedule.setdefault("duration", seconds)
        start = said.schedule_start or schedule.get("start_schedule") or _now()
        return _composite(schedule, start, order)


PURPOSES_16: Final = {"station": "ChargePointMaxProfile", "transaction": "TxDefaultProfile"}
PURPOSES_201: Final = {"station": "ChargingStationMaxProfile", "transaction": "TxDefaultProfile"}
MOST_TRANSACTIONS: Final = 64


def remember(transactions: dict[str, int], number: str, connector: int) -> None:
    """Keep where a transaction runs, the newest of them only."""
    transactions[number] = connector
    while len(transactions) > MOST_TRANSACTIONS:
        del transactions[next(iter(transactions))]


class Charger201(Charger, ChargePoint201):
    """A station that speaks OCPP 2.0.1; its schedule's id is the version, so that it can be asked."""

    version_name = "2.0.1"

    def __init__(self, known: Known, connection: ServerConnection, outbox: Outbox) -> None:
        ChargePoint201.__init__(self, known.external_id, connection, response_timeout=FOR_EVER, logger=quiet)
        self.set_up(known, connection, outbox)
        self.report_number = 0
        self.reported: asyncio.Future[None] | None = None
        nothing = {
            name: _always(getattr(result201, name)())
            for name in (
                "ClearedChargingLimit",
                "FirmwareStatusNotification",
                "LogStatusNotification",
                "NotifyChargingLimit",
                "NotifyCustomerInformation",
                "NotifyDisplayMessages",
                "NotifyEvent",
                "NotifyMonitoringReport",
                "NotifyReport",
                "PublishFirmwareStatusNotification",
                "ReservationStatusUpdate",
                "SecurityEventNotification",
            )
        }
        self.route_map = _routes(
            nothing
            | {
                "Authorize": _always(result201.Authorize(ACCEPTED_TAG)),
                "BootNotification": self._boot,
                "DataTransfer": _always(result201.DataTransfer("UnknownVendorId")),
                "Get15118EVCertificate": _always(result201.Get15118EVCertificate("Failed", "")),
                "GetCertificateStatus": _always(result201.GetCertificateStatus("Failed")),
                "Heartbeat": lambda **_: result201.Heartbeat(_now()),
                "MeterValues": self._meter_values,
                "NotifyEVChargingNeeds": _always(result201.NotifyEVChargingNeeds("Rejected")),
                "NotifyEVChargingSchedule": _always(result201.NotifyEVChargingSchedule("Accepted")),
                "ReportChargingProfiles": self._report,
                "SignCertificate": _always(result201.SignCertificate("Rejected")),
                "StatusNotification": self._status,
                "TransactionEvent": self._transaction,
            }
        )

    def _boot(self, **_: Any) -> object:
        self.held, self.is_asked = None, False
        return result201.BootNotification(_now(), HEARTBEAT_SECONDS, "Accepted")

    def _status(self, *, evse_id: int, connector_status: str, timestamp: str = "", **_: Any) -> object:
        if connector_status == "Available":
            self.note_rest(evse_id, at=timestamp)
        return result201.StatusNotification()

    def _meter_values(self, *, evse_id: int, meter_value: object, **_: Any) -> object:
        self.note_meter_values(evse_id, meter_value)
        return result201.MeterValues()

    def _transaction(
        self,
        *,
        event_type: str,
        timestamp: str,
        transaction_info: Mapping[str, Any],
        evse: Mapping[str, Any] | None = None,
        meter_value: object = None,
        id_token: object = None,
        **_: Any,
    ) -> object:
        number = str(transaction_info.get("transaction_id"))
        if evse:
            remember(self.transactions, number, int(evse.get("id", 1)))
        connector = self.transactions.get(number, 1)
        self.note_meter_values(connector, meter_value)
        if event_type == "Ended":
            self.transactions.pop(number, None)
            self.note_rest(connector, at=timestamp)
        return result201.TransactionEvent(id_token_info=ACCEPTED_TAG if id_token else None)

    def _report(
        self, *, request_id: int, charging_profile: Sequence[Mapping[str, Any]], tbc: bool = False, **_: Any
    ) -> object:
        """Learn which version the station holds of our profile."""
        waiting = self.reported
        if waiting is None or waiting.done() or request_id != self.report_number:
            return result201.ReportChargingProfiles()
        for profile in charging_profile:
            if profile.get("id") == PROFILE_ID:
                self.held = max((each.get("id", 0) for each in profile["charging_schedule"]), default=None)
        if not tbc:
            waiting.set_result(None)
        return result201.ReportChargingProfiles()

    async def find_held(self, *, until: float) -> None:
        """Ask for our profile, once after each sign-in and boot; a station that does not tell is believed
        to hold nothing.
        """
        if self.is_asked:
            return
        self.is_asked = True
        self.report_number += 1
        self.reported = self.loop.create_future()
        criterion = {"charging_profile_id": [PROFILE_ID]}
        try:
            said = await self.ask(call201.GetChargingProfiles(self.report_number, criterion), until=until)
            if said.status == "Accepted":
                async with asyncio.timeout_at(until):
                    await self.reported
        except (Refused, NoAnswer, TimeoutError):
            self.held = None
        finally:
            self.reported = None

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Put our profile in the place of an earlier one, with the version as its schedule's id."""
        profile = {
            "id": PROFILE_ID,
            "stack_level": order.stack_level,
            "charging_profile_purpose": PURPOSES_201[order.purpose],
            "charging_profile_kind": "Absolute",
            "valid_to": as_z(order.limits[-1].end),
            "charging_schedule": [{"id": order.version, **_schedule(order)}],
        }
        said = await self.ask(call201.SetChargingProfile(0, profile), until=until)
        _check_status(said, name="the charging profile")

    async def clear(self, order: Order, *, until: float) -> None:
        """Forget our profile."""
        said = await self.ask(call201.ClearChargingProfile(PROFILE_ID), until=until)
        _check_status(said, name="to clear the charging profile", good=("Accepted", "Unknown"))

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what the station as a whole will do."""
        said = await self.ask(call201.GetCompositeSchedule(seconds, 0, order.unit), until=until)
        _check_status(said, name="to say what it holds")
        schedule = dict(said.schedule or {})
        return _composite(schedule, schedule.get("schedule_start"), order)
