"""The meters a simulator lists when it is only told how many: the same ones each time, but for their dates.

Fifty in a row share a program and a group. Of each hundred the first sixty are as they should be; of the
others some are archived, idle or left, and some wait for something to be done. The next delivery period has
no groups yet.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from leapvpp.leap.simulator.seasons import Period, periods

_NAMESPACE = UUID("1f6f0a3c-8f52-4f0e-9a0e-2f5f6c1f8a11")
ENDLESS = "9000-01-01T00:00:00Z"
PER_GROUP = 50


ZONES = {
    "CAISO": "America/Los_Angeles",
    "NYISO": "America/New_York",
    "ISONE": "America/New_York",
    "ERCOT": "America/Chicago",
    "PJM": "America/New_York",
}


class _Kind(NamedTuple):
    region: str
    program: str
    meter_type: str
    load_type: str
    state: str
    city: str
    utility: str
    customer: str = "RESIDENTIAL"

    @property
    def zone(self) -> str:
        """Return the clock of its region."""
        return ZONES[self.region]


KINDS = (
    _Kind("CAISO", "CCA", "UTILITY_METER", "BATTERY_STORAGE", "CA", "Oakland", "PGE"),
    _Kind("NYISO", "NYISO-SCR", "UTILITY_METER", "HVAC", "NY", "Brooklyn", "CECONY"),
    _Kind("ISONE", "NATGRID-CS", "DEVICE", "BATTERY_STORAGE", "MA", "Lowell", "NATGRID"),
    _Kind("ERCOT", "ERCOT-ERS", "UTILITY_METER", "MANUFACTURING", "TX", "Midland", "OTHER", "COMMERCIAL"),
    _Kind("PJM", "PJM-CAPACITY", "UTILITY_METER", "PUMPING", "NJ", "Newark", "OTHER", "COMMERCIAL"),
    _Kind("CAISO", "CEC-DSGS", "DEVICE", "BATTERY_STORAGE", "CA", "Irvine", "SCE"),
)
_ARCHIVED, _IDLE, _LEFT = range(60, 62), range(62, 65), range(65, 67)
_UNAUTHORIZED, _INCOMPLETE, _PENDING = range(67, 70), range(70, 74), range(74, 76)
"""Which of each hundred."""


def made(number: int, *, now: datetime, program: str = "", is_plain: bool = False) -> dict[str, Any]:
    """Return all that Leap holds of the meter of that number.

    ``program`` is one of ``KINDS``, else the number decides; ``is_plain``: nothing is odd with it.
    """
    kind = next((each for each in KINDS if each.program == program), KINDS[number // PER_GROUP % len(KINDS)])
    current, coming = periods(kind.program, zone=kind.zone, now=now)
    place = number % 100
    meter = {
        "meter_id": str(uuid5(_NAMESPACE, f"meter {number}")),
        "partner_reference": f"customer-{number:06}",
        "transmission_region": kind.region,
        "customer_classification": kind.customer,
        "load_types": [kind.load_type],
        "meter_type": kind.meter_type,
        "connection_references": [f"ref-{number:06}"] if kind.meter_type == "UTILITY_METER" else [],
        "customer_group": "",
        "tags": [],
        "is_archived": False,
        "audit": {"created_by": "PARTNER", "created_at": as_text(current.start)},
        "global_enrollment_status": "ACTIVE",
        "participation_preferences": [preferring("PARTICIPATE", as_text(current.start))],
        "program_enrollment": [
            enrolled(kind.program, current, "ACTIVE", **_group(number // PER_GROUP, region=kind.region)),
            enrolled(kind.program, coming, "ELIGIBLE"),
        ],
        "required_actions": {"partner": [], "leap": []},
        "customer": {
            "street_1": f"{number + 1} Example Street",
            "postal_code": "00000",
            "city": kind.city,
            "state_or_province_code": kind.state,
            "country_code": "US",
        },
        "site": {"number_of_devices": 1},
        "utility": {"utility_name": kind.utility},
    }
    return meter if is_plain else meter | _oddity(place, kind.program, (current, coming), now=now)


def enrolled(program: str, period: Period, status: str, **group: str) -> dict[str, Any]:
    """Return an enrollment as Leap writes it; ``group``: `market_group_id` and `market_group_name`."""
    return {
        "program_identifier": program,
        "delivery_period": period.name,
        "delivery_period_start_date_time": as_text(period.start),
        "delivery_period_end_date_time": as_text(period.end),
        "enrollment_status": status,
        "enrollment_deadlines": [
            {
                "enrollment_deadline_date_time": as_text(deadline),
                "activation_date_time": as_text(activation),
            }
            for deadline, activation in period.deadlines
        ],
        **group,
    }


def preferring(preference: str, start: str, end: str = ENDLESS) -> dict[str, str]:
    """Return a range of participation as Leap writes it."""
    return {"participation_preference": preference, "start_time": start, "end_time": end}


def action(
    program: str, period: str, *, deadline: datetime, action_type: str, code: str, description: str
) -> dict[str, str]:
    """Return a required action as Leap writes it."""
    return {
        "program_identifier": program,
        "delivery_period": period,
        "enrollment_deadline_date_time": as_text(deadline),
        "action_type": action_type,
        "action_description": description,
        "action_code": code,
    }


def as_text(moment: datetime) -> str:
    """Write a moment as Leap does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _group(number: int, *, region: str) -> dict[str, str]:
    return {
        "market_group_id": str(uuid5(_NAMESPACE, f"group {number}")),
        "market_group_name": f"{region}_{number + 1}",
    }


ACTIONS: Mapping[str, tuple[str, str]] = {
    "IS_AUTHORIZED": ("AUTH_0001", "The customer has to authorize the meter again."),
    "NO_MISSING_FIELDS": ("SERV_0005", "Fields are missing: electric_service_account_number."),
    "IS_ASSIGNED_TO_A_RESOURCE": ("LEAP_0001", "The meter is to be put into a resource."),
}
"""Code and description of a required action, by its type."""


def _oddity(place: int, program: str, both: tuple[Period, Period], *, now: datetime) -> dict[str, Any]:
    """Return what is different with the meter at this place of its hundred."""
    current, coming = both
    if place in _ARCHIVED:
        return {"is_archived": True}
    if place in _IDLE or place in _LEFT:
        preference = "IDLE" if place in _IDLE else "DISENROLL"
        since = as_text(now - timedelta(days=10))
        status = "ACTIVE" if place in _IDLE else "NOT_PARTICIPATING"
        return {
            "global_enrollment_status": status,
            "participation_preferences": [
                preferring("PARTICIPATE", as_text(current.start - timedelta(days=31)), since),
                preferring(preference, since),
            ],
        }
    for places, status, party, action_type in (
        (_UNAUTHORIZED, "INELIGIBLE", "partner", "IS_AUTHORIZED"),
        (_INCOMPLETE, "ELIGIBLE", "partner", "NO_MISSING_FIELDS"),
        (_PENDING, "PENDING", "leap", "IS_ASSIGNED_TO_A_RESOURCE"),
    ):
        if place in places:
            code, description = ACTIONS[action_type]
            required = action(
                program,
                coming.name,
                deadline=coming.next_deadline(now),
                action_type=action_type,
                code=code,
                description=description,
            )
            return {
                "global_enrollment_status": status,
                "program_enrollment": [
                    enrolled(program, current, status),
                    enrolled(program, coming, "INELIGIBLE"),
                ],
                "required_actions": {"partner": [], "leap": [], party: [required]},
            }
    return {}
