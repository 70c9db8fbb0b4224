"""Customers in Leap Connect as the simulator plays them: what the platform tells of a visit, the meter after.

Source: Leap's OpenAPI document "Webhook Subscription API" 1.1, the events `connect_session.*`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from leapvpp.leap.simulator.calls import Answer, Call, Route, decode
from leapvpp.leap.simulator.jobs import new_meter
from leapvpp.leap.simulator.meters import MeterBook
from leapvpp.leap.simulator.platform import Platform

_REGIONS = {"PGE": "CAISO", "SCE": "CAISO", "SDGE": "CAISO", "CECONY": "NYISO", "PECO": "PJM", "COMED": "PJM"}
_STATES = {"CAISO": "CA", "NYISO": "NY", "PJM": "PA"}


PATH = "/simulator/connect"


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's visit by hand. ``journey``: as ``ConnectDesk.visit`` reads it; ``meter_of``: a utility."""

    reference: str
    journey: str = ""
    meter_of: str = ""


class ConnectDesk:
    """Where customers follow the links that partners send them."""

    def __init__(self, *, platform: Platform, meters: MeterBook) -> None:
        self._platform = platform
        self._meters = meters

    def routes(self) -> Sequence[Route]:
        """Return a door of the simulator's own, through which a visit is played by hand."""
        return (("POST", PATH, self._play),)

    def _play(self, call: Call) -> Answer:
        wanted = decode(call.body, Visit)
        self.visit(wanted.reference, wanted.journey)
        meters = [self.receive(wanted.reference, utility=wanted.meter_of)] if wanted.meter_of else []
        return 200, {"meter_ids": meters}

    def visit(self, reference: str, journey: str) -> None:
        """Tell of a visit, step by step: ``"created updated PGE:initiated PGE:failed closed"``.

        A word alone is a status of the session, one with a utility before it of an authorization there.
        """
        for word in journey.split():
            utility, _, status = word.rpartition(":")
            self._platform.emit(
                {
                    "webhook_event_type": f"connect_session.{'authorization_' if utility else ''}updated",
                    "partner_reference": reference,
                    **({"utility_name": utility} if utility else {}),
                    "status": status.upper(),
                }
            )

    def receive(
        self, *references: str, utility: str, street: str = "1 Example Street", now: datetime | None = None
    ) -> str:
        """Have the utility's data arrive, as a day or two after an authorization; return the new meter's id.

        Several references: people of one household who authorized the same meter.
        """
        region = _REGIONS.get(utility, "CAISO")
        asset: dict[str, Any] = {
            "partner_reference": references[0],
            "transmission_region": region,
            "customer_classification": "RESIDENTIAL",
            "load_types": ["BATTERY_STORAGE"],
            "meter_type": "UTILITY_METER",
            "customer": {
                "street_1": street,
                "postal_code": "94103",
                "city": "Example",
                "state_or_province_code": _STATES[region],
                "country_code": "US",
            },
            "utility": {"utility_name": utility},
        }
        moment = now or datetime.now(UTC)
        meter = new_meter(asset, now=moment, connection_references=references)
        meter["audit"]["created_by"] = "LEAP"
        self._meters.put(meter, now=moment)
        return str(meter["meter_id"])
