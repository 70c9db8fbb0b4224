"""A station's connection in the words of OCPP 2.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ocpp.v201 import ChargePoint, call, call_result
from websockets.asyncio.server import ServerConnection

from devices.domain.charging import Composite
from devices.domain.schedule import as_z
from devices.drivers.ocpp_control import Order
from leapvpp.charging.chargers import (
    ACCEPTED_TAG,
    FOR_EVER,
    HEARTBEAT_SECONDS,
    Charger,
    NoAnswer,
    Refused,
    always,
    check_status,
    composite_of,
    is_that_of,
    now_text,
    quiet,
    remember,
    routes,
    schedule_of,
)
from leapvpp.charging.writing import Known, Outbox

PURPOSES: Final = {"station": "ChargingStationMaxProfile", "transaction": "TxDefaultProfile"}
PROFILE_ID: Final = 7301
"""The one profile of ours in a station, so that a newer one takes its place without a gap."""
ANSWERED_EMPTY: Final = (
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
"""What a station may say and is answered with no more than that it came."""


class Charger201(Charger, ChargePoint):
    """A station that speaks OCPP 2.0.1; its schedule's id is the version, so that it can be asked."""

    version_name = "2.0.1"

    def __init__(self, known: Known, connection: ServerConnection, outbox: Outbox) -> None:
        ChargePoint.__init__(self, known.external_id, connection, response_timeout=FOR_EVER, logger=quiet)
        self.set_up(known, connection, outbox)
        self.report_number = 0
        self.reported: asyncio.Future[None] | None = None
        self.found: Sequence[Mapping[str, Any]] = []
        self.route_map = routes(
            {name: always(getattr(call_result, name)()) for name in ANSWERED_EMPTY}
            | {
                "Authorize": always(call_result.Authorize(ACCEPTED_TAG)),
                "BootNotification": self._boot,
                "DataTransfer": always(call_result.DataTransfer("UnknownVendorId")),
                "Get15118EVCertificate": always(call_result.Get15118EVCertificate("Failed", "")),
                "GetCertificateStatus": always(call_result.GetCertificateStatus("Failed")),
                "Heartbeat": lambda **_: call_result.Heartbeat(now_text()),
                "MeterValues": self._meter_values,
                "NotifyEVChargingNeeds": always(call_result.NotifyEVChargingNeeds("Rejected")),
                "NotifyEVChargingSchedule": always(call_result.NotifyEVChargingSchedule("Accepted")),
                "ReportChargingProfiles": self._report,
                "SignCertificate": always(call_result.SignCertificate("Rejected")),
                "StatusNotification": self._status,
                "TransactionEvent": self._transaction,
            }
        )

    def _boot(self, **_: Any) -> object:
        self.held, self.is_asked = None, False
        return call_result.BootNotification(now_text(), HEARTBEAT_SECONDS, "Accepted")

    def _status(self, *, evse_id: int, connector_status: str, timestamp: str = "", **_: Any) -> object:
        if connector_status == "Available":
            self.note_rest(evse_id, at=timestamp)
        return call_result.StatusNotification()

    def _meter_values(self, *, evse_id: int, meter_value: object, **_: Any) -> object:
        self.note_meter_values(evse_id, meter_value)
        return call_result.MeterValues()

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
        return call_result.TransactionEvent(id_token_info=ACCEPTED_TAG if id_token else None)

    def _report(
        self, *, request_id: int, charging_profile: Sequence[Mapping[str, Any]], tbc: bool = False, **_: Any
    ) -> object:
        """Learn what the station holds of our profile."""
        waiting = self.reported
        if waiting is None or waiting.done() or request_id != self.report_number:
            return call_result.ReportChargingProfiles()
        for profile in charging_profile:
            if profile.get("id") == PROFILE_ID:
                self.found = profile["charging_schedule"]
        if not tbc:
            waiting.set_result(None)
        return call_result.ReportChargingProfiles()

    async def find_held(self, order: Order, *, until: float) -> None:
        """Ask for our profile, once after each sign-in and boot.

        A station that does not tell is believed to hold nothing, as is one that holds the version with other
        limits: that is another portal's.
        """
        if not self.is_asked:
            self.is_asked, self.found = True, []
            await self._ask_for_ours(until=until)
        if self.held is None and any(is_that_of(order, schedule) for schedule in self.found):
            self.held = order.version

    async def _ask_for_ours(self, *, until: float) -> None:
        self.report_number += 1
        self.reported = self.loop.create_future()
        criterion = {"charging_profile_id": [PROFILE_ID]}
        try:
            said = await self.ask(call.GetChargingProfiles(self.report_number, criterion), until=until)
            if said.status == "Accepted":
                async with asyncio.timeout_at(until):
                    await self.reported
        except (Refused, NoAnswer, TimeoutError):
            self.found = []
        finally:
            self.reported = None

    async def set_limits(self, order: Order, *, until: float) -> None:
        """Put our profile in the place of an earlier one, with the version as its schedule's id."""
        profile = {
            "id": PROFILE_ID,
            "stack_level": order.stack_level,
            "charging_profile_purpose": PURPOSES[order.purpose],
            "charging_profile_kind": "Absolute",
            "valid_to": as_z(order.limits[-1].end),
            "charging_schedule": [{"id": order.version, **schedule_of(order)}],
        }
        said = await self.ask(call.SetChargingProfile(0, profile), until=until)
        check_status(said, name="the charging profile")

    async def clear(self, order: Order, *, until: float) -> None:
        """Forget our profile."""
        said = await self.ask(call.ClearChargingProfile(PROFILE_ID), until=until)
        check_status(said, name="to clear the charging profile", good=("Accepted", "Unknown"))

    async def composite(self, order: Order, *, seconds: int, until: float) -> Composite:
        """Ask what the station as a whole will do."""
        said = await self.ask(call.GetCompositeSchedule(seconds, 0, order.unit), until=until)
        check_status(said, name="to say what it holds")
        schedule = dict(said.schedule or {})
        return composite_of(schedule, schedule.get("schedule_start"), order)
