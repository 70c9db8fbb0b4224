"""The meters a simulator lists when it is only told how many: the same ones each time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("1f6f0a3c-8f52-4f0e-9a0e-2f5f6c1f8a11")
ENDLESS = "9000-01-01T00:00:00Z"
_REGIONS = (("CAISO", "CCA"), ("NYISO", "NYISO-SCR"), ("ISONE", "NATGRID-CS"), ("ERCOT", "ERCOT-ERS"))
_STATES = {"CAISO": "CA", "NYISO": "NY", "ISONE": "MA", "ERCOT": "TX"}


def made(number: int, *, now: datetime) -> dict[str, Any]:
    """Return all that Leap holds of the meter of that number."""
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
        "audit": {"created_by": "PARTNER", "created_at": as_text(month)},
        "global_enrollment_status": "ACTIVE",
        "participation_preferences": [
            {"participation_preference": "PARTICIPATE", "start_time": as_text(month), "end_time": ENDLESS}
        ],
        "program_enrollment": [
            {
                "program_identifier": program,
                "delivery_period": f"{program}_{month:%Y_%b}".upper(),
                "delivery_period_start_date_time": as_text(month),
                "delivery_period_end_date_time": as_text((month + timedelta(days=32)).replace(day=1)),
                "enrollment_status": "ACTIVE",
                "enrollment_deadlines": [
                    {
                        "enrollment_deadline_date_time": as_text(month - timedelta(days=15)),
                        "activation_date_time": as_text(month),
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


def as_text(moment: datetime) -> str:
    """Write a moment as Leap does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
