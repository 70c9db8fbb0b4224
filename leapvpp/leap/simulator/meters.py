"""The simulator's meters: what Leap would say of each, and when it last changed. In memory."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid5

import msgspec

from leapvpp.leap.values import UtcTime

_NAMESPACE = UUID("1f6f0a3c-8f52-4f0e-9a0e-2f5f6c1f8a11")
ENDLESS = "9000-01-01T00:00:00Z"
_REGIONS = (("CAISO", "CCA"), ("NYISO", "NYISO-SCR"), ("ISONE", "NATGRID-CS"), ("ERCOT", "ERCOT-ERS"))
_STATES = {"CAISO": "CA", "NYISO": "NY", "ISONE": "MA", "ERCOT": "TX"}
_SHARED = (
    "meter_id",
    "partner_reference",
    "transmission_region",
    "customer_classification",
    "load_types",
    "meter_type",
    "connection_references",
    "customer_group",
    "tags",
    "is_archived",
    "audit",
)
_ONLY_ENROLLED = (
    "global_enrollment_status",
    "participation_preferences",
    "program_enrollment",
    "required_actions",
)
_ONLY_DETAILED = ("customer", "device", "site", "utility")


class MeterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search of meters as Leap documents it, as far as the simulator filters."""

    page_token: str | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500
    meter_ids: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=1000)] = ()
    last_modified_date_time: UtcTime | None = None
    exclude_archived: bool = False


class MeterBook:
    """Meters by id; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meters: dict[str, dict[str, Any]] = {}
        self._changed_at: dict[str, datetime] = {}

    def fill(self, count: int, *, now: datetime) -> tuple[str, ...]:
        """Add that many meters, in groups of fifty, the same ones each time; return their ids."""
        ids = []
        for number in range(count):
            meter = _made(number, now=now)
            self.put(meter, now=now)
            ids.append(str(meter["meter_id"]))
        return tuple(ids)

    def put(self, meter: dict[str, Any], *, now: datetime) -> None:
        """Store what Leap holds of a meter: the fields of its details and of its enrollment together."""
        with self._lock:
            self._store(meter, now=now)

    def change(self, meter_id: str, *, now: datetime, **fields: object) -> None:
        """Replace top-level fields of a meter."""
        with self._lock:
            self._store({**self._meters[meter_id], **fields}, now=now)

    def archive(self, meter_id: str, *, now: datetime) -> None:
        self.change(meter_id, now=now, is_archived=True)

    def idle(self, meter_id: str, *, since: datetime, now: datetime) -> None:
        """Let a meter rest from a time on, without an end."""
        preferences = [
            {"participation_preference": "PARTICIPATE", "start_time": _text(since - timedelta(days=300))},
            {"participation_preference": "IDLE", "start_time": _text(since), "end_time": ENDLESS},
        ]
        self.change(meter_id, now=now, participation_preferences=preferences)

    def regroup(self, meter_ids: Iterable[str], *, market_group_id: str, name: str, now: datetime) -> None:
        """Put meters into another group for all their programs and periods."""
        for meter_id in meter_ids:
            programs = [
                {**program, "market_group_id": market_group_id, "market_group_name": name}
                for program in self._meters[meter_id]["program_enrollment"]
            ]
            self.change(meter_id, now=now, program_enrollment=programs)

    def remove(self, meter_id: str) -> None:
        """Take a meter out: Leap no longer lists it."""
        with self._lock:
            del self._meters[meter_id], self._changed_at[meter_id]

    def search(self, query: MeterQuery, *, is_enrollment: bool) -> list[dict[str, Any]]:
        """Return all matching meters in order of id, as one of the two searches shows them."""
        wanted = {str(meter_id) for meter_id in query.meter_ids}
        since = query.last_modified_date_time
        fields = (*_SHARED, *(_ONLY_ENROLLED if is_enrollment else _ONLY_DETAILED))
        with self._lock:
            return [
                {name: meter[name] for name in fields if name in meter}
                for meter_id, meter in sorted(self._meters.items())
                if (not wanted or meter_id in wanted)
                and (since is None or self._changed_at[meter_id] > since)
                and not (query.exclude_archived and meter["is_archived"])
            ]

    def _store(self, meter: dict[str, Any], *, now: datetime) -> None:
        meter_id = str(meter["meter_id"])
        self._meters[meter_id] = {**meter, "audit": {**meter["audit"], "updated_at": _text(now)}}
        self._changed_at[meter_id] = now


def _made(number: int, *, now: datetime) -> dict[str, Any]:
    region, program = _REGIONS[number // 50 % len(_REGIONS)]
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    group = number // 50
    return {
        "meter_id": str(uuid5(_NAMESPACE, f"meter {number}")),
        "partner_reference": f"customer-{number:06}",
        "transmission_region": region,
        "customer_classification": "RESIDENTIAL",
        "load_types": ["BATTERY_STORAGE"],
        "meter_type": "UTILITY_METER",
        "connection_references": [],
        "tags": [],
        "is_archived": False,
        "audit": {"created_by": "PARTNER", "created_at": _text(month)},
        "global_enrollment_status": "ACTIVE",
        "participation_preferences": [
            {"participation_preference": "PARTICIPATE", "start_time": _text(month), "end_time": ENDLESS}
        ],
        "program_enrollment": [
            {
                "program_identifier": program,
                "delivery_period": f"{program}_{month:%Y_%b}".upper(),
                "delivery_period_start_date_time": _text(month),
                "delivery_period_end_date_time": _text((month + timedelta(days=32)).replace(day=1)),
                "enrollment_status": "ACTIVE",
                "enrollment_deadlines": [
                    {
                        "enrollment_deadline_date_time": _text(month - timedelta(days=15)),
                        "activation_date_time": _text(month),
                    }
                ],
                "market_group_id": str(uuid5(_NAMESPACE, f"group {group}")),
                "market_group_name": f"{region}_{group + 1}",
            }
        ],
        "required_actions": {"partner": [], "leap": []},
        "customer": {
            "street_1": f"{number + 1} Example Street",
            "postal_code": "00000",
            "city": "Example",
            "state_or_province_code": _STATES[region],
            "country_code": "US",
        },
        "site": {"number_of_devices": 1},
        "utility": {"utility_name": "PGE" if region == "CAISO" else "OTHER"},
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
