"""A charger's connection in the words of OCPP 1.6."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.server import ServerConnection

from devices.domain.charging import Composite
from devices.domain.schedule import as_z
from devices.drivers.ocpp_control import Order
from leapvpp.charging.chargers import (
    ACCEPTED_TAG,
    FOR_EVER,
    HEARTBEAT_SECONDS,
    Charger,
    always,
    check_status,
    composite_of,
    now_text,
    quiet,
    remember,
    routes,
    schedule_of,
)
from leapvpp.charging.writing import Known, Outbox

PURPOSES: Final = {"station": "ChargePointMaxProfile", "transaction": "TxDefaultProfile"}
ANSWERED_EMPTY: Final = (
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "LogStatusNotification",
    "SecurityEventNotification",
    "SignedFirmwareStatusNotification",
)
"""What a charger may say and is answered with no more than that it came."""


class Charger16(Charger, ChargePoint):
    """A charger that speaks OCPP 1.6; it cannot be asked which version it holds."""

    version_name = "1.6"

    def __init__(self, known: Known, connection: ServerConnection, outbox: Outbox) -> None:
        ChargePoint.__init__(self, known.external_id, connection, response_timeout=FOR_EVER, logger=quiet)
        self.set_up(known, connection, outbox)
        self.route_map = routes(
            {name: always(getattr(call_result, name)()) for name in ANSWERED_EMPTY}
            | {
                "Authorize": always(call_result.Authorize(ACCEPTED_TAG)),
                "BootNotification": self._boot,
                "DataTransfer": always(call_result.DataTransfer("UnknownVendorId")),
                "Heartbeat": lambda **_: call_result.Heartbeat(now_text()),
                "MeterValues": self._meter_values,
                "SignCertificate": always(call_result.SignCertificate("Rejected")),
                "StartTransaction": self._start_transaction,
                "StatusNotification": self._status,
                "StopTransaction": self._stop_transaction,
            }
        )

    def _boot(self, **_: Any) -> object:
        self.held = None
        return call_result.BootNotification(now_text(), HEARTBEAT_SECONDS, "Accepted")

    def _status(self, *, connector_id: int, status: str, timestamp: str = "", **_: Any) -> object:
        if status == "Available" and connector_id:
            self.note_rest(connector_id, at=timestamp)
        return call_result.StatusNotification()

    def _meter_values(self, *, connector_id: int, meter_value: object, **_: Any) -> object:
        self.note_meter_values(connector_id, meter_value)
        return call_result.MeterValues()

    def _start_transaction(self, *, connector_id: int, meter_start: int, timestamp: str, **_: Any) -> object:
        number = uuid4().int >> 98  # 30 bits, which every charger can keep
        remember(self.transactions, str(number), connector_id)
        self.note_counter(connector_id, at=timestamp, watt_hours=meter_start)
        return call_result.StartTransaction(number, ACCEPTED_TAG)

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
        return call_result.StopTransaction()

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Set a profile whose id is the version; it takes the place of the one of the same kind and level."""
        profile = {
            "charging_profile_id": order.version,
            "stack_level": order.stack_level,
            "charging_profile_purpose": PURPOSES[order.purpose],
            "charging_profile_kind": "Absolute",
            "valid_to": as_z(order.limits[-1].end),
            "charging_schedule": schedule_of(order),
        }
        said = await self.ask(call.SetChargingProfile(0, profile), until=until)
        check_status(said, name="the charging profile")

    async def clear(self, order: Order, *, until: float) -> None:
        """Forget whatever profile has our kind and level."""
        asked = call.ClearChargingProfile(
            connector_id=0,
            charging_profile_purpose=PURPOSES[order.purpose],
            stack_level=order.stack_level,
        )
        said = await self.ask(asked, until=until)
        check_status(said, name="to clear the charging profile", good=("Accepted", "Unknown"))

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what connector 0, the whole charger, will do."""
        said = await self.ask(call.GetCompositeSchedule(0, seconds, order.unit), until=until)
        check_status(said, name="to say what it holds")
        schedule = dict(said.charging_schedule or {})
        schedule.setdefault("duration", seconds)
        start = said.schedule_start or schedule.get("start_schedule") or now_text()
        return composite_of(schedule, start, order)
